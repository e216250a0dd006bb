/* Deadlines of scopes (S27): who is asked, when, and what is left afterwards. */
#include <poll.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "expect.h"
#include "itr_timer.h"

static const int64_t SOON = INT64_C(20000000), LATE = INT64_C(3600000000000);
static const itr_thread self = {.thread_id = 1, .serial = 1};

/* Enter it, and have its deadline watched. Returns whether it has been asked already. */
static bool
enter(itr_record *record, uint64_t scope, itr_deadline deadline)
{
    bool asked;
    EXPECT(enter_scope_until(record, scope, deadline));
    EXPECT(itr_watch_deadline(record, deadline, &asked) == 0);
    return asked;
}

/* Returns whether somebody has asked it. */
static bool
leave(itr_record *record, uint64_t scope)
{
    itr_payload *dropped = NULL;
    bool asked;
    (void)leave_scope(record, scope, &asked, &dropped);
    EXPECT(dropped == NULL);
    return asked;
}

/*
 * Enter it until soon. The deadline may have passed before it is watched, if this thread had no
 * processor for so long: then again.
 */
static itr_deadline
enter_soon(itr_record *record, uint64_t scope)
{
    for (;;) {
        itr_deadline deadline = itr_deadline_after(SOON);
        if (!enter(record, scope, deadline)) {
            return deadline;
        }
        (void)leave(record, scope);
    }
}

/* It has been left before its deadline. */
static void
visit_in_time(itr_record *record, uint64_t scope)
{
    do {
        (void)enter_soon(record, scope);
    } while (leave(record, scope));
}

static void
dispose_left(itr_record *record)
{
    itr_payload *dropped = NULL;
    itr_record_end(record, &dropped);
    itr_unwatch_deadlines(record);
    itr_release(record);
}

/* Until the timer has nothing to look after. */
static void
wait_until_idle(void)
{
    while (itr_timer_count().records > 0) {
        (void)poll(NULL, 0, 1);
    }
}

static void
the_scope_is_asked_when_its_deadline_has_passed(void)
{
    itr_record *record = new_record();
    itr_deadline deadline = enter_soon(record, 7);
    EXPECT(wait_on(record, ITR_NEVER) == ITR_WAIT_REQUESTED && itr_now() >= deadline);
    EXPECT(itr_has_expired(record, 7) && !itr_has_expired(record, 6));
    EXPECT(leave(record, 7) && itr_flags(record) == 0 && !itr_has_expired(record, 7));
    wait_until_idle();
    dispose_left(record);
}

static void
who_has_left_is_not_asked(void)
{
    itr_record *record = new_record();
    visit_in_time(record, 7);
    wait_until_idle(); /* it is looked at for nothing */
    EXPECT(itr_flags(record) == 0);
    /* Nor the next one, for the deadline of the first. */
    visit_in_time(record, 8);
    EXPECT(!enter(record, 9, itr_deadline_after(LATE)));
    EXPECT(wait_on(record, itr_deadline_after(2 * SOON)) == ITR_WAIT_TIMEOUT);
    EXPECT(!leave(record, 9) && itr_flags(record) == 0);
    dispose_left(record);
}

static void
a_deadline_that_has_passed_is_asked_for_at_once(void)
{
    itr_record *record = new_record();
    EXPECT(enter(record, 7, 0) && itr_has_expired(record, 7));
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_PENDING) && leave(record, 7));
    EXPECT(enter(record, 8, INT64_MIN) && leave(record, 8));
    EXPECT(!enter(record, 9, ITR_NEVER) && !leave(record, 9));
    EXPECT(record->turn == 0 && record->looked_at == ITR_NEVER);
    /* Also if the timer, which is to look before that, is late. */
    atomic_store(&record->looked_at, itr_now());
    EXPECT(enter(record, 9, itr_now()) && leave(record, 9));
    dispose_left(record);
}

/* A million limits in a row are one entry, and nobody is woken. */
static void
a_deadline_behind_the_next_look_costs_nothing(void)
{
    itr_record *record = new_record();
    itr_deadline first = itr_deadline_after(LATE);
    EXPECT(!enter(record, 7, first) && !leave(record, 7));
    while (itr_timer_count().wakes == 0 && itr_timer_count().runs) {
        (void)poll(NULL, 0, 1); /* until it has seen that, if it slept */
    }
    for (int64_t i = 1; i <= 100000; i++) {
        EXPECT(!enter(record, 7, first + i) && !leave(record, 7));
        EXPECT(record->looked_at == first);
    }
    EXPECT(itr_timer_count().records == 1);
    dispose_left(record);
    EXPECT(itr_timer_count().records == 0);
}

static void
a_deadline_is_moved(void)
{
    itr_record *record = new_record();
    bool asked;
    EXPECT(!enter(record, 7, itr_deadline_after(LATE)));
    itr_deadline earlier = itr_deadline_after(SOON);
    EXPECT(itr_reschedule(record, 7, earlier) && !itr_reschedule(record, 6, 0));
    EXPECT(itr_watch_deadline(record, earlier, &asked) == 0);
    EXPECT(wait_on(record, ITR_NEVER) == ITR_WAIT_REQUESTED && itr_now() >= earlier);
    EXPECT(!itr_reschedule(record, 7, ITR_NEVER)); /* it has expired */
    EXPECT(leave(record, 7) && !itr_reschedule(record, 7, 0));
    /* Later: the look at the old time is for nothing. */
    for (;;) {
        (void)enter_soon(record, 8);
        if (itr_reschedule(record, 8, itr_deadline_after(LATE))) {
            break;
        }
        EXPECT(leave(record, 8)); /* it has expired meanwhile */
    }
    EXPECT(wait_on(record, itr_deadline_after(2 * SOON)) == ITR_WAIT_TIMEOUT);
    /* To never, and to what has passed. */
    EXPECT(itr_reschedule(record, 8, ITR_NEVER));
    EXPECT(itr_reschedule(record, 8, 1) && itr_watch_deadline(record, 1, &asked) == 0 && asked);
    EXPECT(leave(record, 8));
    /* Begun anew, with what its deadline has asked forgotten. */
    itr_payload *dropped = NULL;
    EXPECT(enter(record, 9, 1) && itr_requested(record));
    itr_begin_scope_anew(record, 9, ITR_NEVER, &dropped);
    EXPECT(!itr_requested(record) && !itr_has_expired(record, 9) && dropped == NULL);
    EXPECT(itr_reschedule(record, 9, itr_deadline_after(LATE)) && !leave(record, 9));
    dispose_left(record);
}

static void
what_the_deadline_has_asked_is_told_from_what_others_have(void)
{
    itr_record *record = new_record();
    itr_payload payload = {.next = NULL}, *dropped = NULL;
    bool asked, timed;
    /* Somebody first, */
    EXPECT(!enter(record, 7, itr_deadline_after(LATE)));
    EXPECT(request_scope(record, 7, NULL) == ITR_NEW);
    EXPECT(itr_reschedule(record, 7, 1) && itr_watch_deadline(record, 1, &asked) == 0);
    EXPECT(itr_has_expired(record, 7) && itr_asked_for(record, 7, &timed) == NULL && !timed);
    EXPECT(itr_deliver(record, 7, &dropped) && !itr_was_timed(record, 7) && leave(record, 7));
    /* or the deadline first, and again somebody when it has been delivered. */
    EXPECT(enter(record, 8, 0) && request_scope(record, 8, &payload) == ITR_WAITING);
    EXPECT(itr_asked_for(record, 8, &timed) == NULL && timed);
    EXPECT(itr_deliver(record, 8, &dropped) && itr_was_timed(record, 8));
    EXPECT(request_scope(record, 8, &payload) == ITR_NEW && itr_was_timed(record, 8));
    EXPECT(itr_asked_for(record, 8, &timed) == &payload && !timed);
    EXPECT(itr_deliver(record, 8, &dropped) && !itr_was_timed(record, 8) && dropped == NULL);
    (void)leave_scope(record, 8, NULL, &dropped);
    EXPECT(dropped == &payload && !itr_was_timed(record, 8));
    dispose_left(record);
}

enum { MANY = 1000 };

/* In the order of their deadlines, whatever the order they came in. */
static void
many_are_each_asked_in_time(void)
{
    static itr_record *records[MANY];
    static itr_deadline deadlines[MANY];
    uint64_t seed = 1;
    for (size_t i = 0; i < MANY; i++) {
        records[i] = new_record();
        deadlines[i] = itr_deadline_after(random_next(&seed) % (4 * SOON));
        (void)enter(records[i], i + 1, deadlines[i]);
        if (i % 3 == 0) { /* some are gone, from wherever they are in the heap */
            dispose_left(records[i]);
            records[i] = NULL;
        }
    }
    for (size_t i = 0; i < MANY; i++) {
        if (records[i] != NULL) {
            EXPECT(wait_on(records[i], ITR_NEVER) == ITR_WAIT_REQUESTED);
            EXPECT(itr_now() >= deadlines[i] && leave(records[i], i + 1));
        }
    }
    wait_until_idle();
    for (size_t i = 0; i < MANY; i++) {
        if (records[i] != NULL) {
            dispose_left(records[i]);
        }
    }
}

/* The one wake-up in a while is the last thing that the earlier tests have set. */
static void
nobody_wakes_up_for_what_is_not_due(void)
{
    static itr_record *records[MANY];
    for (size_t i = 0; i < MANY; i++) {
        records[i] = new_record();
        EXPECT(!enter(records[i], 7, itr_deadline_after(LATE - (int64_t)i)));
    }
    (void)poll(NULL, 0, 1100); /* it has seen the last one, and what it may linger for, */
    uint64_t before, wakes = itr_timer_count().wakes;
    int more = 5; /* where it is late, a little later */
    do {
        before = wakes;
        (void)poll(NULL, 0, 500);
        wakes = itr_timer_count().wakes;
    } while (wakes != before && more-- > 0);
    EXPECT(wakes == before && itr_timer_count().records == MANY);
    for (size_t i = 0; i < MANY; i++) {
        EXPECT(!leave(records[i], 7));
        dispose_left(records[i]);
    }
    EXPECT(itr_timer_count().records == 0);
}

static void
the_thread_ends_when_nothing_is_left_and_comes_back(void)
{
    itr_record *record = new_record();
    (void)enter_soon(record, 7);
    while (itr_timer_count().runs) {
        (void)poll(NULL, 0, 10);
    }
    EXPECT(leave(record, 7));
    (void)enter_soon(record, 8);
    EXPECT(wait_on(record, ITR_NEVER) == ITR_WAIT_REQUESTED && leave(record, 8));
    dispose_left(record);
}

/* What more there is to do: by the timer, when nobody has to be woken but is to be stopped. */
/* How much longer than it wants to the calling thread may sleep, in nanoseconds. */
static int
slack(void)
{
#ifdef __linux__
    return prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL);
#else
    return 0;
#endif
}

static _Atomic(itr_record *) told;
static _Atomic int slack_of_teller;

static void
tell(itr_record *record)
{
    atomic_store(&slack_of_teller, slack());
    atomic_store(&told, record);
}

static void
who_runs_is_told_of(void)
{
    itr_record *record = new_record();
    itr_timer_init(tell);
    (void)itr_enable_cancel(record);
    (void)enter_soon(record, 7);
    while (atomic_load(&told) == NULL) {
        (void)poll(NULL, 0, 1);
    }
    EXPECT(atomic_load(&told) == record && itr_requested(record) && leave(record, 7));
    EXPECT(atomic_load(&slack_of_teller) == slack()); /* so has a thread that it makes */
    /* Who waits is woken, and sees to it himself. */
    atomic_store(&told, NULL);
    (void)itr_begin_wait(record);
    (void)enter_soon(record, 8);
    EXPECT(wait_on(record, ITR_NEVER) == ITR_WAIT_REQUESTED && leave(record, 8));
    wait_until_idle();
    EXPECT(atomic_load(&told) == NULL);
    itr_timer_init(NULL);
    dispose_left(record);
}

static void *
end_with_a_deadline(void *as_it_ends)
{
    itr_record *record = itr_adopt(self);
    EXPECT(record != NULL && !enter(record, 7, itr_deadline_after(LATE)));
    EXPECT(itr_timer_count().records == 1);
    if (as_it_ends == NULL) {
        itr_end(self);
        bool asked;
        EXPECT(!itr_reschedule(record, 7, 0) && !itr_has_expired(record, 7));
        EXPECT(itr_watch_deadline(record, 0, &asked) == 0 && !asked);
    }
    return NULL;
}

static void
a_thread_that_ends_leaves_no_deadline_behind(void)
{
    static char as_it_ends;
    join(start(end_with_a_deadline, NULL));
    EXPECT(itr_timer_count().records == 0);
    join(start(end_with_a_deadline, &as_it_ends)); /* told by the thread-exit handler */
    EXPECT(itr_timer_count().records == 0);
}

static bool
child_has_no_deadlines(void)
{
    itr_record *record = itr_current();
    itr_timer_statistics there = itr_timer_count();
    return there.records == 0 && !there.runs && !itr_requested(record) &&
           !itr_has_expired(record, 7) &&
           wait_on(record, itr_deadline_after(3 * SOON)) == ITR_WAIT_TIMEOUT;
}

static bool
child_may_have_its_own(void)
{
    itr_record *record = itr_current();
    itr_deadline deadline = itr_deadline_after(SOON);
    bool asked;
    /* The scope is the parent's, and goes on. */
    EXPECT(itr_reschedule(record, 7, deadline));
    EXPECT(itr_watch_deadline(record, deadline, &asked) == 0);
    EXPECT(wait_on(record, ITR_NEVER) == ITR_WAIT_REQUESTED && leave(record, 7));
    return !enter(record, 8, itr_deadline_after(LATE)) && !leave(record, 8);
}

static void *
fork_within(void *unused)
{
    itr_record *record = itr_adopt(self);
    itr_record *other = new_record(); /* of a thread that the child has not */
    EXPECT(record != NULL && !enter(other, 6, itr_deadline_after(LATE)));
    (void)enter_soon(record, 7);
    in_a_child(child_has_no_deadlines);
    in_a_child(child_may_have_its_own);
    EXPECT(wait_on(record, ITR_NEVER) == ITR_WAIT_REQUESTED); /* the parent's stays */
    in_a_child(child_has_no_deadlines);                       /* nor what has expired */
    EXPECT(leave(record, 7));
    dispose_left(other);
    return unused;
}

static void
a_child_has_its_scopes_without_deadlines(void)
{
    join(start(fork_within, NULL));
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    RUN(the_scope_is_asked_when_its_deadline_has_passed);
    RUN(who_has_left_is_not_asked);
    RUN(a_deadline_that_has_passed_is_asked_for_at_once);
    RUN(a_deadline_behind_the_next_look_costs_nothing);
    RUN(a_deadline_is_moved);
    RUN(what_the_deadline_has_asked_is_told_from_what_others_have);
    RUN(many_are_each_asked_in_time);
    RUN(nobody_wakes_up_for_what_is_not_due);
    RUN(the_thread_ends_when_nothing_is_left_and_comes_back);
    RUN(who_runs_is_told_of);
    RUN(a_thread_that_ends_leaves_no_deadline_behind);
    RUN(a_child_has_its_scopes_without_deadlines);
    return 0;
}
