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

#include "expect.h"
#include "itr_registry.h"

enum { REQUESTERS = 2 };

static const itr_thread owner_names = {.thread_id = 1, .serial = 1};
static _Atomic long sent, seen, wakes, polls;
static _Atomic bool stop;

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

static void *
own(void *argument)
{
    long rounds = *(const long *)argument;
    uint64_t seed = 1;
    itr_record *record = itr_adopt(owner_names);
    EXPECT(record != NULL);
    while (atomic_load(&seen) < rounds) {
        itr_payload *dropped = NULL;
        wait_for_request(record);
        EXPECT(random_next(&seed) % 2 == 0 ? itr_deliver(record, &dropped)
                                           : itr_clear(record, &dropped));
        atomic_fetch_add(&seen, 1);
    }
    atomic_store(&stop, true);
    return NULL;
}

static void *
request(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    itr_record *record;
    while ((record = itr_find(owner_names.thread_id)) == NULL) {
        if (atomic_load(&stop)) {
            return NULL;
        }
    }
    while (!atomic_load(&stop)) {
        if (random_next(&seed) % 8 == 0) {
            atomic_fetch_add(&wakes, 1);
            itr_wake(record);
        }
        itr_answer answer = itr_request(record, NULL);
        atomic_fetch_add(&sent, answer == ITR_NEW);
        if (answer == ITR_FINISHED) {
            break;
        }
        while ((itr_flags(record) & ITR_PENDING) && !atomic_load(&stop)) {
            (void)sched_yield();
        }
    }
    itr_release(record);
    return NULL;
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    long rounds = scaled(100000);
    pthread_t owner = start(own, &rounds);
    pthread_t requesters[REQUESTERS];
    for (uintptr_t i = 0; i < REQUESTERS; i++) {
        requesters[i] = start(request, (void *)(i + 2));
    }
    join(owner);
    for (int i = 0; i < REQUESTERS; i++) {
        join(requesters[i]);
    }
    printf("%ld requests sent, %ld seen, %ld woken, %ld polls\n", sent, seen, wakes, polls);
    EXPECT(sent == seen || sent == seen + 1); /* one may have come after the last look */
    /* One for each request, each that repeated it, and each itr_wake(). */
    EXPECT(polls <= sent * (1 + REQUESTERS) + wakes);
    EXPECT(itr_count().records == 0);
    return 0;
}
