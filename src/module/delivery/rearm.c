/*
 * See rearm.h.
 *
 * A thread of ours does it, which is made when the first request waits and ends when none has for a
 * while. It attaches to the interpreter only while it looks, and not at all for requests that have
 * come to their end meanwhile, which is nearly all of them.
 *
 * `rearm_mutex` guards everything here. It is held by attached and by detached threads, so never
 * while waiting for anything but the thread's end.
 */
#include "delivery/rearm.h"

#include <pthread.h>
#include <stdatomic.h>

#include "cpython/compat.h"
#include "itr_background.h"
#include "itr_parker.h"

/* In nanoseconds: until the first time, at most between two, and with nothing to do. */
static const int64_t FIRST = 1000000, LONGEST = 64000000, LINGER = 1000000000;

typedef struct {
    itr_record *record; /* a reference */
    itr_deadline due;
    int64_t pause; /* until the time after that; 0: the request is to be finished first */
} watch;

static pthread_mutex_t rearm_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static itr_parker parker; /* the thread's; unparked under the mutex, while it runs */
static bool running;
static bool stopped = true; /* the interpreter exits, or has not begun */
static itr_deadline asleep_until;
static mod_state *state;
static void (*arm_again)(mod_state *state, itr_record *record);
static int (*finish_request)(mod_state *state, itr_record *record);
static watch *watches;
static size_t watch_count, capacity;

/* relaxed: the thread's own thread states do not exist before it is set */
static _Atomic(uintptr_t) rearm_thread;

uintptr_t
mod_rearm_thread(void)
{
    return atomic_load_explicit(&rearm_thread, memory_order_relaxed);
}

static bool
still_waits(const itr_record *record)
{
    const uint32_t needed = ITR_PENDING | ITR_CANCELABLE;
    return (itr_flags(record) & (needed | ITR_ENDED)) == needed;
}

/* Under the mutex. A record that is due, with a reference, or NULL; what waits no more is let go.
   `*next` is when the next one will be due. `*is_new`: its request is to be finished. */
static itr_record *
take_due(itr_deadline *next, bool *is_new)
{
    itr_deadline time = itr_now();
    *next = time + LINGER;
    for (size_t i = 0; i < watch_count;) {
        watch *at = &watches[i];
        if (at->due > time) {
            *next = at->due < *next ? at->due : *next;
            i++;
        }
        else if ((*is_new = at->pause == 0) || still_waits(at->record)) {
            at->pause = *is_new ? FIRST : 2 * at->pause < LONGEST ? 2 * at->pause : LONGEST;
            at->due = time + at->pause;
            itr_retain(at->record);
            return at->record;
        }
        else {
            itr_release(at->record);
            *at = watches[--watch_count];
        }
    }
    return NULL;
}

/* Detached, without the mutex. Without memory the next time will do. */
static void
rearm(itr_record *record, bool is_new)
{
    if (!mod_attach_thread()) {
        return;
    }
    if (is_new) {
        itr_retain(record);
        (void)finish_request(state, record);
    }
    else {
        arm_again(state, record);
    }
    mod_detach_thread();
}

static void *
run_rearm(void *Py_UNUSED(unused))
{
    atomic_store_explicit(&rearm_thread, (uintptr_t)PyThread_get_thread_ident(),
                          memory_order_relaxed);
    (void)pthread_mutex_lock(&rearm_mutex);
    bool lingered = false;
    while (!stopped && !(lingered && watch_count == 0)) {
        itr_deadline next;
        bool is_new;
        itr_record *record = take_due(&next, &is_new);
        if (record != NULL) {
            (void)pthread_mutex_unlock(&rearm_mutex);
            rearm(record, is_new);
            itr_release(record);
            (void)pthread_mutex_lock(&rearm_mutex);
            continue;
        }
        lingered = watch_count == 0;
        asleep_until = next;
        (void)pthread_mutex_unlock(&rearm_mutex);
        (void)itr_park(&parker, next);
        (void)pthread_mutex_lock(&rearm_mutex);
    }
    running = false;
    atomic_store_explicit(&rearm_thread, 0, memory_order_relaxed);
    (void)pthread_cond_broadcast(&ended);
    (void)pthread_mutex_unlock(&rearm_mutex);
    return NULL;
}

/* Under the mutex. */
static void
start_thread(void)
{
    running = itr_start_background(run_rearm, NULL, 0) == 0;
}

/* Under the mutex. When the record is due, or 0 if there is no memory. */
static itr_deadline
add_watch(itr_record *record, int64_t pause)
{
    const watch made = {.record = record, .due = itr_now() + pause, .pause = pause};
    for (size_t i = 0; i < watch_count; i++) {
        if (watches[i].record == record) {
            if (watches[i].pause != 0) {
                watches[i] = made;
            }
            return made.due;
        }
    }
    if (watch_count == capacity) {
        size_t larger = capacity == 0 ? 8 : 2 * capacity;
        watch *moved = realloc(watches, larger * sizeof(*watches));
        if (moved == NULL) {
            return 0;
        }
        watches = moved;
        capacity = larger;
    }
    itr_retain(record);
    watches[watch_count++] = made;
    return made.due;
}

/* The record is due in so many nanoseconds, and from then on. */
static void
watch_record(itr_record *record, int64_t pause)
{
    (void)pthread_mutex_lock(&rearm_mutex);
    itr_deadline due = stopped ? 0 : add_watch(record, pause);
    if (due != 0 && !running) {
        start_thread();
    }
    else if (due != 0 && due < asleep_until) {
        itr_unpark(&parker);
    }
    (void)pthread_mutex_unlock(&rearm_mutex);
}

void
mod_rearm_later(itr_record *record)
{
    watch_record(record, FIRST);
}

void
mod_finish_soon(itr_record *record)
{
    watch_record(record, 0);
}

/* Beginning, end, fork. ----------------------------------------------------------------------- */

/* Detached: the thread may have to attach before it can end. */
static void
stop(void)
{
    (void)pthread_mutex_lock(&rearm_mutex);
    stopped = true;
    while (running) {
        itr_unpark(&parker);
        (void)pthread_cond_wait(&ended, &rearm_mutex);
    }
    while (watch_count > 0) {
        itr_release(watches[--watch_count].record);
    }
    (void)pthread_mutex_unlock(&rearm_mutex);
}

PyObject *
mod_rearm_stop(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    Py_BEGIN_ALLOW_THREADS;
    stop();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

void
mod_rearm_before_fork(void)
{
    (void)pthread_mutex_lock(&rearm_mutex);
}

void
mod_rearm_after_fork_parent(void)
{
    (void)pthread_mutex_unlock(&rearm_mutex);
}

/* The thread does not exist in the child. The references that it watched by are gone, too: the
   registry counts them anew. */
void
mod_rearm_after_fork_child(void)
{
    watch_count = 0;
    running = false;
    atomic_store_explicit(&rearm_thread, 0, memory_order_relaxed);
    itr_parker_after_fork(&parker);
    ended = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    (void)pthread_mutex_unlock(&rearm_mutex);
}

static void
make_parker(void)
{
    itr_parker_init(&parker);
}

void
mod_rearm_init(mod_state *module_state, void (*again)(mod_state *, itr_record *),
               int (*finish)(mod_state *, itr_record *))
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_parker);
    (void)pthread_mutex_lock(&rearm_mutex);
    state = module_state;
    arm_again = again;
    finish_request = finish;
    stopped = false;
    (void)pthread_mutex_unlock(&rearm_mutex);
}
