/* See installed.h. */
#include "safepoints/installed.h"

#include <stdatomic.h>
#include <string.h>

#include "cpython/compat.h"
#include "safepoints/protected.h"

/* What installers put packages in, of whatever prefix. */
static const char *const folders[] = {"/site-packages/", "/dist-packages/"};

/* Strong, or NULL. atomic: release by interruption_set_own, acquire by readers. What it had before
   is never freed: somebody may be reading it. */
static _Atomic(PyObject *) own;

static bool
is_at(PyObject *text, Py_ssize_t at, const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (PyUnicode_READ_CHAR(text, at + (Py_ssize_t)i) != (unsigned char)word[i]) {
            return false;
        }
    }
    return true;
}

static bool
contains(PyObject *text, const char *word)
{
    size_t length = strlen(word);
    Py_ssize_t last = PyUnicode_GET_LENGTH(text) - (Py_ssize_t)length;
    for (Py_ssize_t at = 0; at <= last; at++) {
        if (PyUnicode_READ_CHAR(text, at) == '/' && is_at(text, at, word, length)) {
            return true;
        }
    }
    return false;
}

/* Is the module that one, or below it? */
static bool
is_or_is_below(PyObject *module_name, PyObject *package)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(package);
    if (PyUnicode_Tailmatch(module_name, package, 0, length, -1) != 1) {
        PyErr_Clear();
        return false;
    }
    return PyUnicode_GET_LENGTH(module_name) == length ||
           PyUnicode_READ_CHAR(module_name, length) == '.';
}

static bool
is_own(PyObject *globals)
{
    PyObject *names = atomic_load_explicit(&own, memory_order_acquire);
    if (names == NULL || globals == NULL || !PyDict_Check(globals)) {
        return false;
    }
    PyObject *key = PyUnicode_InternFromString("__name__");
    PyObject *name = NULL;
    bool found = false;
    if (key != NULL && interruption_get_item(globals, key, &name) > 0 && PyUnicode_Check(name)) {
        for (Py_ssize_t i = 0; !found && i < PyTuple_GET_SIZE(names); i++) {
            found = is_or_is_below(name, PyTuple_GET_ITEM(names, i));
        }
    }
    Py_XDECREF(name);
    Py_XDECREF(key);
    PyErr_Clear();
    return found;
}

bool
interruption_is_installed(PyCodeObject *code, PyObject *globals)
{
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        if (contains(code->co_filename, folders[i])) {
            return !is_own(globals);
        }
    }
    return false;
}

bool
interruption_is_programs_frame(interruption_state *state, PyFrameObject *frame, PyCodeObject *code)
{
    PyObject *globals = PyFrame_GetGlobals(frame);
    bool answer = !interruption_is_protected(state, code, globals) &&
                  !interruption_is_installed(code, globals);
    Py_XDECREF(globals);
    return answer;
}

PyObject *
interruption_set_own(PyObject *Py_UNUSED(module), PyObject *names)
{
    if (!PyTuple_CheckExact(names)) {
        PyErr_SetString(PyExc_TypeError, "a tuple of str is wanted");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        if (!PyUnicode_Check(PyTuple_GET_ITEM(names, i))) {
            PyErr_SetString(PyExc_TypeError, "a tuple of str is wanted");
            return NULL;
        }
    }
    atomic_store_explicit(&own, Py_NewRef(names), memory_order_release);
    Py_RETURN_NONE;
}

PyObject *
interruption_is_installed_method(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *code, *globals;
    if (!PyArg_ParseTuple(args, "O!O:_is_installed", &PyCode_Type, &code, &globals)) {
        return NULL;
    }
    return PyBool_FromLong(interruption_is_installed((PyCodeObject *)code, globals));
}
