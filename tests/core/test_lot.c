/* The parking lot by itself: who is woken, in which order, and what those who leave owe. */
#include <string.h>

#include "expect.h"
#include "itr_lot.h"

enum { MANY = 100 };

static const char places[2];
static const void *const here = &places[0], *const there = &places[1];

/* End a record, to which nobody else has a reference left. */
static void
dispose_alone(itr_record *record)
{
    EXPECT(atomic_load(&record->references) == 1);
    EXPECT(dispose(record) == 0);
}

/* Take the permit, if there is one. */
static bool
has_permit(itr_record *record)
{
    return itr_park(&record->parker, itr_now()) == ITR_PARK_PERMIT;
}

static void
nobody_is_woken_where_nobody_waits(void)
{
    EXPECT(itr_lot_wake(here, 1) == 0);
    EXPECT(itr_lot_wake(here, SIZE_MAX) == 0);
    EXPECT(itr_lot_wake(here, 0) == 0);
    itr_lot_wake_all();
}

static void
a_wake_up_tells_the_waiter_and_lets_it_go_on(void)
{
    itr_record *record = new_record();
    itr_waiter waiter;
    itr_lot_enter(&waiter, here, record, false);
    EXPECT(!itr_lot_woken(&waiter) && !has_permit(record));
    EXPECT(itr_lot_wake(here, 0) == 0 && !itr_lot_woken(&waiter));
    EXPECT(itr_lot_wake(here, 1) == 1);
    EXPECT(itr_lot_woken(&waiter) && has_permit(record));
    EXPECT(itr_lot_wake(here, 1) == 0); /* it is out of the queue */
    EXPECT(!has_permit(record));
    EXPECT(itr_lot_leave(&waiter));
    dispose_alone(record);
}

static void
who_leaves_before_is_not_woken_and_owes_nothing(void)
{
    itr_record *record = new_record();
    itr_waiter waiter;
    itr_lot_enter(&waiter, here, record, false);
    EXPECT(!itr_lot_leave(&waiter));
    EXPECT(itr_lot_wake(here, 1) == 0);
    EXPECT(!itr_lot_woken(&waiter) && !has_permit(record));
    dispose_alone(record);
}

/* More addresses than the lot can tell apart otherwise. */
static void
only_waiters_of_that_address_are_woken(void)
{
    enum { ADDRESSES = 3000 };
    static const char addresses[ADDRESSES];
    static itr_waiter waiters[ADDRESSES];
    itr_record *record = new_record();
    for (int i = 0; i < ADDRESSES; i++) {
        itr_lot_enter(&waiters[i], &addresses[i], record, i % 2 == 0);
    }
    for (int i = 0; i < ADDRESSES; i += 7) {
        EXPECT(itr_lot_wake(&addresses[i], SIZE_MAX) == 1);
    }
    for (int i = 0; i < ADDRESSES; i++) {
        EXPECT(itr_lot_leave(&waiters[i]) == (i % 7 == 0));
    }
    dispose_alone(record);
}

/* Fewer than there are, exactly as many, and more than fit into one batch. */
static void
so_many_are_woken_in_the_order_in_which_they_entered(void)
{
    itr_record *record = new_record();
    itr_waiter waiters[MANY];
    for (int i = 0; i < MANY; i++) {
        itr_lot_enter(&waiters[i], here, record, false);
    }
    size_t woken = 0, counts[] = {1, 2, 15, 16, 17, 33};
    for (size_t step = 0; step < sizeof(counts) / sizeof(*counts); step++) {
        EXPECT(itr_lot_wake(here, counts[step]) == counts[step]);
        woken += counts[step];
        for (size_t i = 0; i < MANY; i++) {
            EXPECT(itr_lot_woken(&waiters[i]) == (i < woken));
        }
    }
    EXPECT(itr_lot_wake(here, SIZE_MAX) == MANY - woken);
    EXPECT(itr_lot_wake(here, 1) == 0);
    for (int i = 0; i < MANY; i++) {
        EXPECT(itr_lot_leave(&waiters[i]));
    }
    dispose_alone(record);
}

static void
who_enters_in_front_is_woken_first(void)
{
    itr_record *record = new_record();
    itr_waiter first, second, third, alone;
    itr_lot_enter(&alone, there, record, true); /* in front of nobody */
    itr_lot_enter(&second, here, record, false);
    itr_lot_enter(&third, here, record, false);
    itr_lot_enter(&first, here, record, true);
    EXPECT(itr_lot_wake(here, 1) == 1);
    EXPECT(itr_lot_woken(&first) && !itr_lot_woken(&second) && !itr_lot_woken(&third));
    EXPECT(itr_lot_wake(here, 1) == 1);
    EXPECT(itr_lot_woken(&second) && !itr_lot_woken(&third));
    EXPECT(itr_lot_wake(here, 5) == 1 && itr_lot_woken(&third));
    EXPECT(itr_lot_wake(there, 1) == 1 && itr_lot_woken(&alone));
    dispose_alone(record);
}

/* The first, the last, one in the middle, the only one: the others stay in their order. */
static void
those_who_stay_keep_their_order_whoever_leaves(void)
{
    itr_record *record = new_record();
    itr_waiter waiters[5];
    for (int i = 0; i < 5; i++) {
        itr_lot_enter(&waiters[i], here, record, false);
    }
    EXPECT(!itr_lot_leave(&waiters[2]));
    EXPECT(!itr_lot_leave(&waiters[0]));
    EXPECT(!itr_lot_leave(&waiters[4]));
    itr_lot_enter(&waiters[0], here, record, false);
    EXPECT(itr_lot_wake(here, 1) == 1 && itr_lot_woken(&waiters[1]));
    EXPECT(itr_lot_wake(here, 1) == 1 && itr_lot_woken(&waiters[3]));
    EXPECT(!itr_lot_leave(&waiters[0]));
    itr_lot_enter(&waiters[0], here, record, true);
    EXPECT(itr_lot_wake(here, 1) == 1 && itr_lot_woken(&waiters[0]));
    dispose_alone(record);
}

static void
all_are_woken_wherever_they_wait(void)
{
    static const char many[4096];
    itr_record *record = new_record();
    itr_waiter waiters[MANY];
    for (int i = 0; i < MANY; i++) {
        itr_lot_enter(&waiters[i], &many[i * 40], record, false);
    }
    itr_lot_wake_all();
    for (int i = 0; i < MANY; i++) {
        EXPECT(itr_lot_leave(&waiters[i]));
    }
    dispose_alone(record);
}

static void *
wait_here(void *argument)
{
    itr_waiter waiter;
    itr_lot_enter(&waiter, here, argument, false);
    while (!itr_lot_woken(&waiter)) {
        (void)itr_park(&((itr_record *)argument)->parker, ITR_NEVER);
    }
    EXPECT(itr_lot_leave(&waiter));
    return NULL;
}

static void
a_sleeping_thread_is_woken(void)
{
    itr_record *record = new_record();
    pthread_t thread = start(wait_here, record);
    while (itr_lot_wake(here, 1) == 0) {
    }
    join(thread);
    dispose_alone(record);
}

/* The waiter is on the stack of a thread that the child has not got. */
static void
the_child_of_a_fork_has_an_empty_lot(void)
{
    itr_record *record = new_record();
    itr_waiter waiter, own;
    itr_lot_enter(&waiter, here, record, false);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        itr_lot_after_fork_child();
        memset(&waiter, 0xFF, sizeof(waiter));
        EXPECT(itr_lot_wake(here, 1) == 0);
        itr_lot_enter(&own, here, record, false);
        EXPECT(itr_lot_wake(here, SIZE_MAX) == 1 && itr_lot_leave(&own));
        _exit(0);
    }
    expect_child(pid);
    EXPECT(itr_lot_wake(here, 1) == 1 && itr_lot_woken(&waiter)); /* the parent's is as it was */
    dispose_alone(record);
}

int
main(void)
{
    RUN(nobody_is_woken_where_nobody_waits);
    RUN(a_wake_up_tells_the_waiter_and_lets_it_go_on);
    RUN(who_leaves_before_is_not_woken_and_owes_nothing);
    RUN(only_waiters_of_that_address_are_woken);
    RUN(so_many_are_woken_in_the_order_in_which_they_entered);
    RUN(who_enters_in_front_is_woken_first);
    RUN(those_who_stay_keep_their_order_whoever_leaves);
    RUN(all_are_woken_wherever_they_wait);
    RUN(a_sleeping_thread_is_woken);
    RUN(the_child_of_a_fork_has_an_empty_lot);
    return 0;
}
