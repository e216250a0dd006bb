/* Seconds, as users give them. */
#ifndef MOD_SECONDS_H
#define MOD_SECONDS_H

#include "state.h"

/*
 * A time that a user has given, in `*seconds`: None (or NULL) and infinity, and what is beyond all
 * floats, are for ever. Returns 0, or -1 with an exception set that calls it `name`. TypeError: not
 * a number (a bool is none). ValueError: negative, or NaN.
 *
 * The one rule for whatever takes seconds, also in Python.
 */
int mod_seconds(PyObject *given, const char *name, double *seconds);

/* The same of a moment on a clock, which may be negative. */
int mod_moment_of(PyObject *given, const char *name, double *moment);

/* _seconds(given, name): the above as a function. */
PyObject *mod_seconds_method(PyObject *module, PyObject *args);

#endif
