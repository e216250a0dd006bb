/*
 * Where the system has no more to give: memory, descriptors, a thread's slot for the exit handler.
 *
 * This test is linked with `--wrap`: the core's calls of calloc and the like come here, and fail
 * when `refused` says so.
 */
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "expect.h"
#include "itr_registry.h"
#include "itr_timer.h"

/* Written while one thread runs. */
static enum { NOTHING, RECORDS, MUTEXES, SLOTS, LEVELS, HEAPS, THREADS } refused;

void *__real_calloc(size_t count, size_t size);
int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __real_pthread_setspecific(pthread_key_t key, const void *value);
void *__real_malloc(size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

void *
__wrap_calloc(size_t count, size_t size)
{
    return refused == RECORDS ? NULL : __real_calloc(count, size);
}

void *
__wrap_malloc(size_t size)
{
    return refused == LEVELS ? NULL : __real_malloc(size);
}

void *
__wrap_realloc(void *memory, size_t size)
{
    return refused == HEAPS ? NULL : __real_realloc(memory, size);
}

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
                      void *argument)
{
    return refused == THREADS ? EAGAIN : __real_pthread_create(thread, attributes, body, argument);
}

int
__wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    return refused == MUTEXES ? ENOMEM : __real_pthread_mutex_init(mutex, attributes);
}

int
__wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    return refused == SLOTS ? ENOMEM : __real_pthread_setspecific(key, value);
}

static const itr_thread self = {.thread_id = 1, .serial = 1};
static const itr_thread other = {.thread_id = 2, .serial = 2};

static void
a_record_that_cannot_be_made_leaves_nothing_behind(void)
{
    for (refused = RECORDS; refused <= SLOTS; refused++) {
        EXPECT(itr_adopt(self) == NULL);
        EXPECT(itr_current() == NULL && itr_count().records == 0);
    }
    for (refused = RECORDS; refused <= MUTEXES; refused++) {
        itr_record *open;
        EXPECT(itr_ask(other, NULL, &open) == ITR_NO_MEMORY && open == NULL);
        EXPECT(!itr_asked(other) && itr_count().records == 0);
    }
    refused = NOTHING;
    EXPECT(itr_ask(other, NULL, NULL) == ITR_NEW && itr_asked(other));
    itr_end(other);
}

/* A request that was made before the thread could not be given its exit handler goes with it. */
static void
a_request_ends_with_an_adoption_that_fails(void)
{
    static itr_payload payload;
    EXPECT(itr_ask(self, &payload, NULL) == ITR_NEW);
    refused = SLOTS;
    EXPECT(itr_adopt(self) == NULL);
    refused = NOTHING;
    EXPECT(itr_count().records == 0 && itr_count().unadopted == 0);
    EXPECT(itr_take_orphans() == &payload && itr_take_orphans() == NULL);
}

/* Those that are open stay. */
static void
use_up_descriptors(void)
{
    int next = dup(0);
    EXPECT(next >= 0);
    (void)close(next);
    struct rlimit limit;
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)next;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void
give_descriptors_back(void)
{
    struct rlimit limit;
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 1024 ? limit.rlim_max : 1024;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* Valgrind has socketpair() succeed where no descriptor is left, with two that it has closed. */
static bool
tells_what_lacks(void)
{
    return errno == EMFILE || errno == EBADF;
}

static void
without_descriptors_an_error_is_told_and_nothing_is_lost(void)
{
    itr_record *record = itr_current();
    use_up_descriptors();
    EXPECT(itr_wait_fd(record) == -1 && tells_what_lacks());
    EXPECT(itr_poll_fd(record) == -1 && tells_what_lacks());
    itr_wait_result result;
    do {
        result = itr_wait(record, itr_deadline_after(1000000));
    } while (result == ITR_WAIT_SIGNAL);
    /* A futex needs none; a parker that is a pipe says so. */
    EXPECT(result == ITR_WAIT_TIMEOUT || (result == ITR_WAIT_ERROR && errno == EMFILE));
    EXPECT(itr_ask(self, NULL, NULL) == ITR_NEW);
    EXPECT(itr_wait(record, ITR_NEVER) == ITR_WAIT_REQUESTED);
    give_descriptors_back();
    EXPECT(readable(itr_wait_fd(record)));
    itr_payload *dropped = NULL;
    EXPECT(itr_clear(record, &dropped) && !readable(itr_wait_fd(record)));
}

static bool
child_has_a_wake_fd_when_there_is_room(void)
{
    give_descriptors_back();
    int fd = itr_wait_fd(itr_current());
    bool quiet = fd >= 0 && !readable(fd);
    return quiet && itr_ask(self, NULL, NULL) == ITR_NEW && readable(fd);
}

/* The wake fd was the parent's, too; a child that cannot have one of its own has none. */
static void
a_child_without_descriptors_has_no_wake_fd(void)
{
    EXPECT(itr_wait_fd(itr_current()) >= 0);
    use_up_descriptors();
    in_a_child(child_has_a_wake_fd_when_there_is_room);
    give_descriptors_back();
    EXPECT(!readable(itr_wait_fd(itr_current()))); /* the child's request was not the parent's */
}

static bool
is_not_watched(itr_record *record, size_t others)
{
    return record->turn == 0 && record->looked_at == ITR_NEVER && itr_flags(record) == 0 &&
           itr_timer_count().records == others;
}

/* The scope is left as ever; the next one is watched, when there is memory and a thread again. */
static void
a_deadline_that_cannot_be_watched_is_told_and_leaves_nothing_behind(void)
{
    enum { FULL = 8, LATE = 1000000000 };
    itr_record *record = itr_current(), *others[FULL];
    itr_deadline deadline = itr_deadline_after(INT64_C(1000) * LATE);
    itr_payload *dropped = NULL;
    bool asked;
    for (refused = HEAPS; refused <= THREADS; refused++) {
        EXPECT(enter_scope_until(record, 7, deadline));
        EXPECT(itr_watch_deadline(record, deadline, &asked) ==
               (refused == HEAPS ? ENOMEM : EAGAIN));
        EXPECT(!asked && is_not_watched(record, 0) && !itr_timer_count().runs);
        EXPECT(!leave_scope(record, 7, NULL, &dropped) && itr_flags(record) == 0);
    }
    refused = NOTHING;
    for (uint64_t i = 0; i < FULL; i++) { /* the heap is full */
        others[i] = new_record();
        EXPECT(enter_scope_until(others[i], 7, deadline + (itr_deadline)i));
        EXPECT(itr_watch_deadline(others[i], deadline, &asked) == 0 && !asked);
    }
    refused = HEAPS;
    EXPECT(enter_scope_until(record, 8, deadline));
    EXPECT(itr_watch_deadline(record, deadline, &asked) == ENOMEM);
    EXPECT(is_not_watched(record, FULL));
    refused = NOTHING;
    deadline = itr_deadline_after(1000000);
    EXPECT(itr_reschedule(record, 8, deadline));
    EXPECT(itr_watch_deadline(record, deadline, &asked) == 0);
    EXPECT(itr_wait(record, ITR_NEVER) == ITR_WAIT_REQUESTED && itr_has_expired(record, 8));
    EXPECT(leave_scope(record, 8, NULL, &dropped) && dropped == NULL);
    for (size_t i = 0; i < FULL; i++) {
        itr_record_end(others[i], &dropped);
        itr_unwatch_deadlines(others[i]);
        itr_release(others[i]);
    }
    EXPECT(itr_timer_count().records == 0);
}

static void
a_level_that_there_is_no_memory_for_is_not_entered(void)
{
    itr_record *record = itr_current();
    itr_payload *dropped = NULL;
    uint64_t scope = 0;
    for (int growths = 0; growths < 3; growths++) {
        while (record->level_count < record->level_capacity) {
            EXPECT(enter_scope(record, ++scope));
        }
        refused = LEVELS;
        EXPECT(!enter_scope(record, ++scope) && itr_enter_scope(record, scope, ITR_NEVER) < 0);
        EXPECT(request_scope(record, scope, NULL) == ITR_FINISHED && itr_flags(record) == 0);
        refused = NOTHING;
        EXPECT(enter_scope(record, scope) && itr_level_flags(record, scope) == 0);
    }
    EXPECT(request_scope(record, scope, NULL) == ITR_NEW);
    for (; scope > 0; scope--) {
        (void)leave_scope(record, scope, NULL, &dropped);
    }
    EXPECT(itr_flags(record) == 0 && dropped == NULL);
}

int
main(void)
{
    EXPECT(itr_init() == 0);
    RUN(a_record_that_cannot_be_made_leaves_nothing_behind);
    RUN(a_request_ends_with_an_adoption_that_fails);
    EXPECT(itr_adopt(self) != NULL);
    RUN(a_level_that_there_is_no_memory_for_is_not_entered);
    RUN(a_deadline_that_cannot_be_watched_is_told_and_leaves_nothing_behind);
    RUN(without_descriptors_an_error_is_told_and_nothing_is_lost);
    RUN(a_child_without_descriptors_has_no_wake_fd);
    return 0;
}
