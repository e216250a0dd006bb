/*
 * See rearm.h.
 *
 * A thread of ours does it, which is made when the first request waits and ends when none has for a
 * while. It attaches to the interpreter only while it looks, and not at all for requests that have
 * come to their end meanwhile, which is nearly all of them.
 *
 * `looks_mutex` guards everything here. It is held by attached and by detached threads, so never
 * while waiting for anything but the condition.
 */
#include "delivery/rearm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "cpython/compat.h"
#include "itr_background.h"

enum { FIRST_MS = 1, LONGEST_MS = 64, LINGER_MS = 1000 };
static const int64_t MS = 1000000; /* nanoseconds */

typedef struct {
    itr_record *record; /* a reference */
    int64_t due;        /* on the monotonic clock, in nanoseconds */
    int64_t pause;      /* until the look after that */
} watch;

static pthread_mutex_t looks_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed; /* on the monotonic clock */
static bool running;
static bool looks_stopped = true; /* the interpreter exits, or has not begun */
static int64_t asleep_until;
static interruption_state *state;
static void (*arm_again)(interruption_state *state, itr_record *record);
static watch *record_watches;
static size_t watch_count, capacity;

static _Atomic(uintptr_t) looker; /* relaxed: its own thread states do not exist before it is set */

uintptr_t
interruption_looker(void)
{
    return atomic_load_explicit(&looker, memory_order_relaxed);
}

static int64_t
now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 * MS + time.tv_nsec;
}

static void
wait_until_due(int64_t due)
{
    const struct timespec time = {.tv_sec = due / (1000 * MS), .tv_nsec = due % (1000 * MS)};
    asleep_until = due;
    (void)pthread_cond_timedwait(&changed, &looks_mutex, &time);
}

static bool
still_waits(const itr_record *record)
{
    const uint32_t needed = ITR_PENDING | ITR_CANCELABLE;
    return (itr_flags(record) & (needed | ITR_ENDED)) == needed;
}

/* Under the mutex. A record that is due, with a reference, or NULL; what waits no more is let go.
   `*next` is when the next one will be due. */
static itr_record *
take_due(int64_t *next)
{
    int64_t time = now_ns();
    *next = time + LINGER_MS * MS;
    for (size_t i = 0; i < watch_count;) {
        watch *at = &record_watches[i];
        if (at->due > time) {
            *next = at->due < *next ? at->due : *next;
            i++;
        }
        else if (still_waits(at->record)) {
            at->pause = 2 * at->pause < LONGEST_MS * MS ? 2 * at->pause : LONGEST_MS * MS;
            at->due = time + at->pause;
            itr_retain(at->record);
            return at->record;
        }
        else {
            itr_release(at->record);
            *at = record_watches[--watch_count];
        }
    }
    return NULL;
}

/* Detached, without the mutex. Without memory the next look does it. */
static void
look_at_record(itr_record *record)
{
    if (interruption_attach_thread()) {
        arm_again(state, record);
        interruption_detach_thread();
    }
}

static void *
run_looker(void *Py_UNUSED(unused))
{
    atomic_store_explicit(&looker, (uintptr_t)PyThread_get_thread_ident(), memory_order_relaxed);
    (void)pthread_mutex_lock(&looks_mutex);
    bool lingered = false;
    while (!looks_stopped && !(lingered && watch_count == 0)) {
        int64_t next;
        itr_record *record = take_due(&next);
        if (record != NULL) {
            (void)pthread_mutex_unlock(&looks_mutex);
            look_at_record(record);
            itr_release(record);
            (void)pthread_mutex_lock(&looks_mutex);
            continue;
        }
        lingered = watch_count == 0;
        wait_until_due(next);
    }
    running = false;
    atomic_store_explicit(&looker, 0, memory_order_relaxed);
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&looks_mutex);
    return NULL;
}

/* Under the mutex. */
static void
start_looker(void)
{
    running = itr_start_background(run_looker, NULL, 0) == 0;
}

/* Under the mutex. When the record is due, or 0 if there is no memory. */
static int64_t
add_watch(itr_record *record)
{
    const watch made = {.record = record, .due = now_ns() + FIRST_MS * MS, .pause = FIRST_MS * MS};
    for (size_t i = 0; i < watch_count; i++) {
        if (record_watches[i].record == record) {
            record_watches[i] = made;
            return made.due;
        }
    }
    if (watch_count == capacity) {
        size_t larger = capacity == 0 ? 8 : 2 * capacity;
        watch *moved = realloc(record_watches, larger * sizeof(*record_watches));
        if (moved == NULL) {
            return 0;
        }
        record_watches = moved;
        capacity = larger;
    }
    itr_retain(record);
    record_watches[watch_count++] = made;
    return made.due;
}

void
interruption_look_again(itr_record *record)
{
    (void)pthread_mutex_lock(&looks_mutex);
    int64_t due = looks_stopped ? 0 : add_watch(record);
    if (due != 0 && !running) {
        start_looker();
    }
    else if (due != 0 && due < asleep_until) {
        (void)pthread_cond_broadcast(&changed);
    }
    (void)pthread_mutex_unlock(&looks_mutex);
}

/* Beginning, end, fork. ----------------------------------------------------------------------- */

/* Detached: the thread may have to attach before it can end. */
static void
stop(void)
{
    (void)pthread_mutex_lock(&looks_mutex);
    looks_stopped = true;
    (void)pthread_cond_broadcast(&changed);
    while (running) {
        (void)pthread_cond_wait(&changed, &looks_mutex);
    }
    while (watch_count > 0) {
        itr_release(record_watches[--watch_count].record);
    }
    (void)pthread_mutex_unlock(&looks_mutex);
}

PyObject *
interruption_stop_looking(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    Py_BEGIN_ALLOW_THREADS;
    stop();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static void
make_condition(void)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void
interruption_rearm_before_fork(void)
{
    (void)pthread_mutex_lock(&looks_mutex);
}

void
interruption_rearm_after_fork_parent(void)
{
    (void)pthread_mutex_unlock(&looks_mutex);
}

/* The thread does not exist in the child. The references that it watched by are gone, too: the
   registry counts them anew. */
void
interruption_rearm_after_fork_child(void)
{
    watch_count = 0;
    running = false;
    atomic_store_explicit(&looker, 0, memory_order_relaxed);
    make_condition();
    (void)pthread_mutex_unlock(&looks_mutex);
}

void
interruption_rearm_init(interruption_state *module_state,
                        void (*look)(interruption_state *, itr_record *))
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_condition);
    (void)pthread_mutex_lock(&looks_mutex);
    state = module_state;
    arm_again = look;
    looks_stopped = false;
    (void)pthread_mutex_unlock(&looks_mutex);
}
