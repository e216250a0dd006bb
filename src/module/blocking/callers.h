/*
 * Who waits for a lock? A lock can be a mutex of the program's, one that the standard library takes
 * for itself, or stand for an event of which another thread is to tell; and what an interruption
 * may do to the wait depends on that (S10c). It is told by the function that calls.
 */
#ifndef MOD_BLOCKING_CALLERS_H
#define MOD_BLOCKING_CALLERS_H

#include <stdbool.h>

#include "state.h"

typedef enum {
    MOD_CALLER_PROGRAM,  /* the program's own code: its mutex */
    MOD_CALLER_LIBRARY,  /* the standard library, this one or other protected code, for
                                     itself: held shortly, in the midst of something */
    MOD_CALLER_TAKER,    /* the same, before it did anything, in a call that takes something
                                     in: Queue.get, Event.wait ... (S10b) */
    MOD_CALLER_RECEIVER, /* the same, and the lock is held by another one for as long as
                                     that waits itself: multiprocessing's Queue.get */
    MOD_CALLER_NOTIFIED, /* Condition.wait, for notify() */
    MOD_CALLER_JOIN,     /* Thread.join up to 3.12, for the end of the thread */
    MOD_CALLER_EVENT,    /* another wait for somebody else */
} mod_caller;

/* By the calling thread, in a call of a lock's method. */
mod_caller mod_caller_of_lock(mod_state *state, PyThreadState *tstate);

/* The same for a lock or semaphore of multiprocessing's. */
mod_caller mod_caller_of_process_lock(mod_state *state, PyThreadState *tstate);

#endif
