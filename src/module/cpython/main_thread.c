/* See main_thread.h. */
#include "cpython/main_thread.h"

#include "cpython/compat.h"

PyObject *
mod_find_named(PyObject *dict, const char *name)
{
    PyObject *key = PyUnicode_InternFromString(name);
    PyObject *found = NULL;
    if (key != NULL && dict != NULL && PyDict_Check(dict)) {
        (void)mod_get_item(dict, key, &found);
    }
    PyErr_Clear();
    Py_XDECREF(key);
    return found;
}

bool
mod_is_main_thread(mod_state *state)
{
    mod_raised raised = mod_put_aside();
    PyObject *module = state->threading == NULL ? NULL : PyModule_GetDict(state->threading);
    PyObject *main = mod_find_named(module, "_main_thread");
    PyObject *attributes = main == NULL ? NULL : PyObject_GenericGetDict(main, NULL);
    PyObject *ident = mod_find_named(attributes, "_ident");
    unsigned long number = ident == NULL ? 0 : PyLong_AsUnsignedLong(ident);
    bool is_main = PyErr_Occurred() == NULL && number == PyThread_get_thread_ident();
    PyErr_Clear();
    Py_XDECREF(ident);
    Py_XDECREF(attributes);
    Py_XDECREF(main);
    mod_put_back(raised);
    return is_main;
}

bool
mod_raised_later(mod_state *state, PyObject **later)
{
    if (state == NULL || PyErr_ExceptionMatches(PyExc_Exception) || !mod_is_main_thread(state)) {
        return false;
    }
    PyObject *raised = mod_take_raised();
    if (*later == raised) {
        Py_DECREF(raised);
        return true;
    }
    if (*later != NULL) {
        PyException_SetContext(raised, *later);
    }
    *later = raised;
    return true;
}

int
mod_raise_kept(PyObject *later)
{
    if (later == NULL) {
        return 0;
    }
    PyObject *raised = mod_take_raised();
    if (raised != NULL && raised != later) {
        PyException_SetContext(later, Py_NewRef(raised));
    }
    Py_XDECREF(raised);
    PyErr_SetObject((PyObject *)Py_TYPE(later), later);
    Py_DECREF(later);
    return -1;
}
