/* See frame.h. */
#include "cpython/frame.h"

#include <stddef.h>

#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1 /* for the frame that called a frame, without making frame objects */
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter" /* in its inline functions */
#pragma GCC diagnostic ignored "-Wunused-variable"
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_genobject.h>
#include <internal/pycore_interpframe.h>
#else
#include <internal/pycore_frame.h>
#endif
#if PY_VERSION_HEX >= 0x030D0000
#include <internal/pycore_runtime.h>
#endif
#pragma GCC diagnostic pop

/* A borrowed reference, to something else if the frame stands for C code. From 3.14 the fields are
   tagged (gh-123923, gh-127705). */
#if PY_VERSION_HEX >= 0x030D0000
#define CODE_OF(frame) _PyFrame_GetCode(frame)
#else
#define CODE_OF(frame) ((frame)->f_code)
#endif

#if PY_VERSION_HEX >= 0x030E0000
#define FUNCTION_OF(frame) PyStackRef_AsPyObjectBorrow((frame)->f_funcobj)
#else
#define FUNCTION_OF(frame) ((frame)->f_funcobj)
#endif

#if PY_VERSION_HEX >= 0x030C0000

PyObject *
mod_frame_argument(PyFrameObject *frame, PyCodeObject *code, int index)
{
    PyObject *value = PyFrame_GetVar(frame, PyTuple_GET_ITEM(code->co_localsplusnames, index));
    if (value == NULL) {
        PyErr_Clear();
    }
    return value;
}

bool
mod_frame_is_called_by_c(PyFrameObject *frame)
{
    /* Between the two is a frame that stands for a piece of the C stack. */
    const struct _PyInterpreterFrame *of = mod_frame_address(frame);
    return of->previous == NULL || of->previous->owner > FRAME_OWNED_BY_GENERATOR;
}

PyObject *
mod_frame_function(PyFrameObject *frame)
{
    const struct _PyInterpreterFrame *of = mod_frame_address(frame);
    PyObject *function = FUNCTION_OF(of);
    return function != NULL && PyFunction_Check(function) ? Py_NewRef(function) : NULL;
}

#else /* 3.11 has no function for it, and will not change its frames any more. */

PyObject *
mod_frame_argument(PyFrameObject *frame, PyCodeObject *Py_UNUSED(code), int index)
{
    PyObject *value = frame->f_frame->localsplus[index];
    if (value != NULL && PyCell_Check(value)) {
        value = PyCell_GET(value);
    }
    return Py_XNewRef(value);
}

bool
mod_frame_is_called_by_c(PyFrameObject *frame)
{
    return frame->f_frame->is_entry;
}

PyObject *
mod_frame_function(PyFrameObject *frame)
{
    return Py_XNewRef((PyObject *)frame->f_frame->f_func);
}

bool
mod_frame_trace_opcodes(PyFrameObject *frame, bool trace)
{
    bool before = frame->f_trace_opcodes;
    frame->f_trace_opcodes = trace;
    return before;
}

#endif

int
mod_find_variable(PyCodeObject *code, const char *name)
{
    for (int i = 0; i < code->co_nlocals; i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(code->co_localsplusnames, i), name) ==
            0) {
            return i;
        }
    }
    return -1;
}

PyObject *
mod_frame_variable(PyFrameObject *frame, PyCodeObject *code, const char *name)
{
    int index = mod_find_variable(code, name);
    return index < 0 ? NULL : mod_frame_argument(frame, code, index);
}

PyCodeObject *
mod_frame_place(void *frame, int *lasti)
{
    struct _PyInterpreterFrame *of = frame;
    *lasti = -1;
    PyCodeObject *code = of == NULL ? NULL : CODE_OF(of);
    if (code == NULL || !PyCode_Check(code)) {
        return NULL;
    }
    *lasti = _PyInterpreterFrame_LASTI(of) * (int)sizeof(_Py_CODEUNIT);
    return (PyCodeObject *)Py_NewRef((PyObject *)code);
}

/* How a frame object begins, in every version so far; mod_check_frames makes sure. */
typedef struct {
    PyObject_HEAD PyFrameObject *back;
    void *frame;
} frame_object;

void *
mod_frame_address(PyFrameObject *frame)
{
    return ((frame_object *)frame)->frame;
}

int
mod_check_frames(void)
{
    PyThreadState *tstate = PyThreadState_Get();
    PyFrameObject *innermost = mod_frame_of_thread(tstate);
    if (innermost == NULL) {
        return 0; /* imported by C code alone: nothing to compare */
    }
    void *frame = mod_frame_now(tstate);
    int lasti;
    PyCodeObject *code = mod_frame_place(frame, &lasti);
    PyCodeObject *expected = PyFrame_GetCode(innermost);
    assert(expected != NULL); /* each frame object has a code */
    bool right = mod_frame_address(innermost) == frame && code == expected &&
                 lasti == PyFrame_GetLasti(innermost);
    Py_XDECREF(code);
    Py_DECREF(expected);
    Py_DECREF(innermost);
    if (!right) {
        PyErr_SetString(PyExc_ImportError,
                        "interruption does not know the frames of this build of CPython");
        return -1;
    }
    return 0;
}

#if PY_VERSION_HEX >= 0x030D0000

const char *
mod_strange_frames(void)
{
    const struct {
        const char *name;
        uint64_t now;
        size_t built;
    } fields[] = {
#define FIELD(name, type, of, field, debug)                                                        \
    {name, _PyRuntime.debug_offsets.of.debug, offsetof(type, field)}
        FIELD("_PyInterpreterFrame.previous", _PyInterpreterFrame, interpreter_frame, previous,
              previous),
        FIELD("_PyInterpreterFrame.f_executable", _PyInterpreterFrame, interpreter_frame,
              f_executable, executable),
        FIELD("_PyInterpreterFrame.instr_ptr", _PyInterpreterFrame, interpreter_frame, instr_ptr,
              instr_ptr),
        FIELD("_PyInterpreterFrame.owner", _PyInterpreterFrame, interpreter_frame, owner, owner),
        FIELD("PyThreadState.current_frame", PyThreadState, thread_state, current_frame,
              current_frame),
        FIELD("PyThreadState.next", PyThreadState, thread_state, next, next),
        FIELD("PyThreadState._status", PyThreadState, thread_state, _status, status),
        FIELD("PyCodeObject.co_linetable", PyCodeObject, code_object, co_linetable, linetable),
        FIELD("PyCodeObject.co_qualname", PyCodeObject, code_object, co_qualname, qualname),
#undef FIELD
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        if (fields[i].now != fields[i].built) {
            return fields[i].name;
        }
    }
    return NULL;
}

#else /* Before gh-106597. They will not change any more; mod_check_frames has looked. */

const char *
mod_strange_frames(void)
{
    return NULL;
}

#endif

/* From frame to frame. ------------------------------------------------------------------------ */

static void
arrive_at(mod_walk *walk, PyFrameObject *frame)
{
    Py_XDECREF(walk->code);
    walk->frame = frame;
    walk->code = frame == NULL ? NULL : PyFrame_GetCode(frame);
}

mod_walk
mod_walk_begin(PyThreadState *tstate)
{
    mod_walk walk = {.code = NULL};
    arrive_at(&walk, mod_frame_innermost(tstate, &walk.lost));
    return walk;
}

void
mod_walk_on(mod_walk *walk)
{
    if (walk->frame != NULL) {
        arrive_at(walk, mod_frame_back(walk->frame, &walk->lost));
    }
}

void
mod_walk_end(mod_walk *walk)
{
    Py_XDECREF(walk->frame);
    Py_XDECREF(walk->code);
}

/* Where a frame is, cheaply. ------------------------------------------------------------------ */

/* Not those that stand for a piece of the C stack, nor those just being made. */
static struct _PyInterpreterFrame *
complete_frame(struct _PyInterpreterFrame *frame)
{
    while (frame != NULL && _PyFrame_IsIncomplete(frame)) {
        frame = frame->previous;
    }
    return frame;
}

void *
mod_peek_at_frame(void *frame, PyCodeObject **code, int *lasti)
{
    struct _PyInterpreterFrame *of = complete_frame(frame);
    if (of == NULL) {
        return NULL;
    }
    *code = CODE_OF(of);
    *lasti = _PyInterpreterFrame_LASTI(of) * (int)sizeof(_Py_CODEUNIT);
    return of;
}

void *
mod_frame_below(void *frame)
{
    return ((struct _PyInterpreterFrame *)frame)->previous;
}

/* The name of the generator whose frame it is. */
static const void *
generator_of(struct _PyInterpreterFrame *frame)
{
    char *generator = (char *)frame - offsetof(PyGenObject, gi_iframe);
    return &((PyGenObject *)(void *)generator)->gi_exc_state;
}

bool
mod_is_generator_of(const void *generator, PyFrameObject *frame)
{
    struct _PyInterpreterFrame *of = mod_frame_address(frame);
    return of->owner == FRAME_OWNED_BY_GENERATOR && generator_of(of) == generator;
}

bool
mod_has_no_frame(PyThreadState *tstate, const void *generator)
{
    struct _PyInterpreterFrame *frame = complete_frame(mod_frame_now(tstate));
    while (frame != NULL && frame->owner != FRAME_OWNED_BY_GENERATOR) {
        frame = complete_frame(frame->previous);
    }
    return frame == NULL || generator_of(frame) != generator;
}

/* With the same values each time in one interpreter. */
_Atomic(PyObject *) mod_names[MOD_NAMES];

static const char *const spellings[MOD_NAMES] = {
    [MOD_ENTER] = "__enter__",
    [MOD_AENTER] = "__aenter__",
    [MOD_ENTER_CONTEXT] = "enter_context",
    [MOD_ACQUIRE] = "acquire",
    [MOD_ACQUIRE_LOCK] = "acquire_lock",
    [MOD_ACQUIRE_RESTORE] = "_acquire_restore",
    [MOD_EXIT] = "__exit__",
    [MOD_AEXIT] = "__aexit__",
    [MOD_ENTER_ASYNC_CONTEXT] = "enter_async_context",
    [MOD_DEL] = "__del__",
    [MOD_INIT] = "__init__",
    [MOD_MARK] = "_interruption_scope",
};

int
mod_names_init(void)
{
    for (size_t i = 0; i < MOD_NAMES; i++) {
        PyObject *name = PyUnicode_InternFromString(spellings[i]);
        if (name == NULL) {
            return -1;
        }
        /* Kept for the life of the interpreter: a name freed and another put in its place would be
           taken for it. */
        if (atomic_exchange(&mod_names[i], name) == name) {
            Py_DECREF(name);
        }
    }
    return 0;
}

static bool
is_wrapper(const PyCodeObject *code, const mod_places *places)
{
    if (code->co_filename == places->wrapper_file) {
        return true;
    }
    int i = 0;
    while (i < MOD_WRAPPERS && !mod_is_named(code, i)) {
        i++;
    }
    return i < MOD_WRAPPERS;
}

/* The frame to tell of, when the innermost is not a plain one; NULL: none of them. */
static struct _PyInterpreterFrame *
frame_to_tell(struct _PyInterpreterFrame *frame, const mod_places *places)
{
    for (PyObject *const *but_not = places->but_not; *but_not != NULL; but_not++) {
        if ((PyObject *)CODE_OF(frame) == *but_not) {
            return NULL;
        }
    }
    while (is_wrapper(CODE_OF(frame), places)) {
        struct _PyInterpreterFrame *caller = complete_frame(frame->previous);
        if (caller == NULL) {
            break;
        }
        frame = caller;
    }
    return frame;
}

bool
mod_current_place(PyThreadState *self, const mod_places *places, PyObject **plain, PyObject **code,
                  int *lasti)
{
    struct _PyInterpreterFrame *frame = mod_frame_now(self);
    *code = NULL;
    *lasti = -1;
    /* A frame of the C stack's has no code, or none that is ever plain. */
    if (frame == NULL || frame->owner > FRAME_OWNED_BY_GENERATOR ||
        (PyObject *)CODE_OF(frame) != *plain) {
        frame = complete_frame(frame);
        if (frame == NULL) {
            return true;
        }
        struct _PyInterpreterFrame *innermost = frame;
        frame = frame_to_tell(frame, places);
        if (frame == NULL) {
            return false;
        }
        if (frame == innermost) {
            *plain = (PyObject *)CODE_OF(frame);
        }
    }
    *code = (PyObject *)CODE_OF(frame);
    *lasti = _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
    return true;
}

PyObject *
mod_describe_place(const PyCodeObject *code, int lasti)
{
    if (code == NULL) {
        return Py_NewRef(Py_None);
    }
    int line = PyCode_Addr2Line((PyCodeObject *)code, lasti);
    return Py_BuildValue("(OiO)", code->co_filename, line, code->co_qualname);
}
