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
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_FINISHED);
    EXPECT(itr_enter_scope(record, 7));
    EXPECT(!itr_enter_scope(record, 8)); /* one at a time */
    EXPECT(itr_request_scope(record, 6, NULL) == ITR_FINISHED && itr_flags(record) == 0);
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_NEW);
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_PENDING));
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_WAITING);
    EXPECT(itr_flags(record) & ITR_REQUESTED_AGAIN);
    EXPECT(!itr_leave_scope(record, 6, NULL, &dropped) && itr_requested(record)); /* not that one */
    EXPECT(itr_leave_scope(record, 7, NULL, &dropped) && itr_flags(record) == 0);
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_FINISHED && itr_flags(record) == 0);
    EXPECT(itr_enter_scope(record, 8) && !itr_leave_scope(record, 8, NULL, &dropped));
    dispose_empty(record);
}

static void
what_was_delivered_of_a_scope_is_forgotten_when_it_is_left(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    int fd = itr_wait_fd(record);
    EXPECT(itr_enter_scope(record, 7));
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_NEW && readable(fd));
    EXPECT(itr_deliver(record, &dropped) && record->delivered == NULL);
    EXPECT(itr_flags(record) == ITR_REQUESTED);
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_NEW); /* again */
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_PENDING | ITR_REQUESTED_AGAIN));
    EXPECT(itr_deliver(record, &dropped));
    EXPECT(itr_leave_scope(record, 7, NULL, &dropped) && itr_flags(record) == 0 && !readable(fd));
    dispose_empty(record);
}

static void
a_request_to_the_thread_outlives_the_scope(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    int fd = itr_wait_fd(record);
    EXPECT(itr_enter_scope(record, 7));
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_NEW);
    EXPECT(itr_request(record, &first) == ITR_NEW); /* new, though the scope's waits */
    EXPECT(itr_request(record, NULL) == ITR_WAITING);
    EXPECT(!itr_leave_scope(record, 7, NULL, &dropped));
    EXPECT((itr_flags(record) & (ITR_REQUESTED | ITR_PENDING)) == (ITR_REQUESTED | ITR_PENDING));
    EXPECT(readable(fd));
    EXPECT(itr_deliver(record, &dropped) && record->delivered == &first);
    EXPECT(itr_clear(record, &dropped) && dropped == &first && first.next == NULL);
    dispose_empty(record);
}

static void
both_are_delivered_as_one(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(itr_enter_scope(record, 7));
    EXPECT(itr_request(record, &first) == ITR_NEW);
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_WAITING);
    EXPECT(itr_deliver(record, &dropped) && record->delivered == &first);
    EXPECT(itr_flags(record) == ITR_REQUESTED);
    EXPECT(!itr_leave_scope(record, 7, NULL, &dropped) && itr_flags(record) == ITR_REQUESTED);
    EXPECT(itr_clear(record, &dropped) && itr_flags(record) == 0);
    dispose_empty(record);
}

static void
a_scope_asked_after_the_thread_takes_only_itself_back(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(itr_enter_scope(record, 7));
    EXPECT(itr_request(record, &first) == ITR_NEW && itr_deliver(record, &dropped));
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_NEW);
    EXPECT(itr_leave_scope(record, 7, NULL, &dropped));
    EXPECT(itr_flags(record) == ITR_REQUESTED && record->delivered == &first);
    EXPECT(itr_clear(record, &dropped) && dropped == &first);
    /* Cleared is cleared: what is asked of a scope from here on is the scope's alone. */
    EXPECT(itr_enter_scope(record, 8) && itr_request_scope(record, 8, NULL) == ITR_NEW);
    EXPECT(itr_leave_scope(record, 8, NULL, &dropped) && itr_flags(record) == 0);
    dispose_empty(record);
}

/* Each level has its own payload; what is delivered last says whose. */
static void
a_scope_carries_a_payload(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    bool asked = false;
    EXPECT(itr_request_scope(record, 7, &first) == ITR_FINISHED); /* the caller keeps it */
    EXPECT(itr_enter_scope(record, 7));
    EXPECT(itr_request_scope(record, 7, &first) == ITR_NEW);
    EXPECT(itr_request_scope(record, 7, &second) == ITR_WAITING);
    EXPECT(itr_deliver(record, &dropped) && itr_delivered(record) == &first && dropped == NULL);
    EXPECT(itr_deliver(record, &dropped) && itr_delivered(record) == &first); /* by a check */
    EXPECT(itr_request_scope(record, 7, &second) == ITR_NEW);
    EXPECT(itr_delivered(record) == &first);
    EXPECT(itr_deliver(record, &dropped) && itr_delivered(record) == &second && dropped == &first);
    EXPECT(itr_request(record, &third) == ITR_NEW); /* to the thread */
    EXPECT(itr_deliver(record, &dropped) && itr_delivered(record) == &third);
    dropped = NULL;
    EXPECT(!itr_leave_scope(record, 7, &asked, &dropped) && asked);
    EXPECT(dropped == &second && second.next == NULL && itr_delivered(record) == &third);
    dropped = NULL;
    EXPECT(itr_clear(record, &dropped) && dropped == &third);
    EXPECT(itr_enter_scope(record, 8) && !itr_leave_scope(record, 8, &asked, &dropped) && !asked);
    dispose_empty(record);
}

/* It cannot be told from the scope's then. */
static void
what_the_thread_was_asked_is_not_taken_back_within_a_scope_that_was_told(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    first.origin = 9;
    EXPECT(itr_enter_scope(record, 7) && itr_request_scope(record, 7, NULL) == ITR_NEW);
    EXPECT(itr_deliver(record, &dropped) && itr_request(record, &first) == ITR_NEW);
    EXPECT(!itr_take_back(record, 9, &dropped) && itr_requested(record));
    (void)itr_leave_scope(record, 7, NULL, &dropped);
    EXPECT(itr_take_back(record, 9, &dropped) && dropped == &first && !itr_requested(record));
    first.origin = 0;
    dispose_empty(record);
}

static void
what_a_scope_was_not_told_any_more_is_given_back(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    bool asked = false;
    EXPECT(itr_enter_scope(record, 7) && itr_request_scope(record, 7, &first) == ITR_NEW);
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(itr_deliver(record, &dropped) && itr_delivered(record) == NULL); /* both, as that */
    EXPECT(!itr_leave_scope(record, 7, &asked, &dropped) && asked && dropped == &first);
    EXPECT(itr_clear(record, &dropped));
    dropped = NULL;
    EXPECT(itr_enter_scope(record, 8) && itr_request_scope(record, 8, &second) == ITR_NEW);
    EXPECT(itr_clear(record, &dropped) && dropped == &second);
    EXPECT(itr_request_scope(record, 8, &third) == ITR_NEW);
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
    EXPECT(itr_enter_scope(record, 7));
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_NEW);
    itr_record_end(record, &dropped);
    EXPECT(itr_request_scope(record, 7, NULL) == ITR_FINISHED && itr_flags(record) == ITR_ENDED);
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
        if (scope != 0 && itr_request_scope(shared, scope, NULL) != ITR_FINISHED) {
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
        EXPECT(itr_enter_scope(shared, scope));
        atomic_store_explicit(&current, scope, memory_order_release);
        if (itr_requested(shared)) {
            EXPECT(itr_deliver(shared, &dropped));
        }
        (void)itr_leave_scope(shared, scope, NULL, &dropped);
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

int
main(void)
{
    RUN(a_scope_is_asked_while_the_thread_is_in_it);
    RUN(what_was_delivered_of_a_scope_is_forgotten_when_it_is_left);
    RUN(a_request_to_the_thread_outlives_the_scope);
    RUN(both_are_delivered_as_one);
    RUN(a_scope_asked_after_the_thread_takes_only_itself_back);
    RUN(a_scope_carries_a_payload);
    RUN(what_the_thread_was_asked_is_not_taken_back_within_a_scope_that_was_told);
    RUN(what_a_scope_was_not_told_any_more_is_given_back);
    RUN(an_ended_record_takes_nothing);
    RUN(late_requests_reach_nobody_and_requests_to_the_thread_are_kept);
    return 0;
}
