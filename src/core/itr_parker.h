/*
 * A parker puts one thread to sleep until another lets it go on.
 *
 * It holds at most one permit. `itr_unpark` gives the permit, `itr_park` takes it
 * or sleeps until there is one: an unpark that comes before the park is not lost.
 * A permit says only "look again": the sleeper tests its own condition in a loop.
 *
 *     while (!condition) {
 *         if (itr_park(&parker, deadline) != ITR_PARK_PERMIT) break;
 *     }
 *
 * One thread, the owner, parks; any thread unparks. No lock is held while the owner sleeps.
 */
#ifndef ITR_PARKER_H
#define ITR_PARKER_H

#include <stdatomic.h>
#include <stdint.h>

#include "itr_clock.h"
#ifndef ITR_PLATFORM_LINUX
#include <pthread.h>

#include "itr_wake_fd.h"
#endif

typedef struct {
    /* ITR_PARKER_*. atomic: release by the unparker, acquire by the owner; what the unparker
       wrote before it let the owner go, the owner sees. */
    _Atomic uint32_t state;
#ifndef ITR_PLATFORM_LINUX
    pthread_mutex_t mutex;
    itr_wake_fd bell; /* guarded by mutex; opened by the owner, before it stores ITR_PARKER_SLEEPS,
                         after which unparkers ring it */
#endif
} itr_parker;

typedef enum {
    ITR_PARK_PERMIT,  /* the permit was taken */
    ITR_PARK_TIMEOUT, /* the deadline passed first */
    ITR_PARK_SIGNAL,  /* a signal handler ran in this thread, or the sleep ended for no reason:
                         run the signal's consequences, then park again with the same deadline */
    ITR_PARK_ERROR,   /* errno says why; only where sleeping needs a resource that can run out
                         (never on Linux) */
} itr_park_result;

/* Make a parker without a permit. */
void itr_parker_init(itr_parker *parker);

/* Give back what the parker owns. Nobody may be using it. */
void itr_parker_destroy(itr_parker *parker);

/* Owner only. Take the permit, sleeping until it is given or the deadline passes. */
itr_park_result itr_park(itr_parker *parker, itr_deadline deadline);

/* The same, but until the deadline and no longer: Linux lets threads sleep up to 50 us more, to
   wake several at once. Of one of the library's own threads, and of this sleep alone: a thread that
   it makes sleeps as it does. And one that waits for the GIL must not be on time beside others that
   are not: it is the one that asks for it, and has not slept enough to be given it. */
itr_park_result itr_park_on_time(itr_parker *parker, itr_deadline deadline);

/* Give the permit and wake the owner if it sleeps. Safe in any thread. The parker must stay
   alive until this returns. */
void itr_unpark(itr_parker *parker);

/* In the child of a fork, by the forking thread, on its own parker, or on one whose owner is not
   there: forget permit and sleeper, and do not share a wake-up channel with the parent. Only
   async-signal-safe calls. */
void itr_parker_after_fork(itr_parker *parker);

/* The states, shared by the implementations. */
enum {
    ITR_PARKER_EMPTY = 0,  /* no permit, nobody sleeps */
    ITR_PARKER_PERMIT = 1, /* a permit waits to be taken */
    ITR_PARKER_SLEEPS = 2, /* no permit, and the owner sleeps or is about to */
};

#endif
