/*
 * Asking threads to stop: the methods interrupt, interrupt_all_threads, _new_origin,
 * _begin_shutdown, _ask, _take_back, _end_shutdown and _requested_of.
 */
#ifndef INTERRUPTION_REQUESTS_H
#define INTERRUPTION_REQUESTS_H

#include "state.h"
#include "thread/target.h"

PyObject *interruption_interrupt(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames);
PyObject *interruption_interrupt_all_threads(PyObject *module, PyObject *const *args,
                                             Py_ssize_t nargs, PyObject *kwnames);
PyObject *interruption_new_origin(PyObject *module, PyObject *unused);
PyObject *interruption_begin_shutdown(PyObject *module, PyObject *args);
PyObject *interruption_ask_in_shutdown(PyObject *module, PyObject *args);
PyObject *interruption_take_back(PyObject *module, PyObject *args);
PyObject *interruption_end_shutdown(PyObject *module, PyObject *unused);
PyObject *interruption_requested_of(PyObject *module, PyObject *thread);

/*
 * Ask a target, with the exception class and reason as the user gave them (NULL: not given).
 * Releases the target. 1: the request is new; 0: one was waiting, or the thread has ended; -1 with
 * an exception set, and nothing was asked.
 */
int interruption_ask(interruption_state *state, interruption_target *target, PyObject *exc_type,
                     PyObject *reason);

/*
 * Ask the thread of that id to stop, if it is in the scope of that number; class and reason as
 * above. 1: it is in it; 0: it is not, and nothing has happened; -1 with an exception set,
 * likewise.
 */
int interruption_ask_scope(interruption_state *state, uintptr_t thread_id, uint64_t scope,
                           PyObject *exc_type, PyObject *reason);

/* _check_request(exc_type, reason): the below as a function; None is the default of either. */
PyObject *interruption_check_request_method(PyObject *module, PyObject *args);

/* Check them before a target is looked for; as above. A default (ThreadExit, None) becomes NULL. 0,
 * -1. */
int interruption_check_request(interruption_state *state, PyObject **exc_type, PyObject **reason);

#endif
