/* See thread.h. */
#include "thread/thread.h"

#include "cpython/compat.h"

ITR_TLS interruption_thread *interruption_thread_self = NULL;

static interruption_thread *newest_thread; /* guarded by the mutex */

/* In the child of a fork: the newest one that was the parent's. Guarded by the mutex. Hooks of
   others may start threads before ours is called. */
static interruption_thread *newest_of_parent;

void
interruption_lock_threads(void)
{
    interruption_mutex_lock(&interruption_mutexes.threads);
}

void
interruption_unlock_threads(void)
{
    interruption_mutex_unlock(&interruption_mutexes.threads);
}

interruption_thread *
interruption_thread_of(const itr_record *record)
{
    return itr_flags(record) & ITR_ENDED ? NULL : record->embedder;
}

/* Let the thread and a record know each other; the thread holds a reference. */
static void
bind(interruption_thread *thread, itr_record *record)
{
    itr_retain(record);
    interruption_lock_threads();
    itr_record *earlier = thread->record;
    if (earlier == NULL) {
        thread->older = newest_thread;
        if (newest_thread != NULL) {
            newest_thread->newer = thread;
        }
        newest_thread = thread;
    }
    else {
        earlier->embedder = NULL;
    }
    thread->record = record;
    record->embedder = thread;
    itr_mask_waits(record, (atomic_load_explicit(&thread->switches, memory_order_relaxed) &
                            INTERRUPTION_NO_WAITS) != 0);
    itr_set_calls(record, thread->callbacks != NULL);
    if (thread->blocks.open) {
        (void)itr_enable_cancel(
            record); /* an earlier record was taken for a predecessor's, in a region */
    }
    interruption_unlock_threads();
    if (earlier != NULL) {
        itr_release(earlier);
    }
}

interruption_thread *
interruption_this_thread_slow(interruption_state *state)
{
    itr_record *record = interruption_current(state);
    if (record == NULL) {
        return NULL;
    }
    if (itr_flags(record) & ITR_ENDED) {
        PyErr_SetString(PyExc_RuntimeError,
                        "interruption: the thread is ending; it can enter no block any more");
        return NULL;
    }
    interruption_thread *thread = interruption_thread_self;
    if (thread == NULL || thread->serial != record->serial) {
        thread = PyMem_RawCalloc(1, sizeof(*thread));
        if (thread == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        thread->serial = record->serial;
        thread->tstate = PyThreadState_Get();
        thread->lockset.thread_state = thread->tstate;
        interruption_thread_self = thread;
    }
    bind(thread, record);
    return thread;
}

void
interruption_unlink_thread(interruption_thread *thread)
{
    if (newest_of_parent == thread) {
        newest_of_parent = thread->older;
    }
    *(thread->newer != NULL ? &thread->newer->older : &newest_thread) = thread->older;
    if (thread->older != NULL) {
        thread->older->newer = thread->newer;
    }
}

interruption_thread *
interruption_find_thread(uint64_t serial)
{
    interruption_thread *thread = interruption_thread_self;
    if (thread != NULL && thread->serial == serial) {
        return thread;
    }
    interruption_lock_threads();
    thread = newest_thread;
    while (thread != NULL && thread->serial != serial) {
        thread = thread->older;
    }
    interruption_unlock_threads();
    return thread;
}

void
interruption_threads_after_fork_child(void)
{
    newest_of_parent = newest_thread;
}

interruption_thread *
interruption_other_of_parent(void)
{
    interruption_thread *other = newest_of_parent;
    if (other != NULL && other == interruption_thread_self) {
        other = other->older;
    }
    return other;
}
