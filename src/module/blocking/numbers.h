/* Arguments that are plain numbers. What is anything else is left to the original, as what is out
   of range is: false, and nothing is set. `argument` may be NULL: it was not given. */
#ifndef MOD_BLOCKING_NUMBERS_H
#define MOD_BLOCKING_NUMBERS_H

#include "state.h"

#include <limits.h>
#include <stdbool.h>

static inline bool
mod_size_of(PyObject *argument, Py_ssize_t *size)
{
    if (argument == NULL || !PyLong_Check(argument)) {
        return false;
    }
    *size = PyLong_AsSsize_t(argument);
    if (*size == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return true;
}

static inline bool
mod_int_of(PyObject *argument, int *number)
{
    Py_ssize_t size;
    if (!mod_size_of(argument, &size) || size < INT_MIN || size > INT_MAX) {
        return false;
    }
    *number = (int)size;
    return true;
}

/* Flags that may be left out: 0 then. */
static inline bool
mod_flags_of(PyObject *argument, int *flags)
{
    *flags = 0;
    return argument == NULL || mod_int_of(argument, flags);
}

/* Is it a time that does not last: a number that is zero or less? A call with it does not wait. */
static inline bool
mod_is_no_time(PyObject *timeout)
{
    if (PyFloat_CheckExact(timeout)) {
        return PyFloat_AS_DOUBLE(timeout) <= 0;
    }
    Py_ssize_t count;
    return PyLong_CheckExact(timeout) && mod_size_of(timeout, &count) && count <= 0;
}

#endif
