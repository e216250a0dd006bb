/*
 * Up to 3.12 Thread.join acquires a lock, which the thread's end releases, and
 * releases it; locks.c waits for it. If that ends in an exception, Thread.join asks the lock
 * whether it is locked, takes that for a sign that it has acquired it, and says that the thread has
 * ended. But it is locked because the thread runs on. So to that question, and no other, the answer
 * is no.
 */
#include "blocking/interposed.h"
#include "blocking/sync/lock_calls.h"
#include "thread/thread.h"

__attribute__((always_inline)) static inline bool
has_been_left(const PyObject *lock)
{
    return mod_left_lock == lock;
}

static PyObject *locked(const mod_call *call);

MOD_REPLACEMENT(left_lock_locked, has_been_left, locked);

static PyObject *
locked(const mod_call *call)
{
    mod_state *state = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    if (state != NULL && mod_caller_of_lock(state, PyThreadState_Get()) == MOD_CALLER_JOIN) {
        mod_left_lock = NULL;
        Py_RETURN_FALSE;
    }
    return mod_call_original(call);
}

static const mod_row left_lock_rows[] = {
    {"_thread", "LockType", "locked", &left_lock_locked, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_joins = {.name = "joins", .rows = left_lock_rows};
