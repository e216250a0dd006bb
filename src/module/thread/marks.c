/* See marks.h. */
#include "thread/marks.h"

#include "cpython/compat.h"

static const char name_of_mark[] = "_interruption_scope";

/* Past a `__setattr__` of the class's. */
int
mod_mark(PyObject *exception, uint64_t number)
{
    mod_raised raised = mod_put_aside();
    PyObject *name = PyUnicode_InternFromString(name_of_mark);
    PyObject *value = name == NULL ? NULL : PyLong_FromUnsignedLongLong(number);
    int status = value == NULL ? -1 : PyObject_GenericSetAttr(exception, name, value);
    Py_XDECREF(value);
    Py_XDECREF(name);
    if (status == 0) {
        mod_put_back(raised);
        return 0;
    }
    Py_XDECREF(raised.type);
    Py_XDECREF(raised.value);
    Py_XDECREF(raised.traceback);
    return -1;
}

bool
mod_is_marked(PyObject *exception, uint64_t number)
{
    if (!PyExceptionInstance_Check(exception)) {
        return false;
    }
    mod_raised raised = mod_put_aside();
    PyObject *name = PyUnicode_InternFromString(name_of_mark);
    PyObject *value = name == NULL ? NULL : PyObject_GenericGetAttr(exception, name);
    bool is =
        value != NULL && PyLong_CheckExact(value) && PyLong_AsUnsignedLongLongMask(value) == number;
    Py_XDECREF(value);
    Py_XDECREF(name);
    mod_put_back(raised);
    return is;
}
