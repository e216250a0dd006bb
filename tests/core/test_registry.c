/* The registry: how records are found, adopted, swept, and why none is inherited (S1). */
#include "expect.h"
#include "itr_registry.h"

static uint64_t last_serial; /* used by one thread at a time */

/* Names for a thread that does not exist: enough for the registry, which never looks at threads. */
static itr_thread
imagine(uintptr_t thread_id)
{
    return (itr_thread){.thread_id = thread_id, .serial = ++last_serial};
}

/* Run `body` as a thread of its own and wait for it. */
static void
in_a_thread(void *(*body)(void *), void *argument)
{
    join(start(body, argument));
}

static void *
adopt_and_expect_no_request(void *argument)
{
    itr_thread *self = argument;
    EXPECT(itr_current() == NULL);
    itr_record *record = itr_adopt(*self);
    EXPECT(record != NULL && itr_current() == record);
    EXPECT(!itr_requested(record));
    itr_record *found = itr_find(self->thread_id);
    EXPECT(found == record);
    itr_release(found);
    return NULL;
}

static void
a_thread_that_ended_is_not_found(void)
{
    itr_thread thread = imagine(1000);
    in_a_thread(adopt_and_expect_no_request, &thread);
    EXPECT(itr_find(1000) == NULL);
    EXPECT(itr_count().records == 0);
}

static void *
adopt_and_expect_the_request(void *argument)
{
    itr_thread *self = argument;
    itr_record *record = itr_adopt(*self);
    EXPECT(record != NULL && itr_requested(record));
    return NULL;
}

static void
a_thread_asked_before_it_ever_looked_sees_it_when_it_looks(void)
{
    static itr_payload payload;
    itr_thread thread = imagine(1000);
    EXPECT(itr_ask(thread, &payload, NULL) == ITR_NEW);
    EXPECT(itr_ask(thread, NULL, NULL) == ITR_WAITING);
    EXPECT(itr_asked(thread));
    EXPECT(itr_count().unadopted == 1);
    EXPECT(itr_find(1000) == NULL); /* nobody says when it ends: it must be looked up alive */
    in_a_thread(adopt_and_expect_the_request, &thread);
    EXPECT(itr_count().records == 0 && itr_count().unadopted == 0);
    EXPECT(orphans() == 1); /* never delivered: dropped when the thread ended */
}

static void
a_thread_asked_before_it_had_an_id_sees_it(void)
{
    itr_thread thread = imagine(ITR_NO_THREAD_ID);
    EXPECT(itr_ask(thread, NULL, NULL) == ITR_NEW);
    thread.thread_id = 1000;
    EXPECT(itr_ask(thread, NULL, NULL) == ITR_WAITING); /* the same thread, known better now */
    EXPECT(itr_count().records == 1);
    in_a_thread(adopt_and_expect_the_request, &thread);
    EXPECT(itr_count().records == 0);
}

static void *
adopt_be_asked_by_an_older_name_and_swept(void *argument)
{
    itr_thread self = *(itr_thread *)argument;
    itr_thread seen_before_it_had_an_id = {ITR_NO_THREAD_ID, self.serial};
    uint64_t epoch = itr_sweep_begin();
    itr_record *record = itr_adopt(self);
    EXPECT(record != NULL);
    EXPECT(itr_ask(seen_before_it_had_an_id, NULL, NULL) == ITR_NEW);
    EXPECT(itr_requested(record) && itr_asked(seen_before_it_had_an_id));
    itr_sweep(epoch, &seen_before_it_had_an_id, 1);
    EXPECT(itr_count().records == 1);
    return NULL;
}

static void
a_thread_that_got_its_id_after_it_was_seen_is_asked_all_the_same(void)
{
    itr_thread thread = imagine(1000);
    in_a_thread(adopt_be_asked_by_an_older_name_and_swept, &thread);
    EXPECT(itr_count().records == 0);
}

static void
a_record_that_got_its_id_after_its_thread_was_seen_survives_the_sweep(void)
{
    itr_thread unborn = imagine(ITR_NO_THREAD_ID), born = {1000, unborn.serial};
    EXPECT(itr_ask(unborn, NULL, NULL) == ITR_NEW);
    uint64_t epoch = itr_sweep_begin();
    EXPECT(itr_ask(born, NULL, NULL) == ITR_WAITING);
    itr_sweep(epoch, &unborn, 1);
    EXPECT(itr_asked(born));
    itr_end(born);
    EXPECT(itr_count().records == 0);
}

static void
threads_without_an_id_do_not_bury_each_other(void)
{
    itr_thread one = imagine(ITR_NO_THREAD_ID), two = imagine(ITR_NO_THREAD_ID);
    EXPECT(itr_ask(two, NULL, NULL) == ITR_NEW);
    EXPECT(itr_ask(one, NULL, NULL) == ITR_NEW);
    EXPECT(itr_count().records == 2);
    itr_end(one);
    itr_end(two);
    EXPECT(itr_count().records == 0);
}

static void
a_successor_with_the_same_id_inherits_nothing(void)
{
    static itr_payload payload;
    itr_thread dead = imagine(1000), successor = imagine(1000);
    EXPECT(itr_ask(dead, &payload, NULL) == ITR_NEW); /* it never looks, and ends */
    in_a_thread(adopt_and_expect_no_request, &successor);
    EXPECT(!itr_asked(dead));
    EXPECT(itr_count().records == 0);
    EXPECT(orphans() == 1);
}

static void
asking_the_successor_buries_the_predecessor_and_asking_the_predecessor_is_too_late(void)
{
    itr_thread dead = imagine(1000), successor = imagine(1000);
    EXPECT(itr_ask(dead, NULL, NULL) == ITR_NEW);
    EXPECT(itr_ask(successor, NULL, NULL) == ITR_NEW);
    EXPECT(itr_count().records == 1);
    EXPECT(itr_ask(dead, NULL, NULL) == ITR_FINISHED);
    EXPECT(itr_asked(successor) && !itr_asked(dead));
    itr_end(successor);
    EXPECT(itr_count().records == 0);
}

static void *
be_asked_by_the_name_of_another_state(void *argument)
{
    itr_thread self = *(itr_thread *)argument, other_state = imagine(self.thread_id);
    itr_record *record = itr_adopt(self);
    EXPECT(enter_scope(record, 7));
    EXPECT(itr_ask(other_state, NULL, NULL) == ITR_FINISHED && itr_flags(record) == 0);
    itr_record *found = itr_find(self.thread_id);
    EXPECT(found == record && request_scope(found, 7, NULL) == ITR_NEW);
    itr_release(found);
    EXPECT(itr_ask(self, NULL, NULL) == ITR_NEW);
    return NULL;
}

/* As long as it lives: nor are its scopes lost, with what they were asked and their deadlines. */
static void
who_has_adopted_is_taken_for_nobody_s_predecessor(void)
{
    itr_thread thread = imagine(1000);
    in_a_thread(be_asked_by_the_name_of_another_state, &thread);
    EXPECT(itr_count().records == 0);
}

static void *
be_asked_after_another_state(void *argument)
{
    itr_thread self = *(itr_thread *)argument, other_state = imagine(self.thread_id);
    EXPECT(itr_ask(other_state, NULL, NULL) == ITR_NEW); /* nobody knows yet whose it is */
    itr_record *record = itr_adopt(self);
    EXPECT(record != NULL && itr_ask(self, NULL, NULL) == ITR_NEW && itr_requested(record));
    EXPECT(itr_ask(other_state, NULL, NULL) == ITR_FINISHED);
    itr_end(other_state);
    return NULL;
}

static void
who_has_adopted_is_asked_though_a_younger_state_of_its_was_before(void)
{
    itr_thread thread = imagine(1000);
    in_a_thread(be_asked_after_another_state, &thread);
    EXPECT(itr_count().records == 0);
}

static void *
live_twice_under_one_id(void *argument)
{
    itr_thread *lives = argument;
    itr_record *record = itr_adopt(lives[0]);
    itr_payload *dropped = NULL;
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    itr_end(lives[0]);
    EXPECT(itr_current() == record && itr_flags(record) == ITR_ENDED);
    EXPECT(itr_find(lives[0].thread_id) == NULL);
    record = itr_adopt(lives[1]);
    EXPECT(record != NULL && itr_flags(record) == 0);
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    return NULL;
}

static void
a_system_thread_that_lives_again_under_a_new_serial_starts_afresh(void)
{
    itr_thread lives[2] = {imagine(1000), imagine(1000)};
    in_a_thread(live_twice_under_one_id, lives);
    EXPECT(itr_count().records == 0);
}

static void *
hold_the_id_while_a_request_is_made(void *argument)
{
    itr_thread *self = argument;
    EXPECT(itr_adopt(*self) != NULL);
    EXPECT(itr_ask(*self, NULL, NULL) == ITR_NEW); /* found, not made again */
    EXPECT(itr_count().records == 1);
    EXPECT(itr_requested(itr_current()));
    return NULL;
}

static void
asking_an_adopted_thread_finds_its_record(void)
{
    itr_thread thread = imagine(1000);
    in_a_thread(hold_the_id_while_a_request_is_made, &thread);
}

static void
a_reference_outlives_the_thread(void)
{
    itr_thread thread = imagine(1000);
    EXPECT(itr_ask(thread, NULL, NULL) == ITR_NEW);
    in_a_thread(adopt_and_expect_the_request, &thread);
    itr_thread again = imagine(1000);
    EXPECT(itr_ask(again, NULL, NULL) == ITR_NEW);
    itr_end(again);
    itr_end(again);
    EXPECT(!itr_asked(again));
}

static void
a_sweep_throws_away_the_dead_only(void)
{
    enum { THREADS = 200 };
    itr_thread threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = imagine(i % 10 == 0 ? ITR_NO_THREAD_ID : 1000 + i);
        EXPECT(itr_ask(threads[i], NULL, NULL) == ITR_NEW);
    }
    EXPECT(itr_sweep_due());
    uint64_t epoch = itr_sweep_begin();
    itr_sweep(epoch, threads, THREADS / 2);
    EXPECT(itr_count().records == THREADS / 2);
    for (int i = 0; i < THREADS; i++) {
        EXPECT(itr_asked(threads[i]) == (i < THREADS / 2));
    }
    EXPECT(!itr_sweep_due());
    itr_sweep(itr_sweep_begin(), NULL, 0);
    EXPECT(itr_count().records == 0);
}

static void
a_sweep_keeps_what_was_made_after_it_began(void)
{
    itr_thread old = imagine(1000), young = imagine(2000);
    EXPECT(itr_ask(old, NULL, NULL) == ITR_NEW);
    uint64_t epoch = itr_sweep_begin();
    /* The list of live threads is made here; `young` starts and is asked after it was. */
    EXPECT(itr_ask(young, NULL, NULL) == ITR_NEW);
    itr_sweep(epoch, &old, 1);
    EXPECT(itr_asked(old) && itr_asked(young));
    itr_sweep(itr_sweep_begin(), NULL, 0);
    EXPECT(itr_count().records == 0);
}

static void
an_old_list_does_not_undo_a_newer_sweep(void)
{
    itr_thread thread = imagine(1000);
    uint64_t older = itr_sweep_begin();
    EXPECT(itr_ask(thread, NULL, NULL) == ITR_NEW); /* started after the older list was made */
    uint64_t newer = itr_sweep_begin();
    itr_sweep(newer, &thread, 1);
    itr_sweep(older, NULL, 0);
    EXPECT(itr_asked(thread));
    itr_end(thread);
}

static void *
sweep_beside_an_adopted_record(void *argument)
{
    itr_thread *self = argument;
    itr_record *record = itr_adopt(*self);
    itr_sweep(itr_sweep_begin(), NULL, 0);
    EXPECT(itr_flags(record) == 0); /* it says itself when it ends; no list is needed */
    EXPECT(itr_ask(*self, NULL, NULL) == ITR_NEW);
    return NULL;
}

static void
a_sweep_leaves_adopted_records_alone(void)
{
    itr_thread thread = imagine(1000);
    in_a_thread(sweep_beside_an_adopted_record, &thread);
}

static void
of_more_than_the_table_has_places_all_are_found(void)
{
    enum { THREADS = 5000 };
    uint64_t first = last_serial + 1;
    for (uintptr_t i = 0; i < THREADS; i++) {
        EXPECT(itr_ask(imagine(0x7f0000000000U + i * 4096), NULL, NULL) == ITR_NEW);
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        EXPECT(itr_asked((itr_thread){0x7f0000000000U + i * 4096, first + i}));
    }
    itr_sweep(itr_sweep_begin(), NULL, 0);
    EXPECT(itr_count().records == 0);
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    EXPECT(itr_init() == 0);
    RUN(a_thread_that_ended_is_not_found);
    RUN(a_thread_asked_before_it_ever_looked_sees_it_when_it_looks);
    RUN(a_thread_asked_before_it_had_an_id_sees_it);
    RUN(a_thread_that_got_its_id_after_it_was_seen_is_asked_all_the_same);
    RUN(a_record_that_got_its_id_after_its_thread_was_seen_survives_the_sweep);
    RUN(threads_without_an_id_do_not_bury_each_other);
    RUN(a_successor_with_the_same_id_inherits_nothing);
    RUN(asking_the_successor_buries_the_predecessor_and_asking_the_predecessor_is_too_late);
    RUN(who_has_adopted_is_taken_for_nobody_s_predecessor);
    RUN(who_has_adopted_is_asked_though_a_younger_state_of_its_was_before);
    RUN(a_system_thread_that_lives_again_under_a_new_serial_starts_afresh);
    RUN(asking_an_adopted_thread_finds_its_record);
    RUN(a_reference_outlives_the_thread);
    RUN(a_sweep_throws_away_the_dead_only);
    RUN(a_sweep_keeps_what_was_made_after_it_began);
    RUN(an_old_list_does_not_undo_a_newer_sweep);
    RUN(a_sweep_leaves_adopted_records_alone);
    RUN(of_more_than_the_table_has_places_all_are_found);
    return 0;
}
