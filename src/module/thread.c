/* See thread.h. */
#include "thread.h"

#include "blocking/on_interrupt.h"
#include "compat.h"
#include "delivery.h"
#include "events.h"
#include "left.h"

ITR_TLS interruption_thread *interruption_thread_self = NULL;

static interruption_mutex mutex = INTERRUPTION_MUTEX_INIT;
static interruption_thread *newest; /* guarded by the mutex */

void
interruption_lock_threads(void)
{
    interruption_mutex_lock(&mutex);
}

void
interruption_unlock_threads(void)
{
    interruption_mutex_unlock(&mutex);
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
        thread->older = newest;
        if (newest != NULL) {
            newest->newer = thread;
        }
        newest = thread;
    }
    else {
        earlier->embedder = NULL;
    }
    thread->record = record;
    record->embedder = thread;
    itr_set_deaf(record, (atomic_load_explicit(&thread->switches, memory_order_relaxed) &
                          INTERRUPTION_NO_WAITS) != 0);
    itr_set_calls(record, thread->callbacks != NULL);
    if (thread->blocks.open) {
        (void)itr_open(record); /* an earlier record was taken for a predecessor's, in a region */
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
        thread->held.thread_state = thread->tstate;
        interruption_thread_self = thread;
    }
    bind(thread, record);
    return thread;
}

/* Take it out of the list. */
static void
unlink_thread(interruption_thread *thread)
{
    *(thread->newer != NULL ? &thread->newer->older : &newest) = thread->older;
    if (thread->older != NULL) {
        thread->older->newer = thread->newer;
    }
}

/* Free what is in no list. Runs other people's code. */
static void
free_thread(interruption_thread *thread)
{
    interruption_drop_blocks(&thread->blocks);
    interruption_drop_callbacks(thread->callbacks);
    interruption_held_destroy(&thread->held);
    Py_XDECREF(thread->left);
    PyMem_RawFree(thread);
}

/* The thread of that serial: the calling one or, at interpreter exit, one that runs no more. */
static interruption_thread *
find(uint64_t serial)
{
    interruption_thread *thread = interruption_thread_self;
    if (thread != NULL && thread->serial == serial) {
        return thread;
    }
    interruption_lock_threads();
    thread = newest;
    while (thread != NULL && thread->serial != serial) {
        thread = thread->older;
    }
    interruption_unlock_threads();
    return thread;
}

void
interruption_end_thread(uint64_t serial)
{
    interruption_thread *thread = find(serial);
    if (thread == NULL) {
        return;
    }
    /* Another thread's record may be gone: in the child of a fork the core frees those of threads
       that are not there. What is left of it at interpreter exit is not asked any more. */
    bool own = thread == interruption_thread_self;
    interruption_lock_threads();
    unlink_thread(thread);
    interruption_garbage garbage = {.count = 0};
    interruption_events_disarm(thread, &garbage);
    if (own) {
        (void)itr_disarm(thread->record);
        thread->record->embedder = NULL;
    }
    interruption_unlock_threads();
    interruption_drop_garbage(&garbage);
    if (own) {
        interruption_thread_self = NULL;
        interruption_thread_held = NULL;
        itr_release(thread->record);
        interruption_tell_left(thread->left);
    }
    free_thread(thread);
}

void
interruption_free_threads_mutex(void)
{
    interruption_mutex_reset(&mutex);
}

void
interruption_drop_other_threads(void)
{
    interruption_thread *self = interruption_thread_self;
    interruption_thread *others = NULL;
    interruption_thread *older;
    interruption_lock_threads();
    for (interruption_thread *thread = newest; thread != NULL; thread = older) {
        older = thread->older;
        if (thread != self) {
            unlink_thread(thread);
            thread->older = others;
            others = thread;
        }
    }
    if (self != NULL) {
        interruption_settle_callbacks(self);
    }
    interruption_unlock_threads();
    if (self != NULL && (itr_flags(self->record) & ITR_ARMED)) {
        interruption_disarm(self); /* its request was the parent's */
    }
    for (; others != NULL; others = older) {
        older = others->older;
        interruption_garbage garbage = {.count = 0};
        interruption_lock_threads();
        interruption_events_disarm(others, &garbage);
        interruption_unlock_threads();
        interruption_drop_garbage(&garbage);
        free_thread(others);
    }
}
