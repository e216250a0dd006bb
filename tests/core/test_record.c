/* A record by itself: what asking, looking, delivering, clearing, waiting and ending do to it. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "expect.h"
#include "itr_record.h"

#define MILLISECOND INT64_C(1000000)

static itr_payload first, second, third;

static void
nothing_is_requested_of_a_new_record(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(itr_flags(record) == 0);
    EXPECT(!itr_requested(record));
    EXPECT(!itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(!itr_clear(record, &dropped));
    EXPECT(dropped == NULL);
    EXPECT(dispose(record) == 0);
}

static void
a_request_waits_until_it_is_delivered_and_then_another_is_new(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(itr_request(record, &first) == ITR_NEW);
    EXPECT(itr_requested(record));
    EXPECT(itr_request(record, &second) == ITR_WAITING);
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(itr_delivered(record, ITR_THREAD) == &first && dropped == NULL);
    EXPECT(itr_requested(record)); /* sticky */
    EXPECT(itr_deliver(record, ITR_THREAD,
                       &dropped)); /* level-triggered: again, with the same payload */
    EXPECT(itr_delivered(record, ITR_THREAD) == &first && dropped == NULL);
    EXPECT(itr_request(record, &second) == ITR_NEW);
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(itr_delivered(record, ITR_THREAD) == &second && dropped == &first && first.next == NULL);
    EXPECT(dispose(record) == 1);
}

static void
clearing_forgets_the_request_and_hands_every_payload_back(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(itr_request(record, &first) == ITR_NEW);
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(itr_request(record, &second) == ITR_NEW);
    EXPECT(itr_clear(record, &dropped));
    EXPECT(dropped != NULL && dropped->next != NULL && dropped->next->next == NULL);
    EXPECT(!itr_requested(record) && itr_flags(record) == 0);
    dropped = NULL;
    EXPECT(!itr_clear(record, &dropped) && dropped == NULL);
    EXPECT(itr_request(record, &third) == ITR_NEW);
    EXPECT(dispose(record) == 1);
}

static void
an_ended_record_takes_no_request(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(itr_request(record, &first) == ITR_NEW);
    itr_retain(record);
    EXPECT(dispose(record) == 1);
    EXPECT(itr_request(record, &second) == ITR_FINISHED);
    EXPECT(itr_flags(record) == ITR_ENDED);
    itr_record_end(record, &dropped);
    EXPECT(dropped == NULL);
    itr_release(record);
}

static void
the_wake_fd_is_readable_exactly_while_there_is_a_request(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    int fd = itr_wait_fd(record);
    EXPECT(fd >= 0 && itr_wait_fd(record) == fd);
    EXPECT(!readable(fd));
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(readable(fd));
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(readable(fd));
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(itr_clear(record, &dropped));
    EXPECT(!readable(fd));
    EXPECT(dispose(record) == 0);
    EXPECT(poll(&(struct pollfd){.fd = fd}, 1, 0) == 1); /* POLLNVAL: it is closed */
}

static void
a_wake_fd_made_after_the_request_is_readable_at_once(void)
{
    itr_record *record = new_record();
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(readable(itr_wait_fd(record)));
    dispose(record);
}

static void
asking_again_makes_a_wake_fd_that_its_user_read_empty_readable_again(void)
{
    itr_record *record = new_record();
    int fd = itr_wait_fd(record);
    char buffer[8];
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(read(fd, buffer, sizeof(buffer)) > 0);
    EXPECT(!readable(fd));
    EXPECT(itr_request(record, NULL) == ITR_WAITING);
    EXPECT(readable(fd));
    dispose(record);
}

static void
a_wait_ends_at_its_deadline_and_not_before(void)
{
    itr_record *record = new_record();
    itr_deadline deadline = itr_deadline_after(20 * MILLISECOND);
    itr_wait_result result;
    do {
        result = itr_wait(record, deadline);
    } while (result == ITR_WAIT_SIGNAL);
    EXPECT(result == ITR_WAIT_TIMEOUT);
    EXPECT(itr_now() >= deadline);
    EXPECT(itr_wait(record, itr_now()) == ITR_WAIT_TIMEOUT);
    dispose(record);
}

static void
a_wait_with_a_request_does_not_sleep(void)
{
    itr_record *record = new_record();
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(itr_wait(record, ITR_NEVER) == ITR_WAIT_REQUESTED);
    EXPECT(itr_wait(record, ITR_NEVER) == ITR_WAIT_REQUESTED);
    dispose(record);
}

static void
a_permit_left_over_does_not_end_a_later_wait(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(itr_request(record, NULL) == ITR_NEW); /* leaves a permit: nobody slept */
    EXPECT(itr_clear(record, &dropped));
    itr_wait_result result;
    itr_deadline deadline = itr_deadline_after(5 * MILLISECOND);
    do {
        result = itr_wait(record, deadline);
    } while (result == ITR_WAIT_SIGNAL);
    EXPECT(result == ITR_WAIT_TIMEOUT);
    dispose(record);
}

static void *
wait_for_ever(void *argument)
{
    itr_record *record = argument;
    itr_wait_result result;
    do {
        result = itr_wait(record, ITR_NEVER);
    } while (result == ITR_WAIT_SIGNAL);
    EXPECT(result == ITR_WAIT_REQUESTED);
    return NULL;
}

static void
a_request_wakes_a_sleeping_owner(void)
{
    itr_record *record = new_record();
    pthread_t owner = start(wait_for_ever, record);
    while (atomic_load(&record->parker.state) != ITR_PARKER_SLEEPS) {
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    join(owner);
    dispose(record);
}

static void
on_signal(int number)
{
    (void)number;
}

static _Atomic int signals_seen;

static void *
wait_and_count_signals(void *argument)
{
    itr_record *record = argument;
    for (;;) {
        switch (itr_wait(record, ITR_NEVER)) {
        case ITR_WAIT_SIGNAL:
            atomic_fetch_add(&signals_seen, 1);
            break;
        case ITR_WAIT_REQUESTED:
            return NULL;
        default:
            abort();
        }
    }
}

static void
a_signal_handler_breaks_the_wait_off(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags =
        SA_RESTART; /* as libraries set it: the wait must not be restarted in the dark */
    EXPECT(sigaction(SIGUSR1, &action, NULL) == 0);
    itr_record *record = new_record();
    atomic_store(&signals_seen, 0);
    pthread_t owner = start(wait_and_count_signals, record);
    while (atomic_load(&signals_seen) == 0) {
        EXPECT(pthread_kill(owner, SIGUSR1) == 0);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    join(owner);
    dispose(record);
}

static void
opening_and_arming_leave_the_request_alone(void)
{
    itr_record *record = new_record();
    EXPECT(!(itr_enable_cancel(record) & (ITR_CANCELABLE | ITR_PENDING)));
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(itr_flags(record) & ITR_CANCELABLE);
    EXPECT((itr_arm(record) & (ITR_CANCELABLE | ITR_PENDING | ITR_ARMED)) ==
           (ITR_CANCELABLE | ITR_PENDING));
    EXPECT(itr_disable_cancel(record) & ITR_ARMED);
    EXPECT(itr_enable_cancel(record) & ITR_PENDING); /* found when it opens again */
    itr_payload *dropped = NULL;
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_CANCELABLE | ITR_ARMED));
    EXPECT(itr_disarm(record) & ITR_ARMED);
    EXPECT(itr_clear(record, &dropped));
    EXPECT(itr_flags(record) == ITR_CANCELABLE);
    dispose(record);
}

static void
a_second_request_counts_as_repeated_until_the_first_is_delivered_or_cleared(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(!(itr_flags(record) & ITR_REQUESTED_AGAIN));
    EXPECT(itr_request(record, NULL) == ITR_WAITING);
    EXPECT(itr_flags(record) == (ITR_REQUESTED | ITR_PENDING | ITR_REQUESTED_AGAIN));
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(itr_flags(record) == ITR_REQUESTED);
    EXPECT(itr_request(record, NULL) == ITR_NEW); /* after a delivery it is the second */
    EXPECT(itr_flags(record) & ITR_REQUESTED_AGAIN);
    EXPECT(itr_clear(record, &dropped));
    EXPECT(itr_flags(record) == 0);
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    EXPECT(!(itr_flags(record) & ITR_REQUESTED_AGAIN));
    EXPECT(itr_request(record, NULL) == ITR_WAITING);
    EXPECT(dispose(record) == 0);
}

static bool
has_permit(itr_record *record)
{
    return itr_park(&record->parker, itr_now()) == ITR_PARK_PERMIT;
}

static void
a_request_wakes_once_and_a_repeated_one_once_more(void)
{
    itr_record *record = new_record();
    EXPECT(itr_request(record, NULL) == ITR_NEW && has_permit(record));
    EXPECT(itr_request(record, NULL) == ITR_WAITING && has_permit(record));
    EXPECT(itr_request(record, NULL) == ITR_WAITING && !has_permit(record));
    dispose(record);
}

static void
the_poll_fd_is_readable_from_the_next_request_on(void)
{
    itr_record *record = new_record();
    int fd = itr_poll_fd(record);
    EXPECT(fd >= 0 && !readable(fd));
    EXPECT(itr_request(record, NULL) == ITR_NEW && readable(fd));
    EXPECT(itr_poll_fd(record) == fd && !readable(fd)); /* the flags tell of that one */
    EXPECT(itr_request(record, NULL) == ITR_WAITING && readable(fd));
    EXPECT(itr_poll_fd(record) == fd && !readable(fd));
    EXPECT(itr_request(record, NULL) == ITR_WAITING && !readable(fd)); /* nothing new */
    EXPECT(itr_wait_fd(record) != fd);
    dispose(record);
    EXPECT(poll(&(struct pollfd){.fd = fd}, 1, 0) == 1); /* POLLNVAL: it is closed */
}

static void
a_poll_fd_made_after_the_request_is_not_readable(void)
{
    itr_record *record = new_record();
    EXPECT(itr_request(record, NULL) == ITR_NEW);
    int fd = itr_poll_fd(record);
    EXPECT(!readable(fd));
    EXPECT(itr_request(record, NULL) == ITR_WAITING && readable(fd));
    dispose(record);
}

static void
a_request_is_taken_back_by_its_origin_only_and_before_it_is_delivered(void)
{
    itr_record *record = new_record();
    itr_payload *dropped = NULL;
    first.origin = 7;
    EXPECT(itr_request(record, &first) == ITR_NEW);
    EXPECT(!itr_take_back(record, 8, &dropped));
    EXPECT(itr_take_back(record, 7, &dropped) && dropped == &first);
    EXPECT(!itr_requested(record));
    dropped = NULL;
    EXPECT(!itr_take_back(record, 7, &dropped));

    EXPECT(itr_request(record, &first) == ITR_NEW); /* somebody else asks, too: it stays */
    EXPECT(itr_request(record, NULL) == ITR_WAITING);
    EXPECT(!itr_take_back(record, 7, &dropped));
    EXPECT(itr_clear(record, &dropped));
    dropped = NULL;

    first.origin = 7;
    EXPECT(itr_request(record, &first) == ITR_NEW); /* asking itself changes nothing */
    second.origin = 7;
    EXPECT(itr_request(record, &second) == ITR_WAITING);
    EXPECT(itr_take_back(record, 7, &dropped));
    dropped = NULL;

    first.origin = 7;
    EXPECT(itr_request(record, &first) == ITR_NEW);
    EXPECT(itr_deliver(record, ITR_THREAD, &dropped));
    EXPECT(!itr_take_back(record, 7, &dropped));
    EXPECT(itr_request(record, &second) == ITR_NEW); /* to one that has begun to stop */
    EXPECT(!itr_take_back(record, 7, &dropped));
    first.origin = second.origin = 0;
    EXPECT(dispose(record) == 2);
}

static void
waking_makes_the_owner_look_and_asks_nothing(void)
{
    itr_record *record = new_record();
    itr_wake(record);
    EXPECT(has_permit(record) && itr_flags(record) == 0);
    int fd = itr_poll_fd(record);
    itr_wake(record);
    itr_wake(record);
    EXPECT(readable(fd) && itr_flags(record) == 0);
    EXPECT(itr_poll_fd(record) == fd && !readable(fd));
    EXPECT(has_permit(record) && !has_permit(record));
    EXPECT(itr_wait(record, itr_deadline_after(MILLISECOND)) != ITR_WAIT_REQUESTED);
    dispose(record);
}

static void
a_deadline_past_the_end_of_the_clock_is_never(void)
{
    EXPECT(itr_deadline_after(INT64_MAX) == ITR_NEVER);
    EXPECT(itr_deadline_after(INT64_MIN) <= itr_now());
    EXPECT(itr_deadline_after(0) <= itr_now());
}

int
main(void)
{
    RUN(nothing_is_requested_of_a_new_record);
    RUN(a_request_waits_until_it_is_delivered_and_then_another_is_new);
    RUN(clearing_forgets_the_request_and_hands_every_payload_back);
    RUN(an_ended_record_takes_no_request);
    RUN(the_wake_fd_is_readable_exactly_while_there_is_a_request);
    RUN(a_wake_fd_made_after_the_request_is_readable_at_once);
    RUN(asking_again_makes_a_wake_fd_that_its_user_read_empty_readable_again);
    RUN(a_wait_ends_at_its_deadline_and_not_before);
    RUN(a_wait_with_a_request_does_not_sleep);
    RUN(a_permit_left_over_does_not_end_a_later_wait);
    RUN(a_request_wakes_a_sleeping_owner);
    RUN(a_signal_handler_breaks_the_wait_off);
    RUN(opening_and_arming_leave_the_request_alone);
    RUN(a_second_request_counts_as_repeated_until_the_first_is_delivered_or_cleared);
    RUN(a_request_wakes_once_and_a_repeated_one_once_more);
    RUN(the_poll_fd_is_readable_from_the_next_request_on);
    RUN(a_poll_fd_made_after_the_request_is_not_readable);
    RUN(a_request_is_taken_back_by_its_origin_only_and_before_it_is_delivered);
    RUN(waking_makes_the_owner_look_and_asks_nothing);
    RUN(a_deadline_past_the_end_of_the_clock_is_never);
    return 0;
}
