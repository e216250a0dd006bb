/* What the stress tests share in which requesters ask one owner, as fast as they can. */
#ifndef CONTEST_H
#define CONTEST_H

#include "expect.h"

enum { REQUESTERS = 2 };

static const itr_thread owner_names = {.thread_id = 1, .serial = 1};
static _Atomic bool stop; /* the owner has come to its end */

/* The owner's record, with a reference; NULL: it has come to its end already. */
static inline itr_record *
find_owner(void)
{
    itr_record *record;
    while ((record = itr_find(owner_names.thread_id)) == NULL) {
        if (atomic_load(&stop)) {
            return NULL;
        }
    }
    return record;
}

/* One thread owns, for so many rounds, while others ask, each with a number of its own. */
static inline void
contend(void *(*own)(void *), void *(*request)(void *), long rounds)
{
    EXPECT(itr_init() == 0);
    pthread_t owner = start(own, &rounds), requesters[REQUESTERS];
    for (uintptr_t i = 0; i < REQUESTERS; i++) {
        requesters[i] = start(request, (void *)(i + 2));
    }
    join(owner);
    atomic_store(&stop, true);
    for (int i = 0; i < REQUESTERS; i++) {
        join(requesters[i]);
    }
    EXPECT(itr_count().records == 0);
}

#endif
