/* What the core's tests share: one check that says where it failed, threads that must start, a
 * scale. */
#ifndef EXPECT_H
#define EXPECT_H

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "itr_registry.h"

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Run the test and say so. */
#define RUN(test)                                                                                  \
    do {                                                                                           \
        test();                                                                                    \
        printf("ok: %s\n", #test);                                                                 \
    } while (0)

/* A scope by itself, without what a block does besides: whether requests are let in stays as it
 * was.
 */
static inline bool
enter_scope_until(itr_record *record, uint64_t scope, itr_deadline deadline)
{
    int64_t before = itr_enter_scope(record, scope, deadline);
    if (before >= 0 && !(before & ITR_CANCELABLE)) {
        (void)itr_disable_cancel(record);
    }
    return before >= 0;
}

static inline bool
enter_scope(itr_record *record, uint64_t scope)
{
    return enter_scope_until(record, scope, ITR_NEVER);
}

/* Returns whether that has changed the flags of requests. */
static inline bool
leave_scope(itr_record *record, uint64_t scope, bool *was_asked, itr_payload **dropped)
{
    bool asked;
    uint32_t before = itr_flags(record) & ITR_OF_REQUESTS;
    (void)itr_leave_scope(record, scope, false, &asked, dropped);
    if (was_asked != NULL) {
        *was_asked = asked;
    }
    return (itr_flags(record) & ITR_OF_REQUESTS) != before;
}

static inline itr_answer
request_scope(itr_record *record, uint64_t scope, itr_payload *payload)
{
    return itr_request_level(record, scope, payload, false);
}

static inline pthread_t
start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, body, argument) == 0);
    return thread;
}

static inline void
join(pthread_t thread)
{
    EXPECT(pthread_join(thread, NULL) == 0);
}

static inline bool
readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

static inline int
count_payloads(const itr_payload *list)
{
    int count = 0;
    for (; list != NULL; list = list->next) {
        count++;
    }
    return count;
}

/* Take the orphans, and count them. */
static inline int
orphans(void)
{
    return count_payloads(itr_take_orphans());
}

static inline itr_record *
new_record(void)
{
    itr_record *record = itr_record_new(1, 1);
    EXPECT(record != NULL);
    return record;
}

/* End a record that a test is done with, and count the payloads it held. */
static inline int
dispose(itr_record *record)
{
    itr_payload *dropped = NULL;
    itr_record_end(record, &dropped);
    itr_release(record);
    return count_payloads(dropped);
}

/* As itr_wait, but for sleeps that end for no reason, as they do under valgrind. */
static inline itr_wait_result
wait_on(itr_record *record, itr_deadline deadline)
{
    itr_wait_result result;
    do {
        result = itr_wait(record, deadline);
    } while (result == ITR_WAIT_SIGNAL);
    return result;
}

/* It ends well. */
static inline void
expect_child(pid_t child)
{
    int status;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Run `body` in a child and expect it to return true. */
static inline void
in_a_child(bool (*body)(void))
{
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        (void)alarm(60); /* a child that hangs is a failure, not a wait */
        _exit(body() ? 0 : 1);
    }
    expect_child(child);
}

/* `count`, scaled by ITR_STRESS percent; at least one. */
static inline long
scaled(long count)
{
    const char *percent = getenv("ITR_STRESS");
    long scale = percent != NULL ? strtol(percent, NULL, 10) : 100;
    long result = count * scale / 100;
    return result > 0 ? result : 1;
}

/* A small generator with a state of its own, so that a stress test can be run again by its seed. */
static inline uint32_t
random_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

#endif
