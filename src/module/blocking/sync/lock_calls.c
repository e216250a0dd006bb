/* See lock_calls.h. */
#include "blocking/sync/lock_calls.h"

int
interruption_try_lock(const interruption_acquiring *how, PyObject *lock)
{
    PyObject *no = Py_False;
    PyObject *taken = interruption_call_method(how->acquire, lock, &no, 1);
    if (taken == NULL) {
        return -1;
    }
    Py_DECREF(taken);
    return taken == Py_True;
}

int
interruption_lock_enter_asked(const interruption_call *call, const interruption_acquiring *how,
                              bool mutex, interruption_caller *caller)
{
    interruption_waiting waiting;
    itr_deadline deadline;
    if (!interruption_wait_enter(&waiting) ||
        !interruption_call_deadline(call, how->flag, how->ever, &deadline)) {
        return 0;
    }
    *caller = how->caller(waiting.state, interruption_thread_self->tstate);
    switch (*caller) {
    case INTERRUPTION_CALLER_PROGRAM:
        return mutex ? 0 : interruption_wait_check(&waiting);
    case INTERRUPTION_CALLER_TAKER:
    case INTERRUPTION_CALLER_RECEIVER:
        /* by the lock it begins; a semaphore may be its result, as in multiprocessing's Event */
        return mutex ? interruption_wait_check(&waiting) : 0;
    case INTERRUPTION_CALLER_JOIN:
        return interruption_wait_check(&waiting);
    default:
        return 0;
    }
}

bool
interruption_lock_wait_begin(const interruption_call *call, const interruption_acquiring *how,
                             bool mutex, interruption_waiting *waiting, interruption_caller *caller,
                             itr_deadline *deadline)
{
    interruption_wait_view view;
    if (!interruption_call_deadline(call, how->flag, how->ever, deadline) ||
        !interruption_wait_look(waiting, &view)) {
        return false;
    }
    *caller = how->caller(waiting->state, interruption_thread_self->tstate);
    if (*caller == INTERRUPTION_CALLER_PROGRAM && view.cleanup && mutex) {
        waiting->needed = ITR_PENDING | ITR_REQUESTED_AGAIN;
    }
    return *caller != INTERRUPTION_CALLER_LIBRARY && *caller != INTERRUPTION_CALLER_TAKER;
}
