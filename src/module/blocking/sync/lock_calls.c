/* See lock_calls.h. */
#include "blocking/sync/lock_calls.h"

int
mod_try_lock(const mod_acquiring *how, PyObject *lock)
{
    PyObject *no = Py_False;
    PyObject *taken = mod_call_method(how->acquire, lock, &no, 1);
    if (taken == NULL) {
        return -1;
    }
    Py_DECREF(taken);
    return taken == Py_True;
}

int
mod_lock_enter_asked(const mod_call *call, const mod_acquiring *how, bool mutex, mod_caller *caller)
{
    mod_waiting waiting;
    itr_deadline deadline;
    if (!mod_wait_enter(&waiting) || !mod_call_deadline(call, how->flag, how->ever, &deadline)) {
        return 0;
    }
    *caller = how->caller(waiting.state, mod_thread_self->tstate);
    switch (*caller) {
    case MOD_CALLER_PROGRAM:
        return mutex ? 0 : mod_wait_check(&waiting);
    case MOD_CALLER_TAKER:
    case MOD_CALLER_RECEIVER:
        /* by the lock it begins; a semaphore may be its result, as in multiprocessing's Event */
        return mutex ? mod_wait_check(&waiting) : 0;
    case MOD_CALLER_JOIN:
        return mod_wait_check(&waiting);
    default:
        return 0;
    }
}

bool
mod_lock_wait_begin(const mod_call *call, const mod_acquiring *how, bool mutex,
                    mod_waiting *waiting, mod_caller *caller, itr_deadline *deadline)
{
    mod_wait_view view;
    if (!mod_call_deadline(call, how->flag, how->ever, deadline) ||
        !mod_wait_look(waiting, &view)) {
        return false;
    }
    *caller = how->caller(waiting->state, mod_thread_self->tstate);
    if (*caller == MOD_CALLER_PROGRAM && view.cleanup && mutex) {
        mod_wait_in_cleanup(waiting);
    }
    return *caller != MOD_CALLER_LIBRARY && *caller != MOD_CALLER_TAKER;
}
