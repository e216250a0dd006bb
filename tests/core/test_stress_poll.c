/*
 * Requesters against one owner that polls, as blocking calls do: itr_poll_fd, a look at the flags,
 * and then a poll without a deadline.
 *
 * Invariant: no request is missed. The owner ends each, by delivering or clearing it, and the
 * requesters make the next one only then, so a missed one stops everything, and the test's time
 * runs out. Nothing but a request or itr_wake() ends a poll. Seed: 1.
 */
#include <poll.h>
#include <sched.h>

#include "contest.h"

static _Atomic long sent, seen, wakes, polls;

/* Wait until there is something to be done about. */
static void
wait_for_request(itr_record *record)
{
    for (;;) {
        struct pollfd poller = {.fd = itr_poll_fd(record), .events = POLLIN};
        EXPECT(poller.fd >= 0);
        if (itr_flags(record) & ITR_PENDING) {
            return;
        }
        EXPECT(poll(&poller, 1, -1) == 1);
        atomic_fetch_add(&polls, 1);
    }
}

static void
own(itr_record *record, long rounds, uint64_t *seed)
{
    while (atomic_load(&seen) < rounds) {
        itr_payload *dropped = NULL;
        wait_for_request(record);
        EXPECT(random_next(seed) % 2 == 0 ? itr_deliver(record, ITR_THREAD, &dropped)
                                          : itr_clear(record, &dropped));
        atomic_fetch_add(&seen, 1);
    }
}

static bool
request(itr_record *record, uint64_t *seed)
{
    if (random_next(seed) % 8 == 0) {
        atomic_fetch_add(&wakes, 1);
        itr_wake(record);
    }
    itr_answer answer = itr_request(record, NULL);
    atomic_fetch_add(&sent, answer == ITR_NEW);
    while ((itr_flags(record) & ITR_PENDING) && !atomic_load(&stop)) {
        (void)sched_yield();
    }
    return answer != ITR_FINISHED;
}

int
main(void)
{
    contend(scaled(100000));
    printf("%ld requests sent, %ld seen, %ld woken, %ld polls\n", sent, seen, wakes, polls);
    EXPECT(sent == seen || sent == seen + 1); /* one may have come after the last look */
    /* One for each request, each that repeated it, and each itr_wake(). */
    EXPECT(polls <= sent * (1 + REQUESTERS) + wakes);
    return 0;
}
