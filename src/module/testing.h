/*
 * What only the tests ask the module for: private methods, which no user calls, and which
 * wheels are built without (meson.options: testing).
 */
#ifndef MOD_TESTING_H
#define MOD_TESTING_H

#include "state.h"

#ifdef INTERRUPTION_TESTING

PyObject *mod_testing_held(PyObject *module, PyObject *unused);
PyObject *mod_testing_held_place(PyObject *module, PyObject *unused);
PyObject *mod_testing_held_size(PyObject *module, PyObject *unused);
PyObject *mod_testing_held_by(PyObject *module, PyObject *ident); /* of a thread in a region */

/* _while_entering(function, /): call it once, when a scope is being entered. */
PyObject *mod_testing_while_entering(PyObject *module, PyObject *function);

/* Call os.fork() as if another thread held the mutex of the threads' list in that moment. */
PyObject *mod_testing_fork_while_locked(PyObject *module, PyObject *fork);

#define MOD_TESTING_METHODS                                                                        \
    {"_held", mod_testing_held, METH_NOARGS, NULL},                                                \
        {"_held_place", mod_testing_held_place, METH_NOARGS, NULL},                                \
        {"_fork_while_locked", mod_testing_fork_while_locked, METH_O, NULL},                       \
        {"_while_entering", mod_testing_while_entering, METH_O, NULL},                             \
        {"_held_size", mod_testing_held_size, METH_NOARGS, NULL},                                  \
    {                                                                                              \
        "_held_by", mod_testing_held_by, METH_O, NULL                                              \
    }

#else
#define MOD_TESTING_METHODS {NULL, NULL, 0, NULL}
#endif

#endif
