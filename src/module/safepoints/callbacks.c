/* See callbacks.h. */
#include "safepoints/callbacks.h"

#include "cpython/compat.h"

/* Arguments. ---------------------------------------------------------------------------------- */

typedef struct {
    PyFrameObject *frame;
    PyCodeObject *code;
    PyObject *rest;   /* of `*args`: a tuple, or NULL; strong */
    Py_ssize_t count; /* of positional arguments, those in `rest` among them */
} arguments;

static void
find_callback_arguments(PyFrameObject *frame, PyCodeObject *code, arguments *of)
{
    *of = (arguments){.frame = frame, .code = code, .count = code->co_argcount};
    if (code->co_flags & CO_VARARGS) {
        int index = code->co_argcount + code->co_kwonlyargcount;
        of->rest = mod_frame_argument(frame, code, index);
        if (of->rest != NULL && !PyTuple_CheckExact(of->rest)) {
            Py_CLEAR(of->rest); /* another value has been bound to the name */
        }
        of->count += of->rest == NULL ? 0 : PyTuple_GET_SIZE(of->rest);
    }
}

/* A new reference, or NULL: it has no value any more. */
static PyObject *
argument(const arguments *of, Py_ssize_t index)
{
    if (index < of->code->co_argcount) {
        return mod_frame_argument(of->frame, of->code, (int)index);
    }
    assert(of->rest != NULL); /* there are more than the code names */
    return Py_NewRef(PyTuple_GET_ITEM(of->rest, index - of->code->co_argcount));
}

/* Can it have been called with so many? */
static bool
may_have_been_given(const arguments *of, Py_ssize_t count)
{
    if (of->count > of->code->co_argcount) {
        return of->count == count;
    }
    PyObject *function = mod_frame_function(of->frame);
    PyObject *defaults = function == NULL ? NULL : PyFunction_GET_DEFAULTS(function);
    Py_ssize_t left_out = defaults == NULL ? 0 : PyTuple_GET_SIZE(defaults);
    Py_XDECREF(function);
    return of->code->co_argcount - left_out <= count;
}

/* Kinds of callbacks. ------------------------------------------------------------------------- */

/* Is it the `__del__` of its first argument's class? The function may have another name. */
static bool
is_finalizer(const arguments *of, PyObject *first)
{
    PyTypeObject *type = Py_TYPE(first);
    if (type->tp_finalize == NULL && type->tp_del == NULL) {
        return false;
    }
    PyObject *found = mod_find_in_class(type, "__del__");
    bool same = found != NULL && PyFunction_Check(found) &&
                PyFunction_GET_CODE(found) == (PyObject *)of->code;
    Py_XDECREF(found);
    return same;
}

/* A weak reference's callback is given the dead reference and, if it is a method, `self`. */
static bool
is_given_dead_reference(const arguments *of, PyObject *value, Py_ssize_t index)
{
    return index <= 1 && !mod_is_named(of->code, MOD_INIT) && mod_is_dead_reference(value) &&
           may_have_been_given(of, index + 1);
}

/* A signal handler is given the signal's number, and the frame that it interrupts. */
static bool
is_given_signal(const arguments *of, PyObject *before, PyObject *value)
{
    if (before == NULL || !PyLong_Check(before) || !PyFrame_Check(value)) {
        return false;
    }
    PyFrameObject *back = mod_frame_before(of->frame);
    bool same = value == (PyObject *)back;
    Py_XDECREF(back);
    return same;
}

/* By comparing texts only: a key's `__eq__` may be anybody's. */
static bool
has_key(PyObject *dict, const char *name)
{
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value);) {
        if (PyUnicode_CheckExact(key) && PyUnicode_CompareWithASCIIString(key, name) == 0) {
            return true;
        }
    }
    return false;
}

/* One of gc.callbacks is told "start" or "stop", and figures. */
static bool
is_given_figures(PyObject *before, PyObject *value)
{
    return before != NULL && PyUnicode_CheckExact(before) && PyDict_CheckExact(value) &&
           (PyUnicode_CompareWithASCIIString(before, "start") == 0 ||
            PyUnicode_CompareWithASCIIString(before, "stop") == 0) &&
           has_key(value, "generation") && has_key(value, "uncollectable");
}

/* Are its arguments those of one? */
static bool
is_given_as_callbacks_are(const arguments *of)
{
    PyObject *before = NULL;
    bool answer = false;
    for (Py_ssize_t i = 0; i < of->count && !answer; i++) {
        PyObject *value = argument(of, i);
        answer = value != NULL &&
                 ((i == 0 && is_finalizer(of, value)) || is_given_dead_reference(of, value, i) ||
                  is_given_signal(of, before, value) || is_given_figures(before, value));
        Py_XDECREF(before);
        before = value;
    }
    Py_XDECREF(before);
    return answer;
}

bool
mod_is_callback(PyFrameObject *frame, PyCodeObject *code)
{
    if (!mod_frame_is_called_by_c(frame)) {
        return false;
    }
    if (mod_is_named(code, MOD_DEL)) {
        return true;
    }
    arguments of;
    find_callback_arguments(frame, code, &of);
    bool answer = is_given_as_callbacks_are(&of);
    Py_XDECREF(of.rest);
    return answer;
}
