/* Monotonic time: see itr_clock.h. */
#include "itr_clock.h"

#include <time.h>

#define NANOSECONDS_PER_SECOND INT64_C(1000000000)

itr_deadline
itr_now(void)
{
    struct timespec now;
    /* Cannot fail: the clock exists wherever the core builds, and the pointer is good. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (itr_deadline)now.tv_sec * NANOSECONDS_PER_SECOND + now.tv_nsec;
}

itr_deadline
itr_deadline_after(int64_t nanoseconds)
{
    itr_deadline now = itr_now();
    if (nanoseconds <= 0) {
        return now;
    }
    return nanoseconds < ITR_NEVER - now ? now + nanoseconds : ITR_NEVER;
}
