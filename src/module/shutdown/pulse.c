/* See pulse.h. All is guarded by the mutex, but for what is atomic. */
#include "shutdown/pulse.h"

#include <pthread.h>
#include <stdatomic.h>

#include "cpython/compat.h"
#include "itr_background.h"

/* How often it is felt, in nanoseconds. The one that ends the interpreter may give up the GIL for
   moments only, while it writes, and nobody asks it to. */
static const int64_t OFTEN = INT64_C(100000000);
static const int64_t OFTEN_AT_END = INT64_C(5000000);

static pthread_mutex_t pulse_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pulse_changed = PTHREAD_COND_INITIALIZER;

static bool pulse_runs;    /* there is a thread; it may be waiting for the GIL for ever */
static bool pulse_wanted;  /* it is to take the GIL, or has not got it yet */
static bool pulse_stopped; /* it is to end */

/* Of the main thread, which ends the interpreter. atomic: relaxed; it is as old as the process. */
static _Atomic(const PyThreadState *) main_state;
static _Atomic uintptr_t pulse_ident; /* of the thread. atomic: relaxed, as the looker's */

/* An interpreter that goes lets nobody attach: that would not return. */
static void
take_pulse(void)
{
    while (!pulse_stopped) {
        if (!pulse_wanted) {
            (void)pthread_cond_wait(&pulse_changed, &pulse_mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&pulse_mutex);
        if (!interruption_is_finalizing() && interruption_attach_thread()) {
            interruption_detach_thread();
        }
        (void)pthread_mutex_lock(&pulse_mutex);
        pulse_wanted = false; /* without memory it is no hold of the GIL, either */
    }
}

static void *
run_pulse(void *unused)
{
    atomic_store_explicit(&pulse_ident, (uintptr_t)PyThread_get_thread_ident(),
                          memory_order_relaxed);
    (void)pthread_mutex_lock(&pulse_mutex);
    take_pulse();
    pulse_runs = false;
    atomic_store_explicit(&pulse_ident, 0, memory_order_relaxed);
    (void)pthread_mutex_unlock(&pulse_mutex);
    return unused;
}

bool
interruption_pulse_begin(void)
{
    (void)pthread_mutex_lock(&pulse_mutex);
    pulse_stopped = false;
    pulse_wanted = pulse_runs && pulse_wanted;
    atomic_store_explicit(&main_state, PyThreadState_Get(), memory_order_relaxed);
    if (!pulse_runs) {
        pulse_runs = itr_start_background(run_pulse, NULL, 0) == 0;
    }
    bool there = pulse_runs;
    (void)pthread_mutex_unlock(&pulse_mutex);
    return there;
}

bool
interruption_pulse_is_felt(int64_t *within)
{
    if (interruption_is_finalizing()) {
        *within = OFTEN_AT_END;
        return !interruption_is_attached(atomic_load_explicit(&main_state, memory_order_relaxed));
    }
    *within = OFTEN;
    (void)pthread_mutex_lock(&pulse_mutex);
    bool felt = !pulse_wanted;
    pulse_wanted = true;
    (void)pthread_cond_signal(&pulse_changed);
    (void)pthread_mutex_unlock(&pulse_mutex);
    return felt;
}

void
interruption_pulse_end(void)
{
    (void)pthread_mutex_lock(&pulse_mutex);
    pulse_stopped = true;
    (void)pthread_cond_signal(&pulse_changed);
    (void)pthread_mutex_unlock(&pulse_mutex);
}

uintptr_t
interruption_pulse_thread(void)
{
    return atomic_load_explicit(&pulse_ident, memory_order_relaxed);
}

void
interruption_pulse_before_fork(void)
{
    (void)pthread_mutex_lock(&pulse_mutex);
}

void
interruption_pulse_after_fork_parent(void)
{
    (void)pthread_mutex_unlock(&pulse_mutex);
}

void
interruption_pulse_after_fork_child(void)
{
    pulse_runs = pulse_wanted = false;
    atomic_store_explicit(&pulse_ident, 0, memory_order_relaxed);
    (void)pthread_cond_init(&pulse_changed, NULL);
    (void)pthread_mutex_unlock(&pulse_mutex);
}
