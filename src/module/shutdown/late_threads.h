/*
 * Threads that are born while others are being asked to stop are born asked: a shutdown that has
 * asked everybody would otherwise wait for whom somebody starts a moment later.
 *
 * A thread finds it out when it looks for the first time, by its serial: larger than those of all
 * threads that were there when the shutdown began.
 *
 * But cleanup may need a thread: the main thread's own, when an exception was raised there for a
 * signal, or that of an event loop which shuts its executor down. It waits for such a *helper*,
 * which would not begin if it were asked (S30). So while a shutdown is on, `_thread`'s functions
 * that start a thread are interposed, and whoever starts one tells whether it is a helper.
 */
#ifndef MOD_LATE_THREADS_H
#define MOD_LATE_THREADS_H

#include <stdbool.h>

#include "itr_registry.h"
#include "state.h"

/*
 * From now on, threads with a larger serial than `youngest` are born asked, with that reason
 * (borrowed; or NULL) and origin (see itr_take_back). Until as many calls of
 * mod_end_asking_late_threads; the first of several says what they are asked with.
 */
void mod_begin_asking_late_threads(mod_state *state, uint64_t youngest, PyObject *reason,
                                   uint64_t origin);
void mod_end_asking_late_threads(void);

/* By a thread that has just got its first record: ask it, if it is to be born asked. */
void mod_ask_late_thread(itr_record *record);

/* _is_helper(thread): was it started by cleanup, while a shutdown is on? What is named by `thread`,
   and errors: as interrupt(). */
PyObject *mod_is_helper(PyObject *module, PyObject *thread);

/* _is_told(): is a shutdown on, and has the calling thread been asked, and told? */
PyObject *mod_is_told(PyObject *module, PyObject *unused);

/* In the child of a fork: a shutdown of the parent's is not its own. */
void mod_late_threads_after_fork_child(void);

#endif
