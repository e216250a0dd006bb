/*
 * Arguments of METH_FASTCALL | METH_KEYWORDS functions, sorted into their places.
 */
#ifndef MOD_FASTCALL_H
#define MOD_FASTCALL_H

#include "state.h"

typedef struct {
    const char *function;     /* its name, for errors */
    const char *const *names; /* of the parameters, in order; ends with NULL */
    Py_ssize_t required;      /* so many must be given */
    Py_ssize_t positional;    /* so many may be given by position; the rest by name only */
} mod_signature;

/*
 * Sort them: `places[i]` is the argument for `names[i]` (borrowed), or NULL. Returns 0, or -1 with
 * TypeError set, worded as Python words it.
 */
int mod_sort_arguments(const mod_signature *signature, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames, PyObject **places);

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
