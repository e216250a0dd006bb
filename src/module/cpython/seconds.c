/* See seconds.h. */
#include "cpython/seconds.h"

#include <math.h>
#include <stdbool.h>

/* Is it a number, as whoever takes a float takes one? */
static bool
is_number(PyObject *given)
{
    const PyNumberMethods *methods = Py_TYPE(given)->tp_as_number;
    return !PyBool_Check(given) && methods != NULL &&
           (methods->nb_float != NULL || methods->nb_index != NULL);
}

/* -1 with TypeError set: that is no number of seconds. */
static int
refuse(PyObject *given, const char *name)
{
    const char *hint =
        PyObject_HasAttrString(given, "total_seconds") ? ": give its total_seconds()" : "";
    PyErr_Format(PyExc_TypeError, "%s must be a number of seconds or None, not %.200s%s", name,
                 Py_TYPE(given)->tp_name, hint);
    return -1;
}

int
mod_moment_of(PyObject *given, const char *name, double *moment)
{
    *moment = Py_HUGE_VAL;
    if (given == NULL || given == Py_None) {
        return 0;
    }
    if (!PyFloat_CheckExact(given) && !PyLong_CheckExact(given) && !is_number(given)) {
        return refuse(given, name);
    }
#if PY_VERSION_HEX >= 0x030C0000 /* gh-101291 */
    if (PyLong_CheckExact(given) && PyUnstable_Long_IsCompact((PyLongObject *)given)) {
        *moment = (double)PyUnstable_Long_CompactValue((PyLongObject *)given);
        return 0;
    }
#endif
    /* That of an int is the same, but for a float that is made on the way. */
    double number = PyLong_CheckExact(given) ? PyLong_AsDouble(given) : PyFloat_AsDouble(given);
    if (number == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        PyErr_Clear(); /* an int past the floats */
        PyObject *zero = PyLong_FromLong(0);
        int negative = zero == NULL ? -1 : PyObject_RichCompareBool(given, zero, Py_LT);
        Py_XDECREF(zero);
        if (negative < 0) {
            return -1;
        }
        number = negative ? -Py_HUGE_VAL : Py_HUGE_VAL;
    }
    if (isnan(number)) {
        PyErr_Format(PyExc_ValueError, "%s must be a number of seconds or None, not NaN", name);
        return -1;
    }
    *moment = number;
    return 0;
}

int
mod_seconds(PyObject *given, const char *name, double *seconds)
{
    if (mod_moment_of(given, name, seconds) < 0) {
        return -1;
    }
    if (*seconds < 0) {
        PyErr_Format(PyExc_ValueError,
                     "%s must be zero or more seconds, or None for no limit, not %R", name, given);
        return -1;
    }
    return 0;
}

PyObject *
mod_seconds_method(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *given;
    const char *name;
    double seconds;
    if (!PyArg_ParseTuple(args, "Os:_seconds", &given, &name) ||
        mod_seconds(given, name, &seconds) < 0) {
        return NULL;
    }
    return PyFloat_FromDouble(seconds);
}
