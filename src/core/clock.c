/* Monotonic time: see itr_clock.h. */
#include "itr_clock.h"

#include <stdatomic.h>
#include <time.h>

#define NANOSECONDS_PER_SECOND INT64_C(1000000000)

static itr_deadline
moment_of(struct timespec time)
{
    return (itr_deadline)time.tv_sec * NANOSECONDS_PER_SECOND + time.tv_nsec;
}

itr_deadline
itr_now(void)
{
    struct timespec now;
    /* Cannot fail: the clock exists wherever the core builds, and the pointer is good. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return moment_of(now);
}

static itr_deadline
later(itr_deadline now, int64_t nanoseconds)
{
    if (nanoseconds <= 0) {
        return now;
    }
    return nanoseconds < ITR_NEVER - now ? now + nanoseconds : ITR_NEVER;
}

itr_deadline
itr_deadline_after(int64_t nanoseconds)
{
    return later(itr_now(), nanoseconds);
}

#ifdef CLOCK_MONOTONIC_COARSE
itr_deadline
itr_deadline_about(int64_t nanoseconds)
{
    static _Atomic int64_t two_ticks; /* 0: not known yet. atomic: relaxed, a constant */
    int64_t behind = atomic_load_explicit(&two_ticks, memory_order_relaxed);
    struct timespec then;
    if (behind == 0) {
        if (clock_getres(CLOCK_MONOTONIC_COARSE, &then) != 0) {
            return itr_deadline_after(nanoseconds);
        }
        behind = 2 * moment_of(then);
        atomic_store_explicit(&two_ticks, behind, memory_order_relaxed);
    }
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &then);
    return later(moment_of(then) + behind, nanoseconds);
}
#else
itr_deadline
itr_deadline_about(int64_t nanoseconds)
{
    return itr_deadline_after(nanoseconds);
}
#endif
