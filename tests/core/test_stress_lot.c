/*
 * Takers and givers of tokens at a few addresses. A taker that finds none waits in the lot, often
 * with a deadline, and leaves when that has passed, whether it has been woken or not.
 *
 * Invariants: each token that was given is taken once; no taker sleeps while there is a token for
 * it (each place has one giver, which goes on when all are taken; else all comes to a stop, and the
 * test's time runs out); each wake-up reached one waiter, and nobody was woken without. Seed: that
 * of each thread is its number.
 */
#include <sched.h>

#include "expect.h"
#include "itr_lot.h"
#include "itr_registry.h"

enum { PLACES = 3, TAKERS_AT_EACH = 2, TAKERS = PLACES * TAKERS_AT_EACH };

/* atomic: sequentially consistent, as the lot's header demands of who has no lock of its own. */
typedef struct {
    _Atomic long tokens;
    _Atomic long waiters;
    _Atomic bool done;
} place;

static place places[PLACES];
static _Atomic long given, taken, woken, were_woken;
static long rounds;

static bool
take(place *from)
{
    long tokens = atomic_load(&from->tokens);
    while (tokens > 0) {
        if (atomic_compare_exchange_weak(&from->tokens, &tokens, tokens - 1)) {
            return true;
        }
    }
    return false;
}

static void
wake(place *at, size_t count)
{
    if (atomic_load(&at->waiters) != 0) {
        atomic_fetch_add(&woken, (long)itr_lot_wake(at, count));
    }
}

/* One stay in the lot. Whether a token was taken; `*owed`: a wake-up has reached us. */
static bool
stay(itr_record *record, place *at, itr_deadline deadline, bool *owed)
{
    itr_waiter waiter;
    atomic_fetch_add(&at->waiters, 1);
    itr_lot_enter(&waiter, at, record, *owed);
    bool got = take(at);
    itr_park_result parked = ITR_PARK_PERMIT;
    while (!got && parked != ITR_PARK_TIMEOUT && !itr_lot_woken(&waiter)) {
        parked = itr_park(&record->parker, deadline);
    }
    *owed = itr_lot_leave(&waiter);
    atomic_fetch_add(&at->waiters, -1);
    atomic_fetch_add(&were_woken, *owed);
    return got;
}

/* Whether it got one. Who leaves without hands the wake-up on that has reached it. */
static bool
wait_for_token(itr_record *record, place *at, itr_deadline deadline)
{
    bool owed = false, got = take(at);
    while (!got && itr_now() < deadline) {
        got = stay(record, at, deadline, &owed) || take(at);
    }
    if (!got && owed) {
        wake(at, 1);
    }
    return got;
}

static void *
take_tokens(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    itr_record *record = itr_adopt((itr_thread){(uintptr_t)seed, seed});
    EXPECT(record != NULL);
    place *at = &places[seed % PLACES];
    while (!atomic_load(&at->done)) {
        itr_deadline deadline = random_next(&seed) % 2 == 0
                                    ? itr_deadline_after(random_next(&seed) % 50000)
                                    : ITR_NEVER;
        atomic_fetch_add(&taken, wait_for_token(record, at, deadline));
    }
    return NULL;
}

static void
give(place *at, long count)
{
    atomic_fetch_add(&given, count);
    atomic_fetch_add(&at->tokens, count);
    wake(at, (size_t)count);
}

static void *
give_tokens(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    place *at = &places[seed % PLACES];
    for (long i = 0; i < rounds; i++) {
        give(at, 1 + random_next(&seed) % 3);
        while (atomic_load(&at->tokens) > 0) {
            (void)sched_yield();
        }
    }
    atomic_store(&at->done, true);
    give(at, TAKERS_AT_EACH); /* to end the last waits */
    return NULL;
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    rounds = scaled(30000);
    pthread_t takers[TAKERS], givers[PLACES];
    for (uintptr_t i = 0; i < TAKERS; i++) {
        takers[i] = start(take_tokens, (void *)(i + 1));
    }
    for (uintptr_t i = 0; i < PLACES; i++) {
        givers[i] = start(give_tokens, (void *)(i + 1 + TAKERS));
    }
    for (int i = 0; i < PLACES; i++) {
        join(givers[i]);
    }
    for (int i = 0; i < TAKERS; i++) {
        join(takers[i]);
    }
    long left = 0;
    for (int i = 0; i < PLACES; i++) {
        left += atomic_load(&places[i].tokens);
        EXPECT(atomic_load(&places[i].waiters) == 0);
        EXPECT(itr_lot_wake(&places[i], 1) == 0);
    }
    printf("%ld tokens, %ld wake-ups\n", given, woken);
    EXPECT(given == taken + left);
    EXPECT(woken == were_woken);
    EXPECT(itr_count().records == 0);
    return 0;
}
