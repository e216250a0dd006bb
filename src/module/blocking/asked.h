/*
 * Whose request ends a wait, and whether one has been made (S10, S24). In a scope that depends on
 * what is inside of it: a request to the thread may have to wait for a shield that is around the
 * scope, while one to the scope ends the wait.
 */
#ifndef MOD_BLOCKING_ASKED_H
#define MOD_BLOCKING_ASKED_H

#include "state.h" /* with Python.h, which has to come first */

#include "delivery/obstacles.h"
#include "itr_own_fd.h"

/* One wait that may be interrupted. */
typedef struct {
    mod_state *state;
    itr_record *record;
    uint32_t needed;    /* the flags that, all set, end it; in a scope, may end it: */
    bool scoped;        /* the thread is in one, so it depends on whose request it is (S24) */
    uint32_t open_from; /* the depth of the outermost level whose requests end it, see mod_level; */
    uint32_t once_from; /* and of the outermost of those that have to ask but once */
    uint32_t generation; /* of the interposing when it began */
    bool breaks;         /* what it is part of is broken off with it: see making.h */
    /* NULL, or: is it to be raised? Asked last thing before, in a wait with an `attempt`, with its
       `arg`. False: what is waited for is there after all. */
    bool (*may_leave)(void *arg);
    /* NULL, or: the first of the descriptors that it waits for is this one, of the library's. Once
       it is ours no more, it counts as ready: the caller opens another. */
    const itr_own_fd *own;
    bool quiet; /* in a wait for descriptors, or of a slice: when its end is asked for, 1 is
                   returned, with no descriptor ready, and nothing raised, so that the caller can
                   look once more before it asks mod_wait_check, or has a result already.
                   It ends all of them by mod_wait_over */
} mod_waiting;

/* How often calls have been interposed or put back (families.h): odd while they are interposed.
   When they are not any more, a wait is not woken by what its call was interposed with. atomic:
   written with the world stopped, sequentially consistent with the entry into the lot. */
extern _Atomic uint32_t mod_wait_generation;

/* Does a request wait for the calling thread? */
static inline bool
mod_is_asked(void)
{
    const itr_record *record = itr_current();
    return record != NULL && (itr_flags(record) & ITR_PENDING);
}

/* The thread has been asked, and a call begins. If it is one that takes something in, is that to be
   raised (S10b), by mod_wait_check? Not in cleanup. */
bool mod_wait_enter(mod_waiting *waiting);

int mod_wait_entry_asked(void);

/* Of a call that takes something in, before it does anything: raise what is asked, outside of
   cleanup (S10b). For threads inside a region. 0, or -1 with an exception set. */
static inline int
mod_wait_entry(void)
{
    return mod_is_asked() ? mod_wait_entry_asked() : 0;
}

/*
 * The call has to wait. True: `waiting` is to be given to the functions below. False: it cannot be
 * interrupted where it is, let the original wait. For threads inside a region. May run the garbage
 * collector, so ask before the last look whether the call has to wait. Never fails.
 */
bool mod_wait_begin(mod_waiting *waiting);

/* The same, with what else holds where the thread is, for the outermost level whose requests may
   end it. */
bool mod_wait_look(mod_waiting *waiting, mod_wait_view *view);

/* It is not given up in cleanup: there only what is asked again ends it (S10c). */
void mod_wait_in_cleanup(mod_waiting *waiting);

/* Of a wait in a scope: the outermost level whose request is to end it now. */
bool mod_wait_find_asked(const mod_waiting *waiting, mod_level *level);

/* Has the end of the wait been asked for, and is it not switched off (Thread.enable_io_interrupt)?
   Attached or not. */
static inline bool
mod_wait_asked(const mod_waiting *waiting)
{
    mod_level level;
    return (itr_flags(waiting->record) & (waiting->needed | ITR_MASKED)) == waiting->needed &&
           (!waiting->scoped || mod_wait_find_asked(waiting, &level));
}

/* Raise it if so. 0, or -1 with an exception set. */
int mod_wait_check(const mod_waiting *waiting);

#endif
