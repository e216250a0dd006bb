/*
 * A level of a thread: its own, or that of a scope that it is in; and what has been asked of it.
 * What is done to one here is done under the mutex of the thread's record (itr_record.h).
 */
#ifndef ITR_LEVEL_H
#define ITR_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "itr_clock.h"

/*
 * What a requester sends along, opaque to the core: the first member of a struct of the caller's.
 * The core owns it from the accepted request until it hands it back in a list of dropped payloads.
 */
typedef struct itr_payload {
    struct itr_payload *next;
    uint64_t origin; /* who may take the request back, by a number; 0: nobody. Guarded by the mutex
                        of the record that owns it */
} itr_payload;

/*
 * The bits of `flags`. No bit set: nothing to do, the only case that has to be fast. Named for the
 * debugger: see docs/debugging.md.
 *
 * The three of requests are a level's, too. In `flags` they say that some level has them; pending
 * and asked again, only levels that may be let in (itr_open_from): so who looks for something to do
 * is not kept busy by a request that has to wait.
 */
enum itr_flag {
    ITR_REQUESTED = 1U << 0,  /* there is a request, delivered or not; until it is cleared */
    ITR_PENDING = 1U << 1,    /* there is a request that has not been delivered yet */
    ITR_ENDED = 1U << 2,      /* the thread has ended: it can be asked no more */
    ITR_CANCELABLE = 1U << 3, /* the owner lets requests in where it is: see itr_enable_cancel */
    ITR_ARMED = 1U << 4,      /* the embedder is about to stop the owner: see itr_arm */
    /* There is a pending request, and it is not the first that was made since its level was last
       clear of them. */
    ITR_REQUESTED_AGAIN = 1U << 5,
    ITR_WAITS = 1U << 6,  /* the owner waits where a request wakes it: see itr_begin_wait */
    ITR_MASKED = 1U << 7, /* requests do not end the owner's waits: see itr_mask_waits */
    ITR_CALLS = 1U << 8,  /* who makes a request has something more to do: see itr_set_calls */
    /* The owner's bias is revoked: another thread has looked at the levels since the owner left one
       by the mutex. See lock_levels. Not among what itr_flags returns. */
    ITR_UNBIASED = 1U << 9,
};

/* Who is asked: the thread as a whole, or a scope, by a number that no other scope of the process
   has. */
enum { ITR_THREAD = 0 };
#define ITR_NOBODY UINT64_MAX

typedef struct {
    uint64_t number;
    uint32_t flags;         /* ITR_REQUESTED, ITR_PENDING, ITR_REQUESTED_AGAIN */
    bool expired;           /* its deadline has passed, and it was asked for that, unless it had
                               been stopped before */
    bool timed;             /* what is pending was asked by its deadline, and by nobody before, */
    bool was_timed;         /* or what was delivered last. Written by the owner only */
    itr_deadline deadline;  /* or ITR_NEVER */
    itr_payload *pending;   /* NULL unless ITR_PENDING */
    itr_payload *delivered; /* of the request last delivered */
} itr_level;

/* The flags that levels have. */
enum { ITR_OF_REQUESTS = ITR_REQUESTED | ITR_PENDING | ITR_REQUESTED_AGAIN };

/* Has somebody asked it, who is not its deadline? */
static inline bool
itr_is_asked(const itr_level *level)
{
    bool timed = level->flags & ITR_PENDING ? level->timed : level->was_timed;
    return (level->flags & ITR_REQUESTED) && !timed;
}

/* The one of that number among so many, or NULL. */
static inline itr_level *
itr_find_among(itr_level *levels, uint32_t count, uint64_t number)
{
    while (count-- > 0) {
        if (levels[count].number == number) {
            return &levels[count];
        }
    }
    return NULL;
}

/* Put `payload` in front of `list`. */
static inline void
itr_push_payload(itr_payload **list, itr_payload *payload)
{
    if (payload != NULL) {
        payload->next = *list;
        *list = payload;
    }
}

/* Nobody has asked that level any more. */
static inline void
itr_forget_level(itr_level *level, itr_payload **dropped)
{
    itr_push_payload(dropped, level->pending);
    itr_push_payload(dropped, level->delivered);
    level->pending = level->delivered = NULL;
    level->flags = 0;
    level->timed = level->was_timed = false;
}

/* Put `payload` in front of `list`, unless this has been done before. Nobody takes it back since.
 */
static inline void
itr_push_once(itr_payload **list, itr_payload *payload)
{
    if (payload != NULL && payload->origin != ITR_NOBODY) {
        payload->origin = ITR_NOBODY;
        itr_push_payload(list, payload);
    }
}

/*
 * The same, in the child of a fork, of another thread's: that came between any two lines of whoever
 * held the mutex. A payload may just have been at two places, as it was delivered; or a level, as
 * others before it were left.
 */
static inline void
itr_abandon_level(itr_level *level, itr_payload **dropped)
{
    itr_push_once(dropped, level->pending);
    itr_push_once(dropped, level->delivered);
    level->pending = level->delivered = NULL;
}

#endif
