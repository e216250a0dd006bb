/* What the stress tests share in which requesters ask one owner, as fast as they can. */
#ifndef CONTEST_H
#define CONTEST_H

#include "expect.h"

enum { REQUESTERS = 2 };

static const itr_thread owner_names = {.thread_id = 1, .serial = 1};
static _Atomic bool stop; /* the owner has come to its end */

/* What the owner does, for so many rounds; and what the others do over and over, until the owner
   has come to its end. False: it has. */
static void own(itr_record *record, long rounds, uint64_t *seed);
static bool request(itr_record *record, uint64_t *seed);

static inline void *
be_owner(void *rounds)
{
    uint64_t seed = 1;
    itr_record *record = itr_adopt(owner_names);
    EXPECT(record != NULL);
    own(record, *(const long *)rounds, &seed);
    return NULL;
}

static inline void *
be_requester(void *number)
{
    uint64_t seed = (uint64_t)(uintptr_t)number;
    itr_record *record = NULL;
    while (record == NULL && !atomic_load(&stop)) {
        record = itr_find(owner_names.thread_id);
    }
    while (record != NULL && !atomic_load(&stop) && request(record, &seed)) {
    }
    if (record != NULL) {
        itr_release(record);
    }
    return NULL;
}

/* One thread owns while others ask, each with a seed of its own. */
static inline void
contend(long rounds)
{
    EXPECT(itr_init() == 0);
    pthread_t owner = start(be_owner, &rounds), requesters[REQUESTERS];
    for (uintptr_t i = 0; i < REQUESTERS; i++) {
        requesters[i] = start(be_requester, (void *)(i + 2));
    }
    join(owner);
    atomic_store(&stop, true);
    for (int i = 0; i < REQUESTERS; i++) {
        join(requesters[i]);
    }
    EXPECT(itr_count().records == 0);
}

#endif
