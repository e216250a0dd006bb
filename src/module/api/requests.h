/*
 * Asking threads to stop: interrupt and interrupt_all_threads, and what `shutdown` needs besides.
 */
#ifndef MOD_REQUESTS_H
#define MOD_REQUESTS_H

#include "state.h"
#include "thread/target.h"

PyObject *mod_interrupt(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *mod_interrupt_all_threads(PyObject *module, PyObject *args, PyObject *kwargs);

/* _requested_of(thread): has that thread been asked to stop? What is named by `thread`, and errors,
   here and below: as interrupt(). */
PyObject *mod_requested_of(PyObject *module, PyObject *thread);

/* _until_all_are_asked(): while somebody asks all threads, wait until that is done. A thread that
   has been asked by it does not have to ask others. */
PyObject *mod_until_all_are_asked(PyObject *module, PyObject *unused);

/* In the child of a fork whoever did is not there. */
void mod_requests_after_fork_child(void);

/* _begin_shutdown(reason, origin, and_late_threads, once): interrupt_all_threads(reason), which can
   be taken back by that number, which is the caller's and not 0. and_late_threads: threads that are
   born from now on are born asked, until _end_shutdown(), which is to be called as many times,
   unless this raises TypeError. once: not of those that have been asked already. */
PyObject *mod_begin_shutdown(PyObject *module, PyObject *args);
PyObject *mod_end_shutdown(PyObject *module, PyObject *unused);

/* _ask(thread, reason, origin): the same of one thread. */
PyObject *mod_ask_in_shutdown(PyObject *module, PyObject *args);

/* _take_back(thread, origin, also_who_polls): take back what was asked by that number, if it waits
   to be delivered and nobody else has asked. also_who_polls: also from a thread that polls for
   requests. Returns whether it was. */
PyObject *mod_take_back(PyObject *module, PyObject *args);

/*
 * Ask a target, with the exception class and reason as the user gave them (NULL: not given).
 * Releases the target. 1: the request is new; 0: one was waiting, or the thread has ended; -1 with
 * an exception set, and nothing was asked.
 */
int mod_ask(mod_state *state, mod_target *target, PyObject *exc_type, PyObject *reason);

/*
 * Ask the thread of that id to stop, if it is in the scope of that number; class and reason as
 * above. `once`: not if somebody has asked it there already (itr_request_level). 1: it is in
 * it; 0: it is not, and nothing has happened; -1 with an exception set, likewise.
 */
int mod_ask_scope(mod_state *state, uintptr_t thread_id, uint64_t scope, PyObject *exc_type,
                  PyObject *reason, bool once);

/* The record's thread has been asked, attached: what is left to do for whoever asked. Takes the
   reference. As mod_run_callbacks. */
int mod_finish_request(mod_state *state, itr_record *record);

/* _check_request(exc_type, reason): the below as a function; None is the default of either. */
PyObject *mod_check_request_method(PyObject *module, PyObject *args);

/* Check them before a target is looked for; as above. A default (ThreadExit, None) becomes NULL. 0,
 * -1. */
int mod_check_request(mod_state *state, PyObject **exc_type, PyObject **reason);

#endif
