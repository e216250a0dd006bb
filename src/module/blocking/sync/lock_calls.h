/*
 * What the calls of all kinds of locks have in common: how they wait (S10c), and what a thread
 * takes inside its region is noted in its lockset (held_locks.h), and taken out when it is
 * released.
 */
#ifndef MOD_BLOCKING_LOCK_CALLS_H
#define MOD_BLOCKING_LOCK_CALLS_H

#include "blocking/callers.h"
#include "blocking/wait.h"
#include "interpose/interpose.h"
#include "thread/held_locks.h"

/* How locks of a type are acquired. Constant. */
typedef struct {
    const mod_method *acquire; /* with a flag, whether to wait, and `timeout` */
    const mod_method *release;
    const char *flag;
    mod_ever ever;
    mod_caller (*caller)(mod_state *state, PyThreadState *tstate);
} mod_acquiring;

/* The lock that stands for a thread's life (until gh-114271), if an exception has just ended the
   calling thread's wait for it. Only compared. */
extern ITR_TLS const PyObject *mod_left_lock;

/* Try to acquire it: 1, 0 if that would have to wait, -1 with an exception set. */
int mod_try_lock(const mod_acquiring *how, PyObject *lock);

/* The thread has been asked, and a call begins to acquire it, a mutex or else a permit. If that
   takes something in, it is raised now (S10b); not if it only looks, as whether a thread has ended.
   0, or -1 with an exception set; `*caller` is who calls then. */
int mod_lock_enter_asked(const mod_call *call, const mod_acquiring *how, bool mutex,
                         mod_caller *caller);

/* It is to be waited for: may that be interrupted, and what does it take (S10c)? Fills in who calls
   and until when; false: let the original wait. */
bool mod_lock_wait_begin(const mod_call *call, const mod_acquiring *how, bool mutex,
                         mod_waiting *waiting, mod_caller *caller, itr_deadline *deadline);

/* What follows is inlined into each method's replacement, where the convention is known and the
   call costs no detour. */

/* Wanted inside a region and wherever somebody else may have noted the lock, or wait for it.
   Without a GIL the latter is to be asked after the release. */
MOD_INLINE bool
mod_called_inside_or_noted(PyObject *lock)
{
    return MOD_FREE_THREADED || mod_current_lockset() != NULL || mod_may_be_noted(lock) ||
           mod_waited_for(lock);
}

/* A call without arguments, if the type's acquire() takes a flag at no cost: try it. True: the lock
   is taken. False: it is not, or was not tried. */
MOD_INLINE bool
mod_took_lock(const mod_call *call, const mod_acquiring *how)
{
    static PyObject *const do_not_wait[] = {Py_False};
    if (how->acquire->shape != MOD_FAST_KEYWORDS || !mod_call_is_bare(call)) {
        return false;
    }
    const mod_call attempt = {.original = mod_original(how->acquire),
                              .shape = MOD_FAST_KEYWORDS,
                              .self = call->self,
                              .vector = do_not_wait,
                              .count = 1};
    return mod_call_original(&attempt) == Py_True; /* False, else: it cannot fail */
}

/* A call has taken it, if so it says. */
MOD_INLINE PyObject *
mod_note_taken(PyObject *lock, PyObject *result, const mod_lock_kind *kind)
{
    mod_lockset *set = mod_thread_lockset; /* of now: the call was wanted */
    if (result != NULL && result != Py_False && set != NULL) {
        mod_lockset_add(set, kind, lock, 1);
    }
    return result;
}

/*
 * A call that releases it. If the thread has not noted it, whoever has forgets it, before the
 * original: after it, the lock may be taken, and noted, again. The thread's own is taken out
 * afterwards, if the original has released.
 */
MOD_INLINE PyObject *
mod_release_noted(const mod_call *call, const mod_lock_kind *kind)
{
    mod_lockset *set = mod_current_lockset();
    mod_held_lock *own = set == NULL ? NULL : mod_lockset_find(set, call->self);
    if (own == NULL && !kind->recursive && mod_may_be_noted(call->self)) {
        mod_forget_lock(call->self);
    }
    PyObject *result = mod_call_original(call);
    if (result != NULL) {
        mod_wake(call->self, 1);
    }
    if (own != NULL && result != NULL) {
        mod_lockset_remove(set, own);
    }
    return result;
}

#endif
