/*
 * ThreadExit (S13), and raising what a request asks for (S2).
 */
#ifndef MOD_THREAD_EXIT_H
#define MOD_THREAD_EXIT_H

#include "state.h"

/* Make the type and add it to the module and the state. 0, or -1 with an exception set. */
int mod_thread_exit_init(PyObject *module, mod_state *state);

/*
 * Raise what a request asks for: an instance of exc_type (NULL: ThreadExit) with that reason (NULL:
 * None). Sets an exception in any case, and returns it, as a new reference; if making the instance
 * fails, that failure's is set, and NULL returned.
 */
PyObject *mod_raise(mod_state *state, PyObject *exc_type, PyObject *reason);

/*
 * Can a request ask for it? It must be an exception class that can be called without arguments and
 * takes a `.reason`; it is tried once. Returns 0, or -1 with TypeError set, caused by what went
 * wrong.
 */
int mod_check_exc_type(PyObject *exc_type, PyObject *reason);

/* A reason that a user has given: 0, or -1 with TypeError set if it is neither str nor None. */
int mod_check_reason(PyObject *reason);

/* _make_exception(exc_type, reason): what mod_raise raises. */
PyObject *mod_make_exception(PyObject *module, PyObject *args);

#endif
