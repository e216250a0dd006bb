/* Scopes of a record: what is asked of one reaches it or nobody, and takes nothing from others. */
#include "expect.h"
#include "itr_record.h"

static itr_payload first, second, third;

static void
dispose_empty(itr_record *record)
{
    EXPECT(dispose(record) == 0);
}

static void
a_scope_is_asked_while_the_thread_is_in_it(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(request_scope(record, 7, NULL) == ITR_FINISHED);
    EXPECT(enter_scope(record, 7));
    EXPECT(request_scope(record, 6, NULL) == ITR_FINISHED && itr_flags(record) == 0);
    EXPECT(request_scope(record, 7, NULL) == ITR_NEW);
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_PENDING));
    EXPECT(request_scope(record, 7, NULL) == ITR_WAITING);
    EXPECT(itr_flags(record) & ITR_REQUESTED_AGAIN);
    EXPECT(!leave_scope(record, 6, NULL, &dropped) && itr_requested(record)); /* not that one */
    EXPECT(leave_scope(record, 7, NULL, &dropped) && itr_flags(record) == 0);
    EXPECT(request_scope(record, 7, NULL) == ITR_FINISHED && itr_flags(record) == 0);
    EXPECT(enter_scope(record, 8) && !leave_scope(record, 8, NULL, &dropped));
    dispose_empty(record);
}

static void
what_was_delivered_of_a_scope_is_forgotten_when_it_is_left(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    int fd = itr_wait_fd(record);
    EXPECT(enter_scope(record, 7));
    EXPECT(request_scope(record, 7, NULL) == ITR_NEW && readable(fd));
    EXPECT(itr_deliver(record, 7, &dropped) && itr_delivered(record, 7) == NULL);
    EXPECT(itr_flags(record) == ITR_REQUESTED);
    EXPECT(request_scope(record, 7, NULL) == ITR_NEW); /* again */
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_PENDING | ITR_REQUESTED_AGAIN));
    EXPECT(itr_deliver(record, 7, &dropped));
    EXPECT(leave_scope(record, 7, NULL, &dropped) && itr_flags(record) == 0 && !readable(fd));
    dispose_empty(record);
}

static void
a_request_to_the_thread_outlives_the_scope(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    int fd = itr_wait_fd(record);
    EXPECT(enter_scope(record, 7));
    EXPECT(request_scope(record, 7, NULL) == ITR_NEW);
    EXPECT(itr_request(record, &first) == ITR_NEW); /* new, though the scope's waits */
    EXPECT(itr_request(record, NULL) == ITR_WAITING);
    EXPECT(!leave_scope(record, 7, NULL, &dropped));
    EXPECT((itr_flags(record) & (ITR_REQUESTED | ITR_PENDING)) == (ITR_REQUESTED | ITR_PENDING));
    EXPECT(readable(fd));
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(itr_delivered(record, ITR_THREAD) == &first);
    EXPECT(itr_clear(record, &dropped) && dropped == &first && first.next == NULL);
    dispose_empty(record);
}

/* Nothing displaces another's, in whatever order they are asked; each is asked again by itself. */
static void
each_level_keeps_its_own_request(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(enter_scope(record, 7) && enter_scope(record, 8));
    EXPECT(request_scope(record, 8, &third) == ITR_NEW);
    EXPECT(itr_level_flags(record, ITR_THREAD) == 0 && itr_level_flags(record, 7) == 0);
    EXPECT(itr_level_flags(record, 8) & ITR_PENDING);
    EXPECT(itr_request(record, &first) == ITR_NEW && request_scope(record, 7, &second) == ITR_NEW);
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_PENDING)); /* each for the first time */
    EXPECT(itr_level_flags(record, ITR_THREAD) & ITR_PENDING);
    EXPECT(itr_deliver(record, 7, &dropped) && itr_delivered(record, 7) == &second);
    EXPECT(itr_level_flags(record, 7) == ITR_REQUESTED);
    EXPECT(itr_level_flags(record, 8) == (ITR_REQUESTED | ITR_PENDING));
    EXPECT(itr_level_flags(record, 9) == 0 && !itr_deliver(record, 9, &dropped));
    EXPECT(itr_deliver(record, 8, &dropped) && itr_delivered(record, 8) == &third);
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(itr_delivered(record, ITR_THREAD) == &first && dropped == NULL);
    EXPECT(request_scope(record, 8, NULL) == ITR_NEW);
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_PENDING | ITR_REQUESTED_AGAIN));
    EXPECT(leave_scope(record, 8, NULL, &dropped) && dropped == &third);
    EXPECT(itr_flags(record) == ITR_REQUESTED);
    dropped = NULL;
    EXPECT(!leave_scope(record, 7, NULL, &dropped) && dropped == &second);
    EXPECT(itr_flags(record) == ITR_REQUESTED && itr_delivered(record, ITR_THREAD) == &first);
    dropped = NULL;
    EXPECT(itr_clear(record, &dropped) && dropped == &first && itr_flags(record) == 0);
    dispose_empty(record);
}

/* A shield is inside of the levels that wait: they do not count as pending, and are not lost. */
static void
levels_outside_of_a_shield_wait(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    int fd = itr_wait_fd(record);
    EXPECT(enter_scope(record, 7) && enter_scope(record, 8));
    EXPECT(itr_open_from(record, 8) == 0);
    EXPECT(itr_request(record, NULL) == ITR_NEW && request_scope(record, 7, NULL) == ITR_NEW);
    EXPECT(itr_request(record, NULL) == ITR_WAITING);
    EXPECT(itr_flags(record) == ITR_REQUESTED && readable(fd));
    EXPECT(request_scope(record, 8, NULL) == ITR_NEW);
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_PENDING));
    EXPECT(itr_open_from(record, ITR_NOBODY) == ITR_REQUESTED);
    EXPECT(itr_open_from(record, 8) == (ITR_REQUESTED | ITR_PENDING));
    EXPECT(leave_scope(record, 8, NULL, &dropped) && itr_flags(record) == ITR_REQUESTED);
    EXPECT(itr_open_from(record, 7) == (ITR_REQUESTED | ITR_PENDING));
    EXPECT(itr_deliver(record, 7, &dropped) && itr_flags(record) == ITR_REQUESTED);
    EXPECT(itr_open_from(record, ITR_THREAD) ==
           (ITR_REQUESTED | ITR_PENDING | ITR_REQUESTED_AGAIN));
    (void)leave_scope(record, 7, NULL, &dropped);
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped) && itr_clear(record, &dropped));
    dispose_empty(record);
}

/* As greenlets do; and more of them than the record has room for. */
static void
scopes_are_left_in_any_order(void)
{
    enum { MANY = 20 };
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    for (uint64_t scope = 1; scope <= MANY; scope++) {
        EXPECT(enter_scope(record, scope));
        EXPECT(request_scope(record, scope, scope == 3 ? &first : NULL) == ITR_NEW);
    }
    for (uint64_t scope = 2; scope <= MANY; scope += 2) {
        bool asked;
        EXPECT(!leave_scope(record, scope, &asked, &dropped) && asked && dropped == NULL);
    }
    for (uint64_t scope = 1; scope <= MANY; scope++) {
        EXPECT((itr_level_flags(record, scope) != 0) == (scope % 2 == 1));
    }
    EXPECT(itr_deliver(record, 3, &dropped) && itr_delivered(record, 3) == &first);
    for (uint64_t scope = 1; scope <= MANY; scope += 2) {
        EXPECT(leave_scope(record, scope, NULL, &dropped) == (scope == MANY - 1));
    }
    EXPECT(dropped == &first && itr_flags(record) == 0);
    dispose_empty(record);
}

static void
a_scope_carries_a_payload(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    bool asked = false;
    EXPECT(request_scope(record, 7, &first) == ITR_FINISHED); /* the caller keeps it */
    EXPECT(enter_scope(record, 7));
    EXPECT(request_scope(record, 7, &first) == ITR_NEW);
    EXPECT(request_scope(record, 7, &second) == ITR_WAITING);
    EXPECT(itr_deliver(record, 7, &dropped) && itr_delivered(record, 7) == &first);
    EXPECT(itr_deliver(record, 7, &dropped) && itr_delivered(record, 7) == &first); /* by a check */
    EXPECT(request_scope(record, 7, &second) == ITR_NEW && dropped == NULL);
    EXPECT(itr_delivered(record, 7) == &first);
    EXPECT(itr_deliver(record, 7, &dropped) && itr_delivered(record, 7) == &second);
    EXPECT(dropped == &first && itr_delivered(record, ITR_THREAD) == NULL);
    dropped = NULL;
    EXPECT(leave_scope(record, 7, &asked, &dropped) && asked);
    EXPECT(dropped == &second && second.next == NULL);
    EXPECT(enter_scope(record, 8) && !leave_scope(record, 8, &asked, &dropped) && !asked);
    dispose_empty(record);
}

static void
what_the_thread_was_asked_is_taken_back_whatever_a_scope_was_asked(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    first.origin = second.origin = 9;
    EXPECT(enter_scope(record, 7) && request_scope(record, 7, &second) == ITR_NEW);
    EXPECT(itr_deliver(record, 7, &dropped) && itr_request(record, &first) == ITR_NEW);
    EXPECT(itr_take_back(record, 9, &dropped) && dropped == &first);
    EXPECT(itr_flags(record) == ITR_REQUESTED && !itr_take_back(record, 9, &dropped));
    dropped = NULL;
    EXPECT(leave_scope(record, 7, NULL, &dropped) && dropped == &second);
    first.origin = second.origin = 0;
    dispose_empty(record);
}

static void
what_a_scope_was_not_told_any_more_is_given_back(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    bool asked = false;
    EXPECT(enter_scope(record, 7) && request_scope(record, 7, &first) == ITR_NEW);
    EXPECT(leave_scope(record, 7, &asked, &dropped) && asked && dropped == &first);
    dropped = NULL;
    EXPECT(enter_scope(record, 8) && request_scope(record, 8, &second) == ITR_NEW);
    EXPECT(itr_clear(record, &dropped) && dropped == &second);
    EXPECT(request_scope(record, 8, &third) == ITR_NEW);
    dropped = NULL;
    itr_record_end(record, &dropped);
    EXPECT(dropped == &third);
    itr_release(record);
}

static void
an_ended_record_takes_nothing(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(enter_scope(record, 7));
    EXPECT(request_scope(record, 7, NULL) == ITR_NEW);
    itr_record_end(record, &dropped);
    EXPECT(request_scope(record, 7, NULL) == ITR_FINISHED && itr_flags(record) == ITR_ENDED);
    itr_release(record);
}

/* At once. Requesters ask every scope that they see, and one asks the thread; the owner must find
   no request that it has not the right to: none when it enters, unless the thread was asked. */

#define SCOPES 100000
#define REQUESTERS 3
#define ENOUGH 100 /* requests of each kind, at least */

static itr_record *shared;
static _Atomic uint64_t current;   /* release by the owner, acquire by requesters */
static _Atomic uint64_t accepted;  /* relaxed: only counted */
static _Atomic uint64_t to_thread; /* accepted ones; release by the asker, acquire by the owner */
static _Atomic bool over;

static void *
ask_scopes(void *unused)
{
    (void)unused;
    while (!atomic_load(&over)) {
        uint64_t scope = atomic_load_explicit(&current, memory_order_acquire);
        if (scope != 0 && request_scope(shared, scope, NULL) != ITR_FINISHED) {
            (void)atomic_fetch_add_explicit(&accepted, 1, memory_order_relaxed);
        }
    }
    return NULL;
}

static void *
ask_thread(void *unused)
{
    (void)unused;
    uint64_t scope = 0;
    while (!atomic_load(&over)) {
        uint64_t now = atomic_load_explicit(&current, memory_order_acquire);
        if (now >= scope + 100 && itr_request(shared, NULL) == ITR_NEW) {
            (void)atomic_fetch_add_explicit(&to_thread, 1, memory_order_release);
            scope = atomic_load_explicit(&current, memory_order_acquire);
        }
    }
    return NULL;
}

static void
late_requests_reach_nobody_and_requests_to_the_thread_are_kept(void)
{
    shared = new_record();
    pthread_t threads[REQUESTERS + 1];
    for (int i = 0; i < REQUESTERS; i++) {
        threads[i] = start(ask_scopes, NULL);
    }
    threads[REQUESTERS] = start(ask_thread, NULL);
    itr_payload *dropped = NULL;
    uint64_t cleared = 0;
    uint64_t count = (uint64_t)scaled(SCOPES);
    for (uint64_t scope = 1;
         scope <= count || atomic_load(&accepted) < ENOUGH || atomic_load(&to_thread) < ENOUGH;
         scope++) {
        EXPECT(enter_scope(shared, scope));
        atomic_store_explicit(&current, scope, memory_order_release);
        bool threads = itr_level_flags(shared, ITR_THREAD) & ITR_PENDING;
        uint64_t level = threads ? ITR_THREAD : scope;
        if (itr_level_flags(shared, level) & ITR_PENDING) {
            EXPECT((itr_flags(shared) & ITR_PENDING) && itr_deliver(shared, level, &dropped));
        }
        (void)leave_scope(shared, scope, NULL, &dropped);
        if (itr_requested(shared)) {
            EXPECT(itr_clear(shared, &dropped)); /* the thread's: no scope's is left */
            cleared++;
        }
    }
    atomic_store(&over, true);
    for (int i = 0; i <= REQUESTERS; i++) {
        join(threads[i]);
    }
    cleared += itr_clear(shared, &dropped);
    EXPECT(cleared == atomic_load_explicit(&to_thread, memory_order_acquire));
    dispose_empty(shared);
}

/* A fork came while the owner moved what is behind a level that it left, or noted a delivery: what
   the child finds of another thread's record. */
static void
what_a_fork_has_cut_gives_each_payload_back_once(void)
{
    itr_payload one = {.next = NULL}, other = {.next = NULL}, *dropped = NULL;
    itr_record *record = new_record();
    EXPECT(enter_scope(record, 7) && enter_scope(record, 8) && enter_scope(record, 9));
    EXPECT(request_scope(record, 8, &one) == ITR_NEW);
    EXPECT(request_scope(record, 9, &other) == ITR_NEW);
    record->levels[1] = record->levels[2]; /* 7 is being left */
    record->levels[3].delivered = record->levels[3].pending;
    itr_record_abandon(record, &dropped);
    EXPECT(dropped == &other && other.next == &one && one.next == NULL);
}

int
main(void)
{
    RUN(a_scope_is_asked_while_the_thread_is_in_it);
    RUN(what_was_delivered_of_a_scope_is_forgotten_when_it_is_left);
    RUN(a_request_to_the_thread_outlives_the_scope);
    RUN(each_level_keeps_its_own_request);
    RUN(levels_outside_of_a_shield_wait);
    RUN(scopes_are_left_in_any_order);
    RUN(a_scope_carries_a_payload);
    RUN(what_the_thread_was_asked_is_taken_back_whatever_a_scope_was_asked);
    RUN(what_a_scope_was_not_told_any_more_is_given_back);
    RUN(an_ended_record_takes_nothing);
    RUN(late_requests_reach_nobody_and_requests_to_the_thread_are_kept);
    RUN(what_a_fork_has_cut_gives_each_payload_back_once);
    return 0;
}
