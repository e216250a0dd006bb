/* What the core's tests share: one check that says where it failed, threads that must start, a
 * scale. */
#ifndef EXPECT_H
#define EXPECT_H

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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

/* Take the orphans, and count them. */
static inline int
orphans(void)
{
    int count = 0;
    for (itr_payload *payload = itr_take_orphans(); payload != NULL; payload = payload->next) {
        count++;
    }
    return count;
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
