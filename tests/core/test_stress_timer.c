/*
 * Threads that enter and leave scopes with deadlines, while others move those, and threads end.
 *
 * Invariants: who waits in a scope is woken by its deadline, and not before it (0 lost); whoever
 * has left a scope has nothing of it left, whatever was due just then; no record is kept by the
 * timer that has ended. Seed: the number of the thread.
 */
#include <poll.h>

#include "expect.h"
#include "itr_timer.h"

enum { OWNERS = 4, SOONEST = 1000, LONGEST = 300000 /* nanoseconds */ };

typedef struct {
    itr_thread names;
    _Atomic uint64_t scope; /* that it is in now, and may be moved in; or 0 */
    long turns;
} place;

static place places[OWNERS];
static _Atomic uint64_t newest_scope, newest_serial;
static _Atomic bool stop;
static _Atomic long expired, left_in_time, moved;

static void
watch_it(itr_record *record, itr_deadline deadline)
{
    bool asked;
    EXPECT(itr_watch_deadline(record, deadline, &asked) == 0);
}

/* One scope. If it is not moved, it lasts until its deadline, or is left before. */
static void
visit(itr_record *record, place *at, uint64_t *seed)
{
    itr_payload *dropped = NULL;
    uint64_t scope = 1 + atomic_fetch_add(&newest_scope, 1);
    int64_t within = SOONEST + random_next(seed) % LONGEST;
    bool is_moved = random_next(seed) % 2 == 0;
    itr_deadline deadline = itr_deadline_after(within);
    EXPECT(enter_scope_until(record, scope, deadline));
    watch_it(record, deadline);
    if (is_moved) {
        atomic_store(&at->scope, scope);
    }
    if (random_next(seed) % 2 == 0) {
        EXPECT(wait_on(record, ITR_NEVER) == ITR_WAIT_REQUESTED);
        EXPECT(itr_has_expired(record, scope) && (is_moved || itr_now() >= deadline));
        EXPECT(itr_deliver(record, scope, &dropped));
        atomic_fetch_add(&expired, 1);
    }
    else {
        (void)wait_on(record, itr_deadline_after(random_next(seed) % LONGEST));
        atomic_fetch_add(&left_in_time, !itr_has_expired(record, scope));
    }
    atomic_store(&at->scope, 0);
    (void)leave_scope(record, scope, NULL, &dropped);
    EXPECT(itr_flags(record) == 0 && dropped == NULL);
}

static void *
live(void *argument)
{
    place *at = argument;
    uint64_t seed = at->names.serial;
    itr_record *record = itr_adopt(at->names);
    EXPECT(record != NULL);
    for (uint32_t visits = random_next(&seed) % 64; visits > 0; visits--) {
        visit(record, at, &seed);
    }
    if (random_next(&seed) % 2 == 0) { /* it ends within one */
        itr_deadline deadline = itr_deadline_after(random_next(&seed) % LONGEST);
        EXPECT(enter_scope_until(record, 1 + atomic_fetch_add(&newest_scope, 1), deadline));
        watch_it(record, deadline);
    }
    return NULL;
}

static void *
live_on(void *argument)
{
    place *at = argument;
    for (long life = 0; life < at->turns; life++) {
        at->names.serial = 1 + atomic_fetch_add(&newest_serial, 1);
        join(start(live, at));
    }
    return NULL;
}

/* Earlier and later. Never later for good: who waits would wait for ever. */
static void *
move(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    while (!atomic_load(&stop)) {
        place *at = &places[random_next(&seed) % OWNERS];
        uint64_t scope = atomic_load(&at->scope);
        itr_record *record = scope == 0 ? NULL : itr_find(at->names.thread_id);
        if (record == NULL) {
            continue;
        }
        itr_deadline deadline = itr_deadline_after(random_next(&seed) % LONGEST);
        if (itr_reschedule(record, scope, deadline)) {
            watch_it(record, deadline);
            atomic_fetch_add(&moved, 1);
        }
        itr_release(record);
    }
    return NULL;
}

/* One that is entered just as the timer looks, for the deadline of one that has been left; inside
   of many, so that the look takes its time. */
static void
meet_the_timer(void)
{
    enum { TURNS = 2000, AROUND = 2000 };
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    for (uint64_t scope = 3; scope < AROUND; scope++) {
        EXPECT(enter_scope(record, scope));
    }
    for (long turn = scaled(TURNS); turn > 0; turn--) {
        itr_deadline looks = itr_deadline_after(SOONEST), deadline;
        EXPECT(enter_scope_until(record, 1, looks));
        watch_it(record, looks);
        (void)leave_scope(record, 1, NULL, &dropped);
        while (!(atomic_load(&record->flags) & ITR_UNBIASED) && record->looked_at == looks) {
        }
        deadline = itr_deadline_after(SOONEST);
        EXPECT(enter_scope_until(record, 2, deadline));
        watch_it(record, deadline);
        EXPECT(wait_on(record, ITR_NEVER) == ITR_WAIT_REQUESTED);
        (void)leave_scope(record, 2, NULL, &dropped);
        EXPECT(itr_flags(record) == 0 && dropped == NULL);
    }
    itr_record_end(record, &dropped);
    itr_unwatch_deadlines(record);
    itr_release(record);
}

static void *
look_on(void *record)
{
    while (!atomic_load(&stop)) {
        (void)itr_look_at_deadlines(record, itr_now());
    }
    return NULL;
}

/* A scope is left while somebody looks whether its deadline has passed: then it has been asked, or
   it has not, and either way the owner's descriptor is empty afterwards. */
static void
leave_while_looked_at(void)
{
    enum { TURNS = 10000000, STEP = 50 /* nanoseconds */ };
    itr_record *record = new_record();
    struct pollfd end = {.fd = itr_wait_fd(record), .events = POLLIN};
    pthread_t looker = start(look_on, record);
    for (long turn = scaled(TURNS); turn > 0; turn--) {
        uint64_t scope = (uint64_t)turn;
        itr_payload *dropped = NULL;
        EXPECT(enter_scope_until(record, scope, itr_deadline_after(turn % 40 * STEP)));
        bool asked;
        (void)leave_scope(record, scope, &asked, &dropped);
        EXPECT(itr_flags(record) == 0 && dropped == NULL);
        EXPECT(turn % 64 > 0 || poll(&end, 1, 0) == 0);
    }
    atomic_store(&stop, true);
    join(looker);
    atomic_store(&stop, false);
    dispose(record);
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    meet_the_timer();
    leave_while_looked_at();
    pthread_t owners[OWNERS], mover;
    for (size_t i = 0; i < OWNERS; i++) {
        places[i].names.thread_id = i + 1;
        places[i].turns = scaled(100);
        owners[i] = start(live_on, &places[i]);
    }
    mover = start(move, (void *)(uintptr_t)(OWNERS + 1));
    for (size_t i = 0; i < OWNERS; i++) {
        join(owners[i]);
    }
    atomic_store(&stop, true);
    join(mover);
    EXPECT(itr_timer_count().records == 0 && itr_count().records == 0);
    printf("ok: %ld expired, %ld left in time, %ld moved\n", atomic_load(&expired),
           atomic_load(&left_in_time), atomic_load(&moved));
    return 0;
}
