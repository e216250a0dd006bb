/* See thread.h. */
#include "thread/thread.h"

#include "cpython/compat.h"

ITR_TLS mod_thread *mod_thread_self = NULL;

static mod_thread *newest_thread; /* guarded by the mutex */

/* In the child of a fork: the newest one that was the parent's. Guarded by the mutex. Hooks of
   others may start threads before ours is called. */
static mod_thread *newest_of_parent;

void
mod_lock_threads(void)
{
    mod_mutex_lock(&mod_mutexes.threads);
}

void
mod_unlock_threads(void)
{
    mod_mutex_unlock(&mod_mutexes.threads);
}

mod_thread *
mod_thread_of(const itr_record *record)
{
    return itr_flags(record) & ITR_ENDED ? NULL : record->embedder;
}

/* A new thread and its record know each other from here on; the thread holds a reference. */
static void
bind(mod_thread *thread, itr_record *record)
{
    itr_retain(record);
    mod_lock_threads();
    thread->older = newest_thread;
    if (newest_thread != NULL) {
        newest_thread->newer = thread;
    }
    newest_thread = thread;
    thread->record = record;
    record->embedder = thread;
    mod_unlock_threads();
}

mod_thread *
mod_this_thread_slow(mod_state *state)
{
    itr_record *record = mod_current(state);
    if (record == NULL) {
        return NULL;
    }
    if (itr_flags(record) & ITR_ENDED) {
        PyErr_SetString(PyExc_RuntimeError,
                        "interruption: the thread is ending; it can enter no block any more");
        return NULL;
    }
    mod_thread *thread = mod_thread_self;
    if (mod_is_thread_of_now(thread)) {
        return thread; /* a __del__ that ran meanwhile has entered a block */
    }
    thread = PyMem_RawCalloc(1, sizeof(*thread));
    if (thread == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    thread->serial = record->serial;
    thread->thread_id = record->thread_id;
    thread->tstate = PyThreadState_Get();
    thread->lockset.thread_state = thread->tstate;
    mod_thread_self = thread;
    bind(thread, record);
    return thread;
}

void
mod_unlink_thread(mod_thread *thread)
{
    if (newest_of_parent == thread) {
        newest_of_parent = thread->older;
    }
    *(thread->newer != NULL ? &thread->newer->older : &newest_thread) = thread->older;
    if (thread->older != NULL) {
        thread->older->newer = thread->newer;
    }
}

mod_thread *
mod_find_thread(uint64_t serial)
{
    mod_thread *thread = mod_thread_self;
    if (thread != NULL && thread->serial == serial) {
        return thread;
    }
    mod_lock_threads();
    thread = newest_thread;
    while (thread != NULL && thread->serial != serial) {
        thread = thread->older;
    }
    mod_unlock_threads();
    return thread;
}

void
mod_threads_after_fork_child(void)
{
    newest_of_parent = newest_thread;
}

mod_thread *
mod_other_of_parent(void)
{
    mod_thread *other = newest_of_parent;
    if (other != NULL && other == mod_thread_self) {
        other = other->older;
    }
    return other;
}
