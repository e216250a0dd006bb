/*
 * One owner that opens and closes, requesters that ask and arm, as an embedder does it.
 *
 * Invariants: a request is never overlooked (the owner finds it when it opens, or is armed by
 * whoever made it: while it is open it waits for that, so an overlooked one stops everything, and
 * the test's time runs out; only who makes a new request arms, so nobody else puts it right), and
 * after it has closed it is not armed. Seed: 1.
 */
#include <sched.h>

#include "contest.h"

static pthread_mutex_t arming = PTHREAD_MUTEX_INITIALIZER;
static bool is_armed;              /* guarded by arming, written there only; */
static _Atomic bool armed_to_look; /* the same, for the owner to look at */

static void
set_armed(bool armed)
{
    is_armed = armed;
    atomic_store(&armed_to_look, armed);
}

static bool
is_in_need(uint32_t flags)
{
    return (flags & ITR_CANCELABLE) && (flags & ITR_PENDING);
}

/* What an embedder does about a request that was made of an open thread. */
static void
arm(itr_record *record)
{
    pthread_mutex_lock(&arming);
    uint32_t flags = itr_arm(record);
    while (!is_in_need(flags) && !(flags & ITR_ARMED) && is_in_need(itr_disarm(record))) {
        flags = itr_arm(record); /* opened meanwhile: the owner has seen our mark */
    }
    if (is_in_need(flags)) {
        set_armed(true);
    }
    pthread_mutex_unlock(&arming);
}

/* What there was to arm for has come to its end; but it may have been asked anew. */
static void
disarm(itr_record *record)
{
    pthread_mutex_lock(&arming);
    if (!is_in_need(itr_flags(record))) {
        (void)itr_disarm(record);
        set_armed(false);
    }
    pthread_mutex_unlock(&arming);
}

/* While it is open: somebody asks, again and again. */
static void
wait_and_deliver(itr_record *record)
{
    itr_payload *dropped = NULL;
    while (!(itr_flags(record) & ITR_PENDING) || !atomic_load(&armed_to_look)) {
        (void)sched_yield();
    }
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    if (itr_flags(record) & ITR_ARMED) {
        disarm(record);
    }
}

static void
close_it(itr_record *record)
{
    if (itr_disable_cancel(record) & ITR_ARMED) {
        disarm(record);
    }
    pthread_mutex_lock(&arming);
    EXPECT(!is_armed);
    pthread_mutex_unlock(&arming);
}

static void
own(itr_record *record, long rounds, uint64_t *seed)
{
    for (long i = 0; i < rounds; i++) {
        uint32_t flags = itr_enable_cancel(record);
        EXPECT(!(flags & ITR_CANCELABLE));
        if ((flags & ITR_PENDING) && !(flags & ITR_ARMED)) {
            arm(record);
        }
        for (uint64_t times = random_next(seed) % 3; times > 0; times--) {
            wait_and_deliver(record);
        }
        close_it(record);
    }
}

static bool
request(itr_record *record, uint64_t *seed)
{
    (void)seed;
    itr_answer answer = itr_request(record, NULL);
    EXPECT(answer != ITR_NO_MEMORY);
    if (answer == ITR_NEW && (itr_flags(record) & ITR_CANCELABLE)) {
        arm(record);
    }
    return true;
}

int
main(void)
{
    long rounds = scaled(30000);
    contend(rounds);
    printf("ok: %ld times open\n", rounds);
    return 0;
}
