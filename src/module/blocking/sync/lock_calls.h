/*
 * What the calls of all kinds of locks have in common: what a thread takes inside its region is
 * noted in its list (held_locks.h), what it releases is struck from there. Inlined into each
 * method's replacement, where the convention is known and the call costs no detour.
 */
#ifndef INTERRUPTION_BLOCKING_LOCK_CALLS_H
#define INTERRUPTION_BLOCKING_LOCK_CALLS_H

#include "thread/held_locks.h"
#include "interpose/interpose.h"
#include "blocking/wait.h"

/* Try to acquire it: 1, 0 if that would have to wait, -1 with an exception set. */
static inline int
interruption_try_lock(const interruption_method *acquire, PyObject *lock)
{
    PyObject *no = Py_False;
    PyObject *taken = interruption_call_method(acquire, lock, &no, 1);
    if (taken == NULL) {
        return -1;
    }
    Py_DECREF(taken);
    return taken == Py_True;
}

/* Wanted inside a region and wherever somebody else may have noted the lock, or wait for it.
   Without a GIL the latter is to be asked after the release. */
INTERRUPTION_INLINE bool
interruption_called_inside_or_watched(PyObject *lock)
{
    return INTERRUPTION_FREE_THREADED || interruption_current_held() != NULL ||
           interruption_taken(lock) || interruption_waited_for(lock);
}

/* A call has taken it, if so it says. */
INTERRUPTION_INLINE PyObject *
interruption_note_taken(PyObject *lock, PyObject *result, const interruption_lock_kind *kind)
{
    interruption_held *held = interruption_current_held();
    if (result != NULL && result != Py_False && held != NULL) {
        interruption_held_push(held, kind, lock, 1);
    }
    return result;
}

/*
 * A call that releases it. If the thread has not noted it, it is struck from the list of whoever
 * has, before the original: after it, the lock may be taken, and noted, again. The thread's own
 * entry goes afterwards, if the original has released.
 */
INTERRUPTION_INLINE PyObject *
interruption_release_noted(const interruption_call *call, const interruption_lock_kind *kind)
{
    interruption_held *held = interruption_current_held();
    interruption_held_entry *own = NULL;
    if (held != NULL) {
        own = interruption_held_find(held, call->self);
    }
    if (own == NULL && !kind->recursive && interruption_taken(call->self)) {
        interruption_held_strike(call->self);
    }
    PyObject *result = interruption_call_original(call);
    if (result != NULL) {
        interruption_wake(call->self, 1);
    }
    if (own != NULL && result != NULL) {
        interruption_held_pop(held, own);
    }
    return result;
}

#endif
