/*
 * Monotonic time for everything in the core that waits.
 *
 * A wait takes a deadline, not a duration: a wait that is broken off by a signal
 * and begun again must not start its time from the beginning.
 */
#ifndef ITR_CLOCK_H
#define ITR_CLOCK_H

#include <stdint.h>

/* A moment on CLOCK_MONOTONIC, in nanoseconds. */
typedef int64_t itr_deadline;

/* The deadline that is never reached. */
#define ITR_NEVER INT64_MAX

/* The present moment. */
itr_deadline itr_now(void);

/* The moment `nanoseconds` from now. Zero or less is now; past the clock's end is ITR_NEVER. */
itr_deadline itr_deadline_after(int64_t nanoseconds);

/*
 * The same, or later by two of the kernel's ticks, some milliseconds, for a tenth of the price.
 * What the kernel noted at its last tick is taken for the present; that is behind by one to two.
 * Where ticks are late, as in a virtual machine that gets no processor, it may be as much earlier.
 */
itr_deadline itr_deadline_about(int64_t nanoseconds);

#endif
