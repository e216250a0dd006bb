/*
 * Asking threads to stop: the methods interrupt, interrupt_all_threads and _requested_of.
 */
#ifndef INTERRUPTION_REQUESTS_H
#define INTERRUPTION_REQUESTS_H

#include "state.h"
#include "target.h"

PyObject *interruption_interrupt(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames);
PyObject *interruption_interrupt_all_threads(PyObject *module, PyObject *const *args,
                                             Py_ssize_t nargs, PyObject *kwnames);
PyObject *interruption_requested_of(PyObject *module, PyObject *thread);

/*
 * Ask a target, with the exception class and reason as the user gave them (NULL: not given).
 * Releases the target. 1: the request is new; 0: one was waiting, or the thread has ended; -1 with
 * an exception set, and nothing was asked.
 */
int interruption_ask(interruption_state *state, interruption_target *target, PyObject *exc_type,
                     PyObject *reason);

/* Check them before a target is looked for; as above. A default (ThreadExit, None) becomes NULL. 0,
 * -1. */
int interruption_check_request(interruption_state *state, PyObject **exc_type, PyObject **reason);

#endif
