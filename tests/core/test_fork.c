/* What a fork does to records (S18): the child has one thread, its requests cleared. */
#include <fcntl.h>

#include "expect.h"
#include "itr_registry.h"

static const itr_thread self = {.thread_id = 1, .serial = 1};
static const itr_thread other = {.thread_id = 2, .serial = 2};

static bool
child_is_not_asked(void)
{
    itr_record *record = itr_current();
    return record != NULL && !itr_requested(record) && itr_flags(record) == 0;
}

static bool
child_knows_itself_only(void)
{
    bool alone = itr_count().records == 1 && !itr_asked(other) && itr_find(other.thread_id) == NULL;
    itr_record *found = itr_find(self.thread_id);
    return alone && found == itr_current();
}

static bool
child_drops_all_payloads_once(void)
{
    return orphans() == 2 && orphans() == 0;
}

static bool
child_can_be_asked(void)
{
    itr_payload *dropped = NULL;
    return itr_ask(self, NULL, NULL) == ITR_NEW && itr_requested(itr_current()) &&
           itr_wait(itr_current(), ITR_NEVER) == ITR_WAIT_REQUESTED &&
           itr_clear(itr_current(), &dropped) && itr_ask(other, NULL, NULL) == ITR_NEW;
}

static void
a_child_starts_without_requests(void)
{
    static itr_payload mine, theirs;
    EXPECT(itr_ask(self, &mine, NULL) == ITR_NEW);
    EXPECT(itr_ask(other, &theirs, NULL) == ITR_NEW);
    in_a_child(child_is_not_asked);
    in_a_child(child_knows_itself_only);
    in_a_child(child_drops_all_payloads_once);
    in_a_child(child_can_be_asked);
    EXPECT(itr_requested(itr_current()) && itr_asked(other)); /* the parent's stay */
    EXPECT(orphans() == 0);
    itr_payload *dropped = NULL;
    EXPECT(itr_clear(itr_current(), &dropped) && dropped == &mine);
    itr_end(other);
    EXPECT(orphans() == 1);
}

static int parents_fd;

static bool
childs_fd_is_its_own(void)
{
    bool number_kept = itr_wait_fd(itr_current()) == parents_fd;
    bool quiet = !readable(parents_fd) && (fcntl(parents_fd, F_GETFD) & FD_CLOEXEC);
    bool asked = itr_ask(self, NULL, NULL) == ITR_NEW;
    return number_kept && quiet && asked && readable(parents_fd);
}

static void
the_childs_wake_fd_has_the_same_number_and_is_not_shared(void)
{
    itr_payload *dropped = NULL;
    parents_fd = itr_wait_fd(itr_current());
    in_a_child(childs_fd_is_its_own);
    EXPECT(!readable(parents_fd)); /* the child's request was not the parent's */
    EXPECT(itr_ask(self, NULL, NULL) == ITR_NEW);
    in_a_child(childs_fd_is_its_own);
    EXPECT(readable(parents_fd));
    EXPECT(itr_clear(itr_current(), &dropped));
}

static int parents_poll_fd;

static bool
childs_poll_is_its_own(void)
{
    bool closed = fcntl(parents_poll_fd, F_GETFD) == -1; /* nobody but the parent knows it */
    int fd = itr_poll_fd(itr_current());
    bool asked = itr_ask(self, NULL, NULL) == ITR_NEW;
    return closed && asked && readable(fd);
}

static void
what_a_parent_polls_is_not_the_childs(void)
{
    itr_payload *dropped = NULL;
    parents_poll_fd = itr_poll_fd(itr_current());
    in_a_child(childs_poll_is_its_own);
    EXPECT(itr_poll_fd(itr_current()) == parents_poll_fd && !readable(parents_poll_fd));
    EXPECT(itr_ask(self, NULL, NULL) == ITR_NEW && readable(parents_poll_fd));
    EXPECT(itr_clear(itr_current(), &dropped));
}

static bool
grandchild_is_not_asked(void)
{
    EXPECT(itr_ask(self, NULL, NULL) == ITR_NEW);
    EXPECT(itr_ask(other, NULL, NULL) == ITR_NEW);
    in_a_child(child_is_not_asked);
    in_a_child(child_knows_itself_only);
    return itr_requested(itr_current());
}

static void
a_child_forks_too(void)
{
    in_a_child(grandchild_is_not_asked);
}

static bool
child_without_a_record_is_as_its_parent(void)
{
    bool right = itr_current() == NULL && itr_count().records == 0 && itr_find(1) == NULL;
    itr_record *record = itr_adopt((itr_thread){.thread_id = 3, .serial = 3});
    return right && record != NULL && itr_request(record, NULL) == ITR_NEW;
}

static void *
fork_without_a_record(void *argument)
{
    (void)argument;
    EXPECT(itr_current() == NULL);
    in_a_child(child_without_a_record_is_as_its_parent);
    return NULL;
}

static void
a_thread_that_never_looked_may_fork(void)
{
    join(start(fork_without_a_record, NULL));
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    EXPECT(itr_adopt(self) != NULL);
    RUN(a_child_starts_without_requests);
    RUN(the_childs_wake_fd_has_the_same_number_and_is_not_shared);
    RUN(what_a_parent_polls_is_not_the_childs);
    RUN(a_child_forks_too);
    RUN(a_thread_that_never_looked_may_fork);
    return 0;
}
