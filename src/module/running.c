/* See running.h. */
#include "running.h"

#include "compat.h"

static void
add_frame(PyFrameObject *frame, void *arg)
{
    interruption_running *to = arg;
    PyCodeObject *code = PyFrame_GetCode(frame);
    if (to->count > 0 && to->codes[to->count - 1].code == code) {
        Py_DECREF(code); /* a recursion */
        return;
    }
    if (to->count == to->capacity) {
        size_t capacity = to->capacity == 0 ? 16 : 2 * to->capacity;
        interruption_running_code *larger =
            PyMem_RawRealloc(to->codes, capacity * sizeof(*to->codes));
        if (larger == NULL) {
            Py_DECREF(code);
            return;
        }
        to->codes = larger;
        to->capacity = capacity;
    }
    to->codes[to->count++] = (interruption_running_code){code, PyFrame_GetGlobals(frame)};
}

/* What a suspended generator or coroutine waits for by `yield from` or `await`, if that is one,
   too: a new reference, or NULL. */
static PyObject *
awaited_by(PyObject *generator)
{
    const char *name = PyCoro_CheckExact(generator)       ? "cr_await"
                       : PyAsyncGen_CheckExact(generator) ? "ag_await"
                                                          : "gi_yieldfrom";
    PyObject *awaited = PyObject_GetAttrString(generator, name);
    if (awaited != NULL && !PyGen_CheckExact(awaited) && !PyCoro_CheckExact(awaited)) {
        Py_CLEAR(awaited);
    }
    PyErr_Clear();
    return awaited;
}

/* The frame of a generator or coroutine: a new reference, or NULL. */
static PyObject *
frame_of(PyObject *generator)
{
    PyObject *frame =
        PyObject_GetAttrString(generator, PyCoro_CheckExact(generator) ? "cr_frame" : "gi_frame");
    if (frame != NULL && !PyFrame_Check(frame)) {
        Py_CLEAR(frame);
    }
    PyErr_Clear();
    return frame;
}

/* A generator that has entered a region, and what will run when it is resumed: nothing tells when
   that is entered. */
static void
add_generator(PyFrameObject *frame, void *arg)
{
    add_frame(frame, arg);
    PyObject *generator = PyFrame_GetGenerator(frame);
    while (generator != NULL) {
        PyObject *awaited = awaited_by(generator);
        Py_DECREF(generator);
        generator = awaited;
        PyObject *inner = generator == NULL ? NULL : frame_of(generator);
        if (inner != NULL) {
            add_frame((PyFrameObject *)inner, arg);
            Py_DECREF(inner);
        }
    }
}

/* While the thread cannot run. */
static void
find_running(void *arg)
{
    interruption_running *to = arg;
    const interruption_thread *thread = to->thread;
    interruption_view view;
    interruption_look_at_blocks(thread->tstate, &thread->blocks, &view);
    PyFrameObject *frame = view.region == NULL ? NULL : PyThreadState_GetFrame(thread->tstate);
    while (frame != NULL) {
        add_frame(frame, to);
        if (interruption_is_frame_of(view.region, frame)) {
            break;
        }
        frame = interruption_frame_back(frame);
    }
    Py_XDECREF(frame);
    interruption_visit_generators(&thread->blocks, add_generator, to);
}

void
interruption_find_running(const interruption_thread *thread, interruption_running *found)
{
    *found = (interruption_running){.thread = thread};
    interruption_while_stopped(find_running, found);
}

/* Of a function; what else it is cannot be told. Takes the reference. */
static interruption_running_code
code_of_function(PyObject *function)
{
    interruption_running_code found = {NULL, NULL};
    if (function != NULL && PyFunction_Check(function)) {
        found.code = (PyCodeObject *)Py_NewRef(PyFunction_GET_CODE(function));
        found.globals = Py_NewRef(PyFunction_GET_GLOBALS(function));
    }
    Py_XDECREF(function);
    return found;
}

interruption_running_code
interruption_called_code(PyObject *callable)
{
    if (PyFunction_Check(callable) || PyCFunction_Check(callable)) {
        return code_of_function(Py_NewRef(callable));
    }
    if (PyMethod_Check(callable)) {
        return code_of_function(Py_NewRef(PyMethod_GET_FUNCTION(callable)));
    }
    if (PyType_Check(callable)) {
        return code_of_function(interruption_find_in_class((PyTypeObject *)callable, "__init__"));
    }
    if (PyGen_CheckExact(callable)) {
        return (interruption_running_code){PyGen_GetCode((PyGenObject *)callable), NULL};
    }
    if (PyCoro_CheckExact(callable)) {
        PyObject *code = PyObject_GetAttrString(callable, "cr_code");
        PyErr_Clear(); /* no memory: not told, then */
        return (interruption_running_code){(PyCodeObject *)code, NULL};
    }
    return code_of_function(interruption_find_in_class(Py_TYPE(callable), "__call__"));
}
