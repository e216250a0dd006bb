/*
 * Requesters against one owner that waits without a deadline, or with one at about the same moment.
 *
 * Invariant: no wake-up is lost. The owner clears every request it is woken by and the requesters
 * make the next one only when it has, so a lost one stops everything, and the test's time runs out.
 * The wake fd tells the same story as the flag at every step. Seed: 1.
 */
#include <poll.h>

#include "contest.h"

static _Atomic long seen, sent;

static void
own(itr_record *record, long rounds, uint64_t *seed)
{
    int fd = itr_wait_fd(record);
    EXPECT(fd >= 0);
    while (atomic_load(&seen) < rounds) {
        itr_payload *dropped = NULL;
        bool with_fd = random_next(seed) % 4 == 0;
        if (with_fd) {
            struct pollfd poller = {.fd = fd, .events = POLLIN};
            EXPECT(poll(&poller, 1, -1) == 1);
            EXPECT(itr_requested(record)); /* readable for a reason */
        }
        else {
            itr_deadline deadline = random_next(seed) % 2 == 0
                                        ? ITR_NEVER
                                        : itr_deadline_after(random_next(seed) % 30000);
            itr_wait_result result = itr_wait(record, deadline);
            if (result != ITR_WAIT_REQUESTED) {
                EXPECT(result == ITR_WAIT_SIGNAL || deadline != ITR_NEVER);
                continue;
            }
        }
        EXPECT(itr_clear(record, &dropped));
        atomic_fetch_add(&seen, 1);
    }
}

static bool
request(itr_record *record, uint64_t *seed)
{
    (void)seed;
    if (itr_request(record, NULL) == ITR_NEW) {
        atomic_fetch_add(&sent, 1);
    }
    else if (itr_flags(record) & ITR_ENDED) {
        return false;
    }
    while (itr_requested(record) && !atomic_load(&stop)) {
    }
    return true;
}

int
main(void)
{
    contend(scaled(100000));
    printf("%ld requests sent, %ld seen\n", sent, seen);
    EXPECT(sent == seen || sent == seen + 1); /* one may have come after the last look */
    return 0;
}
