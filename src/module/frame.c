/* See frame.h. */
#include "frame.h"

#if PY_VERSION_HEX >= 0x030C0000

PyCodeObject *
interruption_frame_code(void *frame)
{
    if (frame == NULL) {
        return NULL;
    }
    PyObject *code = PyUnstable_InterpreterFrame_GetCode(frame);
    if (code != NULL && !PyCode_Check(code)) {
        Py_CLEAR(code); /* None, of a frame that stands for C code */
    }
    return (PyCodeObject *)code;
}

int
interruption_frame_lasti(void *frame)
{
    return PyUnstable_InterpreterFrame_GetLasti(frame);
}

PyObject *
interruption_frame_argument(PyFrameObject *frame, PyCodeObject *code, int index)
{
    PyObject *value = PyFrame_GetVar(frame, PyTuple_GET_ITEM(code->co_localsplusnames, index));
    if (value == NULL) {
        PyErr_Clear();
    }
    return value;
}

#else /* 3.11 has no function for it, and will not change its frames any more. */

#define Py_BUILD_CORE 1
#include <internal/pycore_frame.h>

PyCodeObject *
interruption_frame_code(void *frame)
{
    return frame == NULL
               ? NULL
               : (PyCodeObject *)Py_NewRef((PyObject *)((_PyInterpreterFrame *)frame)->f_code);
}

int
interruption_frame_lasti(void *frame)
{
    return _PyInterpreterFrame_LASTI((_PyInterpreterFrame *)frame) * (int)sizeof(_Py_CODEUNIT);
}

PyObject *
interruption_frame_argument(PyFrameObject *frame, PyCodeObject *Py_UNUSED(code), int index)
{
    PyObject *value = frame->f_frame->localsplus[index];
    if (value != NULL && PyCell_Check(value)) {
        value = PyCell_GET(value);
    }
    return Py_XNewRef(value);
}

bool
interruption_frame_trace_opcodes(PyFrameObject *frame, bool trace)
{
    bool before = frame->f_trace_opcodes;
    frame->f_trace_opcodes = trace;
    return before;
}

#endif

/* How a frame object begins, in every version so far; interruption_check_frames makes sure. */
typedef struct {
    PyObject_HEAD
    PyFrameObject *back;
    void *frame;
} frame_object;

void *
interruption_frame_address(PyFrameObject *frame)
{
    return ((frame_object *)frame)->frame;
}

int
interruption_check_frames(void)
{
    PyThreadState *tstate = PyThreadState_Get();
    PyFrameObject *object = PyThreadState_GetFrame(tstate);
    if (object == NULL) {
        return 0; /* imported by C code alone: nothing to compare */
    }
    void *frame = interruption_frame_now(tstate);
    PyCodeObject *code = interruption_frame_code(frame);
    PyCodeObject *expected = PyFrame_GetCode(object);
    bool right = interruption_frame_address(object) == frame && code == expected &&
                 interruption_frame_lasti(frame) == PyFrame_GetLasti(object);
    Py_XDECREF(code);
    Py_DECREF(expected);
    Py_DECREF(object);
    if (!right) {
        PyErr_SetString(PyExc_ImportError,
                        "interruption does not know the frames of this build of CPython");
        return -1;
    }
    return 0;
}
