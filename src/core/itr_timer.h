/*
 * The timer: when a scope's deadline has passed, it asks the scope to stop (itr_request_level).
 *
 * One thread does it, which runs while there is a deadline to look after, and ends a moment later.
 * It keeps a heap of records, each by the time of its next *look* at it, not of deadlines: those
 * stay where they are, in the record. So a deadline that comes after the next look at its record
 * costs neither the timer's mutex nor a system call, nor does leaving its scope; a look that finds
 * nothing due is done for nothing, and says when the next one is. Nothing wakes up otherwise.
 *
 *     itr_enter_scope(record, scope, deadline)  or  itr_reschedule(...)
 *     itr_watch_deadline(record, deadline, &asked)
 *
 * The timer's mutex is taken after the registry's and before a record's.
 */
#ifndef ITR_TIMER_H
#define ITR_TIMER_H

#include "itr_record.h"

/*
 * Called by the timer's thread, without any mutex, when it has asked a record's thread and there is
 * more to do (itr_needs_more). NULL: nobody does it. The record is held by the caller.
 */
typedef void itr_timer_more(itr_record *record);
void itr_timer_init(itr_timer_more *more);

/* What itr_watch_deadline does when the record has to be looked at earlier. */
int itr_watch_deadlines(itr_record *record, bool *asked);

/*
 * Any thread that holds a reference. The record has got that deadline: have it looked at in time,
 * unless it is anyway. 0, or an errno value (no memory, no thread): then nobody will see that the
 * deadline passes. `*asked`: a deadline has passed already, and its scope was asked, by the caller,
 * who sees to itr_needs_more.
 *
 * The timer's thread may be late. So one that is nearly there is not left to it, although it looks
 * at the record before: what has passed already is seen here, at the latest where the scope begins.
 *
 * Without a mutex: if the timer looks at the record after it has got the deadline, it finds it; if
 * before, then what the timer wrote under the record's mutex is seen here, for that was taken since
 * to set the deadline.
 */
static inline int
itr_watch_deadline(itr_record *record, itr_deadline deadline, bool *asked)
{
    *asked = false;
    itr_deadline next = atomic_load_explicit(&record->looked_at, memory_order_relaxed);
    return deadline < next || (deadline != ITR_NEVER && deadline <= itr_deadline_about(0))
               ? itr_watch_deadlines(record, asked)
               : 0;
}

/* The same of one that cannot have passed, as the caller knows who has just put it so far off. */
static inline int
itr_watch_far_deadline(itr_record *record, itr_deadline deadline, bool *asked)
{
    *asked = false;
    return deadline < atomic_load_explicit(&record->looked_at, memory_order_relaxed)
               ? itr_watch_deadlines(record, asked)
               : 0;
}

/* What there is, for tests and diagnosis. */
typedef struct {
    size_t records; /* that are to be looked at */
    uint64_t wakes; /* how often the thread has woken up */
    bool runs;      /* there is a thread */
} itr_timer_statistics;
itr_timer_statistics itr_timer_count(void);

/* For the registry. --------------------------------------------------------------------------- */

/* The record has ended. */
void itr_unwatch_deadlines(itr_record *record);

/* Around a fork: the mutex is held between `before` and one of the others. The child has no timer
   and no deadlines; `own` is the forking thread's record, or NULL. */
void itr_timer_before_fork(void);
void itr_timer_after_fork_parent(void);
void itr_timer_after_fork_child(itr_record *own);

#endif
