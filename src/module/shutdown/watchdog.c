/* See watchdog.h. `guard` is guarded by its mutex, which no handler in C takes. */
#include "shutdown/watchdog.h"

#include <pthread.h>
#include <stdatomic.h>

#include "cpython/compat.h"
#include "itr_background.h"
#include "itr_parker.h"
#include "shutdown/last_words.h"

/* How often it is looked whether one can run, in nanoseconds. Who ends the interpreter may give up
   the GIL for moments only, while it writes, and nobody asks it to. */
static const int64_t OFTEN = INT64_C(100000000);
static const int64_t OFTEN_AT_END = INT64_C(5000000);

enum { STACK_SIZE = 256 * 1024 }; /* of the guard; last words are a few kilobytes */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct {
    bool running;      /* there is a thread; it ends when nothing is due */
    itr_parker parker; /* the thread's; its own when it runs, and then unparked under the mutex */
    int64_t due;       /* ITR_NEVER: never */
    int64_t patience;  /* for so long nobody may be able to run; ITR_NEVER: that does not matter */
    int number;
    int status;
    int64_t since;
} guard = {.due = ITR_NEVER, .patience = ITR_NEVER};

/* Can one run? --------------------------------------------------------------------------------- */

/* Of the main thread, which ends the interpreter. atomic: relaxed; it is as old as the process. */
static _Atomic(const PyThreadState *) main_state;

/* Takes the GIL each time that it is wanted, and gives it back. It stays as long as the guard needs
   it: when the GIL is held, the system may have no thread left. Guarded by the mutex, but for its
   ident, which is 0 if it is not there. That is atomic: relaxed, nothing else hangs on it. */
static struct {
    bool running;
    bool wanted; /* it is to take the GIL, or has not got it yet: it may wait for ever */
    itr_parker parker;
    _Atomic uintptr_t ident;
} probe;

/* An interpreter that goes lets nobody attach: that would not return. Without memory it returns at
   once, which is no hold of the GIL, either. */
static void *
run_probe(void *unused)
{
    atomic_store_explicit(&probe.ident, (uintptr_t)PyThread_get_thread_ident(),
                          memory_order_relaxed);
    (void)pthread_mutex_lock(&mutex);
    while (guard.patience != ITR_NEVER) {
        bool wanted = probe.wanted;
        (void)pthread_mutex_unlock(&mutex);
        if (!wanted) {
            (void)itr_park(&probe.parker, ITR_NEVER);
        }
        else if (!mod_is_finalizing() && mod_attach_thread()) {
            mod_detach_thread();
        }
        (void)pthread_mutex_lock(&mutex);
        probe.wanted = probe.wanted && !wanted;
    }
    itr_parker_destroy(&probe.parker);
    probe.running = probe.wanted = false;
    atomic_store_explicit(&probe.ident, 0, memory_order_relaxed);
    (void)pthread_mutex_unlock(&mutex);
    return unused;
}

/* Under the mutex. */
static void
start_probe(void)
{
    if (!probe.running) {
        itr_parker_init(&probe.parker);
        probe.running = itr_start_background(run_probe, NULL, 0) == 0;
    }
}

/* By the guard. Since the call before, could one run? `*within`: after so many nanoseconds to call
   it again. Without the probe nothing is known. */
static bool
one_could_run(int64_t *within)
{
    if (mod_is_finalizing()) {
        *within = OFTEN_AT_END;
        return !mod_is_attached(atomic_load_explicit(&main_state, memory_order_relaxed));
    }
    *within = OFTEN;
    (void)pthread_mutex_lock(&mutex);
    bool could = !probe.wanted;
    if (probe.running) {
        probe.wanted = true;
        itr_unpark(&probe.parker);
    }
    (void)pthread_mutex_unlock(&mutex);
    return could;
}

uintptr_t
mod_watchdog_probe(void)
{
    return atomic_load_explicit(&probe.ident, memory_order_relaxed);
}

/* The guard. ----------------------------------------------------------------------------------- */

/* Under the mutex. */
static bool
is_on_guard(void)
{
    return guard.due != ITR_NEVER || guard.patience != ITR_NEVER;
}

/* For how long nobody could run, as one sees it who looks now and then. While the process is
   stopped itself (SIGSTOP) nobody looks: that is no such time. */
typedef struct {
    int64_t looked; /* when */
    int64_t within; /* when to look again, from then on */
    int64_t still;
} standstill;

/* Returns when to look again. */
static int64_t
look_for_standstill(standstill *at)
{
    int64_t now = itr_now(), passed = now - at->looked;
    at->still += passed < 2 * at->within ? passed : 2 * at->within;
    at->looked = now;
    if (one_could_run(&at->within)) {
        at->still = 0;
    }
    return now + at->within;
}

/* Runs no Python, and is never attached: it goes on when nothing else does. */
static void *
watch(void *unused)
{
    standstill at = {0, 0, 0};
    (void)pthread_mutex_lock(&mutex);
    while (is_on_guard()) {
        int64_t due = guard.due, patience = guard.patience;
        if (itr_now() >= due || at.still >= patience) {
            mod_end_process(guard.number, guard.status, guard.since);
        }
        (void)pthread_mutex_unlock(&mutex);
        int64_t next = patience == ITR_NEVER ? ITR_NEVER : look_for_standstill(&at);
        (void)itr_park(&guard.parker, next < due ? next : due);
        (void)pthread_mutex_lock(&mutex);
    }
    itr_parker_destroy(&guard.parker);
    guard.running = false;
    (void)pthread_mutex_unlock(&mutex);
    return unused;
}

/* Under the mutex: something has changed. False: nobody is there, as the system has no thread left;
   then nothing is due. */
static bool
wake_guard(void)
{
    if (guard.running) {
        itr_unpark(&guard.parker);
        return true;
    }
    itr_parker_init(&guard.parker);
    guard.running = itr_start_background(watch, NULL, STACK_SIZE) == 0;
    if (!guard.running) {
        guard.due = guard.patience = ITR_NEVER;
    }
    return guard.running;
}

void
mod_watchdog_stays(int number, int64_t patience, int64_t since)
{
    if (patience == ITR_NEVER) {
        return;
    }
    atomic_store_explicit(&main_state, PyThreadState_Get(), memory_order_relaxed);
    (void)pthread_mutex_lock(&mutex);
    if (!is_on_guard()) {
        guard.number = number;
        guard.since = since;
    }
    guard.patience = patience < guard.patience ? patience : guard.patience;
    if (wake_guard()) {
        start_probe();
    }
    (void)pthread_mutex_unlock(&mutex);
}

bool
mod_watchdog_ends(int64_t within, int number, int status)
{
    (void)pthread_mutex_lock(&mutex);
    guard.since = is_on_guard() ? guard.since : itr_now();
    guard.due = itr_deadline_after(within);
    guard.number = number;
    guard.status = status;
    bool there = wake_guard();
    (void)pthread_mutex_unlock(&mutex);
    return there;
}

void
mod_watchdog_forget(void)
{
    (void)pthread_mutex_lock(&mutex);
    guard.due = guard.patience = ITR_NEVER;
    if (guard.running) {
        itr_unpark(&guard.parker);
    }
    if (probe.running) {
        itr_unpark(&probe.parker);
    }
    (void)pthread_mutex_unlock(&mutex);
}

void
mod_watchdog_python_has_gone(void)
{
    (void)pthread_mutex_lock(&mutex);
    guard.patience = ITR_NEVER;
    (void)pthread_mutex_unlock(&mutex);
}

/* Around fork(). ------------------------------------------------------------------------------- */

void
mod_watchdog_before_fork(void)
{
    (void)pthread_mutex_lock(&mutex);
}

void
mod_watchdog_after_fork_parent(void)
{
    (void)pthread_mutex_unlock(&mutex);
}

void
mod_watchdog_after_fork_child(void)
{
    (void)pthread_mutex_unlock(&mutex);
    /* They are made anew with the next threads, but what they have is not kept until then. */
    if (guard.running) {
        itr_parker_after_fork(&guard.parker);
    }
    if (probe.running) {
        itr_parker_after_fork(&probe.parker);
    }
    guard.running = false;
    guard.due = guard.patience = ITR_NEVER;
    probe.running = probe.wanted = false;
    atomic_store_explicit(&probe.ident, 0, memory_order_relaxed);
}
