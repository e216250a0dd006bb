/*
 * See lifecycle.h.
 *
 * A thread's end is told by its anchor (current.c), when CPython clears its state: in the thread,
 * or at interpreter exit in another one.
 *
 * At a fork two things happen in the child, and it matters which is when.
 *
 * In fork() itself, before anything else: the mutexes are free again, for whoever held them is not
 * there. CPython deletes the other threads' states before it runs any hook of ours, and with each
 * goes its anchor (current.c), which takes the list's mutex. Only what needs no Python is done
 * here.
 *
 * In the hook of Python's, when the interpreter is whole: what the others had is dropped.
 *
 * Of two kinds of mutexes only one is taken before the fork. Those of pthreads are held by threads
 * that nobody stops: they are waited for, so what they guard is whole in the child. The others
 * (mod_mutex) are held by attached threads only. When the interpreter forks, no other
 * thread is attached, so none is held, with one exception: without a GIL, the list's may be held by
 * a thread that waits for the world to be stopped for it, to set events. It is stopped itself then,
 * and goes on only after the fork: to wait for it would be to wait for ever.
 */
#include "lifecycle.h"

#include <errno.h>
#include <pthread.h>

#include "delivery/arming.h"
#include "blocking/families.h"
#include "api/on_interrupt.h"
#include "api/requests.h"
#include "api/scope_state.h"
#include "blocking/interposed.h"
#include "blocking/net/socket_call.h"
#include "safepoints/code.h"
#include "thread/contexts.h"
#include "thread/current.h"
#include "delivery/events.h"
#include "thread/held_locks.h"
#include "interpose/interpose.h"
#include "thread/left_locked.h"
#include "shutdown/late_threads.h"
#include "thread/payload.h"
#include "delivery/rearm.h"
#include "shutdown/signal_handler.h"
#include "shutdown/signal_hook.h"
#include "thread/thread.h"
#include "shutdown/watchdog.h"
#include "itr_timer.h"

/* A thread's beginning and end. ---------------------------------------------------------------- */

/* Free what is in no list. Runs other people's code. */
static void
free_thread(mod_thread *thread)
{
    if (thread->entering != NULL) { /* a fork has come meanwhile */
        mod_scope_forget_entering(thread->entering, thread->thread_id);
    }
    mod_visit_scopes(&thread->blocks, mod_scope_forget_thread, thread->thread_id);
    mod_drop_blocks(&thread->blocks);
    mod_drop_callbacks(thread->callbacks);
    mod_lockset_destroy(&thread->lockset);
    Py_XDECREF(thread->left);
    PyMem_RawFree(thread);
}

/* The Python thread of that serial has ended: drop what is kept of it. */
static void
thread_ends(uint64_t serial)
{
    mod_thread *thread = mod_find_thread(serial);
    if (thread == NULL) {
        return;
    }
    /* Another thread's record may be gone: in the child of a fork the core frees those of threads
       that are not there. What is left of it at interpreter exit is not asked any more. */
    bool own = thread == mod_thread_self;
    mod_lock_threads();
    mod_garbage garbage = {.frame = NULL};
    mod_events_disarm(thread, &garbage); /* while it is in the list: a fork may cut it */
    mod_unlink_thread(thread);
    if (own) {
        (void)itr_disarm(thread->record);
        thread->record->embedder = NULL;
    }
    mod_unlock_threads();
    (void)mod_drop_garbage(&garbage);
    if (own) {
        mod_thread_self = NULL;
        mod_thread_lockset = NULL;
        itr_release(thread->record);
        mod_tell_left(thread->left);
    }
    free_thread(thread);
}

/* One of the parent's other threads, out of the list, with what is left of it; or NULL. */
static mod_thread *
take_other(mod_garbage *garbage)
{
    mod_lock_threads();
    mod_thread *other = mod_other_of_parent();
    if (other != NULL) {
        mod_events_disarm(other, garbage); /* also what the fork has cut, to its end */
        mod_unlink_thread(other);
    }
    mod_unlock_threads();
    return other;
}

/* In the child of a fork: drop what is kept of the parent's other threads. */
static void
drop_other_threads(void)
{
    mod_thread *self = mod_thread_self;
    if (self != NULL) {
        mod_lock_threads();
        mod_settle_callbacks(self);
        mod_unlock_threads();
        if (itr_flags(self->record) & ITR_ARMED) {
            mod_disarm(self); /* its request was the parent's */
        }
    }
    mod_garbage garbage = {.frame = NULL};
    for (mod_thread *other; (other = take_other(&garbage)) != NULL;) {
        (void)mod_drop_garbage(&garbage);
        garbage = (mod_garbage){.frame = NULL};
        free_thread(other);
    }
}

/* Around fork(). ------------------------------------------------------------------------------- */

/* None of these is taken while another one of them is held. They are given back in the opposite
   order all the same. */
static void
before_module_fork(void)
{
    mod_rearm_before_fork();
    mod_watchdog_before_fork();
}

static void
in_parent(void)
{
    mod_watchdog_after_fork_parent();
    mod_rearm_after_fork_parent();
}

static void
in_child(void)
{
    mod_watchdog_after_fork_child();
    mod_rearm_after_fork_child();
    mod_signals_after_fork_child();
    mod_requests_after_fork_child();
    mod_mutexes_after_fork_child();
    mod_threads_after_fork_child();
    mod_locksets_after_fork_child();
    (void)atomic_fetch_add_explicit(&mod_scope_forks, 1, memory_order_relaxed);
}

/* The hook of Python's. ------------------------------------------------------------------------ */

PyObject *
mod_after_fork_in_child(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    mod_socket_forget_owners();
    mod_tls_forget_calls();
    drop_other_threads();
    mod_late_threads_after_fork_child();
    mod_payload_drop_orphans();
    Py_RETURN_NONE;
}

static int watch_error; /* written once, by watch_forks */

/* Once a process: nobody can take it back. */
static void
watch_forks(void)
{
    watch_error = pthread_atfork(before_module_fork, in_parent, in_child);
}

int
mod_lifecycle_init(mod_state *state)
{
    static const mod_life life = {mod_ask_late_thread, thread_ends};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    if (watch_error != 0) {
        errno = watch_error;
        (void)PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (mod_current_init(state, &life) < 0) {
        return -1;
    }
    mod_rearm_init(state, mod_arm_again, mod_finish_request);
    itr_timer_init(mod_finish_soon);
    return 0;
}
