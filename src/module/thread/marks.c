/* See marks.h. */
#include "thread/marks.h"

#include "cpython/compat.h"
#include "cpython/frame.h"

/* Past a `__setattr__` of the class's. */
int
mod_mark(PyObject *exception, uint64_t number)
{
    mod_raised raised = mod_put_aside();
    PyObject *value = PyLong_FromUnsignedLongLong(number);
    int status = value == NULL ? -1 : PyObject_GenericSetAttr(exception, mod_name(MOD_MARK), value);
    Py_XDECREF(value);
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
    PyObject *value = PyObject_GenericGetAttr(exception, mod_name(MOD_MARK));
    bool is =
        value != NULL && PyLong_CheckExact(value) && PyLong_AsUnsignedLongLongMask(value) == number;
    Py_XDECREF(value);
    mod_put_back(raised);
    return is;
}
