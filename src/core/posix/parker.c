/*
 * The parker for systems without futexes: poll() on a descriptor of its own.
 *
 * A condition variable would need no descriptors, but it cannot tell its waiter that a signal
 * handler ran: the main thread would sleep through Ctrl-C. poll() returns EINTR.
 */
#include "../itr_parker.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#define NANOSECONDS_PER_MILLISECOND 1000000

/* How long one sleeps for whom there is no bell, in milliseconds: whoever goes on in spite of the
   error, as a thread of the library's own does, is not to go round and round. */
enum { WITHOUT_BELL = 10 };

void
itr_parker_init(itr_parker *parker)
{
    atomic_init(&parker->state, ITR_PARKER_EMPTY);
    (void)pthread_mutex_init(&parker->mutex, NULL); /* of this kind it never fails */
    parker->bell = ITR_NO_WAKE_FD;
}

void
itr_parker_destroy(itr_parker *parker)
{
    itr_wake_fd_close(&parker->bell);
    (void)pthread_mutex_destroy(&parker->mutex);
}

/* By the owner. The bell's number; -1 with errno set. The program may have closed the last one. */
static int
have_bell(itr_parker *parker)
{
    int status = 0;
    (void)pthread_mutex_lock(&parker->mutex);
    if (!itr_wake_fd_is_whole(&parker->bell)) {
        itr_wake_fd_close(&parker->bell);
        status = itr_wake_fd_open(&parker->bell, false);
    }
    int number = parker->bell.reader.fd;
    (void)pthread_mutex_unlock(&parker->mutex);
    return status < 0 ? -1 : number;
}

static void
ring(itr_parker *parker)
{
    (void)pthread_mutex_lock(&parker->mutex);
    itr_wake_fd_signal(&parker->bell);
    (void)pthread_mutex_unlock(&parker->mutex);
}

static void
quieten(itr_parker *parker)
{
    (void)pthread_mutex_lock(&parker->mutex);
    itr_wake_fd_drain(&parker->bell);
    (void)pthread_mutex_unlock(&parker->mutex);
}

/* poll()'s timeout: milliseconds, rounded up so that we never wake before the deadline. */
static int
milliseconds_until(itr_deadline deadline)
{
    if (deadline == ITR_NEVER) {
        return -1;
    }
    itr_deadline now = itr_now();
    if (deadline <= now) {
        return 0;
    }
    int64_t milliseconds = (deadline - now - 1) / NANOSECONDS_PER_MILLISECOND + 1;
    return milliseconds < INT_MAX ? (int)milliseconds : INT_MAX;
}

itr_park_result
itr_park(itr_parker *parker, itr_deadline deadline)
{
    int bell = have_bell(parker);
    if (bell < 0) {
        int error = errno;
        (void)poll(NULL, 0, WITHOUT_BELL);
        errno = error;
        return ITR_PARK_ERROR;
    }
    uint32_t expected = ITR_PARKER_EMPTY;
    /* Release: the unparker that sees SLEEPS takes the mutex after us, and finds this bell (pairs
       with the acquire in itr_unpark). */
    if (!atomic_compare_exchange_strong_explicit(&parker->state, &expected, ITR_PARKER_SLEEPS,
                                                 memory_order_release, memory_order_relaxed)) {
        /* Acquire: pairs with the release in itr_unpark. An exchange, not a store: a second unpark
           may come between, and what was written before it must be seen as well. */
        (void)atomic_exchange_explicit(&parker->state, ITR_PARKER_EMPTY, memory_order_acquire);
        return ITR_PARK_PERMIT;
    }
    struct pollfd wait = {.fd = bell, .events = POLLIN};
    int timeout = milliseconds_until(deadline);
    int ready = poll(&wait, 1, timeout);
    /* Acquire: pairs with the release in itr_unpark. */
    if (atomic_exchange_explicit(&parker->state, ITR_PARKER_EMPTY, memory_order_acquire) ==
        ITR_PARKER_PERMIT) {
        /* The ring may still be on its way; if so it ends a later sleep without a permit,
           which the caller's loop allows for (ITR_PARK_SIGNAL). */
        quieten(parker);
        return ITR_PARK_PERMIT;
    }
    if (ready > 0) {
        quieten(parker);
    }
    return ready == 0 && itr_now() >= deadline ? ITR_PARK_TIMEOUT : ITR_PARK_SIGNAL;
}

itr_park_result
itr_park_on_time(itr_parker *parker, itr_deadline deadline)
{
    return itr_park(parker, deadline);
}

void
itr_unpark(itr_parker *parker)
{
    /* Release and acquire: pairs with both orders in itr_park. */
    if (atomic_exchange_explicit(&parker->state, ITR_PARKER_PERMIT, memory_order_acq_rel) ==
        ITR_PARKER_SLEEPS) {
        ring(parker);
    }
}

void
itr_parker_after_fork(itr_parker *parker)
{
    /* The bell is shared with the parent: both would hear what either rings. The mutex may be
       locked for ever. */
    itr_wake_fd_close(&parker->bell);
    itr_parker_init(parker);
}
