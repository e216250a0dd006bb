/*
 * The parker on Linux: a futex on the state word. No resource is needed, so parking cannot fail.
 */
#include "../itr_parker.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS_PER_SECOND 1000000000

void
itr_parker_init(itr_parker *parker)
{
    atomic_init(&parker->state, ITR_PARKER_EMPTY);
}

void
itr_parker_destroy(itr_parker *parker)
{
    (void)parker;
}

/* Sleep while the word says that we do. Returns 0 or an errno value. */
static int
futex_wait(itr_parker *parker, itr_deadline deadline)
{
    /* A time is always given, ITR_NEVER being 292 years: the kernel ends a sleep with a time for
       every signal handler, but one without begins again when the handler asked for SA_RESTART. */
    struct timespec at = {
        .tv_sec = (time_t)(deadline / NANOSECONDS_PER_SECOND),
        .tv_nsec = (long)(deadline % NANOSECONDS_PER_SECOND),
    };
    /* The BITSET form takes an absolute time on CLOCK_MONOTONIC; the plain one a duration. */
    long result = syscall(SYS_futex, &parker->state, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
                          (uint32_t)ITR_PARKER_SLEEPS, &at, NULL, (uint32_t)FUTEX_BITSET_MATCH_ANY);
    return result == 0 ? 0 : errno;
}

itr_park_result
itr_park(itr_parker *parker, itr_deadline deadline)
{
    uint32_t expected = ITR_PARKER_EMPTY;
    /* Relaxed: it only announces the sleep, and the kernel compares the word again before it puts
       us to sleep. The exchanges are what pairs with itr_unpark. */
    if (!atomic_compare_exchange_strong_explicit(&parker->state, &expected, ITR_PARKER_SLEEPS,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        /* Acquire: pairs with the release in itr_unpark. An exchange, not a store: a second unpark
           may come between, and what was written before it must be seen as well. */
        (void)atomic_exchange_explicit(&parker->state, ITR_PARKER_EMPTY, memory_order_acquire);
        return ITR_PARK_PERMIT;
    }
    int error = futex_wait(parker, deadline);
    /* Acquire: pairs with the release in itr_unpark. A permit given while the deadline passed
       or a signal came is taken, not left behind. */
    if (atomic_exchange_explicit(&parker->state, ITR_PARKER_EMPTY, memory_order_acquire) ==
        ITR_PARKER_PERMIT) {
        return ITR_PARK_PERMIT;
    }
    return error == ETIMEDOUT ? ITR_PARK_TIMEOUT : ITR_PARK_SIGNAL;
}

itr_park_result
itr_park_on_time(itr_parker *parker, itr_deadline deadline)
{
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* nanoseconds */
    itr_park_result result = itr_park(parker, deadline);
    (void)prctl(PR_SET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL); /* what the thread was made with */
    return result;
}

void
itr_unpark(itr_parker *parker)
{
    /* Release: pairs with the acquires in itr_park. */
    if (atomic_exchange_explicit(&parker->state, ITR_PARKER_PERMIT, memory_order_release) ==
        ITR_PARKER_SLEEPS) {
        (void)syscall(SYS_futex, &parker->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    }
}

void
itr_parker_after_fork(itr_parker *parker)
{
    itr_parker_init(parker);
}
