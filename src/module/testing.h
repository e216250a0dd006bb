/*
 * What only the tests ask the module for: private methods, which no user calls, and which
 * wheels are built without (meson.options: testing).
 */
#ifndef INTERRUPTION_TESTING_H
#define INTERRUPTION_TESTING_H

#include "state.h"

#ifdef INTERRUPTION_TESTING

PyObject *interruption_testing_interpose(PyObject *module, PyObject *args);
PyObject *interruption_testing_track(PyObject *module, PyObject *on);
PyObject *interruption_testing_held(PyObject *module, PyObject *unused);
PyObject *interruption_testing_held_place(PyObject *module, PyObject *unused);
PyObject *interruption_testing_held_size(PyObject *module, PyObject *unused);
PyObject *interruption_testing_held_by(PyObject *module, PyObject *tracker);

/* _safepoints(code, since=-1, /): what may happen at each code unit of a code object. A list with
   an entry for each: (offset, flags, cleanup, cleanup but for that of the innermost `with`). */
PyObject *interruption_testing_safepoints(PyObject *module, PyObject *args);

/* Call os.fork() as if another thread held the mutex of the threads' list in that moment. */
PyObject *interruption_testing_fork_while_locked(PyObject *module, PyObject *fork);

#define INTERRUPTION_TESTING_METHODS                                                               \
    {"_interpose_locks", interruption_testing_interpose, METH_VARARGS, NULL},                      \
        {"_track_locks", interruption_testing_track, METH_O, NULL},                                \
        {"_held", interruption_testing_held, METH_NOARGS, NULL},                                   \
        {"_safepoints", interruption_testing_safepoints, METH_VARARGS, NULL},                      \
        {"_held_place", interruption_testing_held_place, METH_NOARGS, NULL},                       \
        {"_fork_while_locked", interruption_testing_fork_while_locked, METH_O, NULL},              \
        {"_held_size", interruption_testing_held_size, METH_NOARGS, NULL},                         \
    {                                                                                              \
        "_held_by", interruption_testing_held_by, METH_O, NULL                                     \
    }

#else
#define INTERRUPTION_TESTING_METHODS {NULL, NULL, 0, NULL}
#endif

#endif
