/* The parker by itself: a permit is never lost, also one that comes while the sleep ends otherwise.
 */
#include "expect.h"
#include "itr_parker.h"

static void
a_permit_given_before_the_park_is_taken_without_sleeping(void)
{
    itr_parker parker;
    itr_parker_init(&parker);
    itr_unpark(&parker);
    EXPECT(itr_park(&parker, ITR_NEVER) == ITR_PARK_PERMIT);
    itr_unpark(&parker);
    itr_unpark(&parker); /* at most one is held */
    EXPECT(itr_park(&parker, ITR_NEVER) == ITR_PARK_PERMIT);
    itr_park_result result;
    do {
        result = itr_park(&parker, itr_now());
    } while (result == ITR_PARK_SIGNAL);
    EXPECT(result == ITR_PARK_TIMEOUT);
    itr_parker_destroy(&parker);
}

static itr_parker parker;
static _Atomic long taken;
static long permits;

static void *
take_permits(void *argument)
{
    uint64_t seed = 1;
    (void)argument;
    while (atomic_load(&taken) < permits) {
        /* Often the deadline passes at the very moment that the permit is given. */
        itr_deadline deadline =
            random_next(&seed) % 2 ? itr_deadline_after(random_next(&seed) % 20000) : ITR_NEVER;
        if (itr_park(&parker, deadline) == ITR_PARK_PERMIT) {
            atomic_fetch_add(&taken, 1);
        }
    }
    return NULL;
}

/* Invariant: each permit is taken exactly once. The next one is given when the last was taken, so a
   permit that is lost, also to a timeout, stops everything. */
static void
every_permit_is_taken_once(void)
{
    permits = scaled(100000);
    itr_parker_init(&parker);
    pthread_t owner = start(take_permits, NULL);
    for (long given = 0; given < permits; given++) {
        while (atomic_load(&taken) < given) {
        }
        EXPECT(atomic_load(&taken) == given);
        itr_unpark(&parker);
    }
    join(owner);
    EXPECT(atomic_load(&taken) == permits);
    itr_parker_destroy(&parker);
}

int
main(void)
{
    RUN(a_permit_given_before_the_park_is_taken_without_sleeping);
    RUN(every_permit_is_taken_once);
    return 0;
}
