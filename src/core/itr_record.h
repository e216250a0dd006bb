/*
 * A record is what the library knows of one thread: has it been asked to stop, and how is it woken.
 *
 * One thread owns the record and looks at it; any thread may ask. They agree through `mutex`, which
 * is held for a few instructions and never while anything outside the core runs. The owner looks
 * without it: all that a look needs is in `flags`.
 *
 *     requester: itr_request()        owner: itr_requested() .. itr_deliver() .. itr_clear()
 *
 * A thread has *levels*: its own, and one for each scope that it is in. A request is to one level,
 * which keeps it until it comes to its end: a request to one level never displaces another's.
 *
 * Every accepted request comes to exactly one end: it is delivered, cleared, taken back, or dropped
 * because the thread ended. Where records come from and how they are found: itr_registry.h.
 */
#ifndef ITR_RECORD_H
#define ITR_RECORD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "itr_clock.h"
#include "itr_level.h"
#include "itr_parker.h"
#include "itr_wake_fd.h"

typedef struct itr_record {
    /* ITR_CANCELABLE and ITR_WAITS are written by the owner, ITR_ARMED, ITR_MASKED and ITR_CALLS by
       the embedder, the others under mutex; atomic: release there, acquire by whoever looks without
       it, so that what a requester wrote before it asked is seen by the owner after it looked */
    _Atomic uint32_t flags;
    _Atomic uint32_t references; /* atomic: see itr_retain and itr_release */
    pthread_mutex_t mutex;
    /* The levels, outermost first, the thread's own before all. Guarded by mutex; where they are,
       how many, their numbers and what has been delivered are written by the owner only. Those
       that enter or leave at the end are written by the owner without it: see lock_levels. */
    itr_level *levels;            /* `own`, or memory of their own once there was a scope */
    _Atomic uint32_t level_count; /* atomic: release by the owner, acquire by others */
    uint32_t level_capacity;
    uint32_t open_from; /* guarded by mutex, written by the owner: see itr_open_from */
    itr_parker parker;
    itr_level own;
    itr_wake_fd wake_fd;    /* guarded by mutex; opened by the owner only.
                               Readable exactly while ITR_REQUESTED */
    itr_wake_fd poll_fd;    /* guarded by mutex; opened by the owner only: see itr_poll_fd */
    bool poll_signalled;    /* guarded by mutex: poll_fd is readable */
    _Atomic bool polls;     /* the owner polls for requests: see itr_take_back. atomic:
                               relaxed,  nothing hangs on it */
    bool listed;            /* guarded by the registry: it is in there, which holds a reference */
    bool adopted;           /* the same: its thread has taken it, and says itself when it ends */
    _Atomic uint32_t helps; /* the embedder's number for what the thread helps with. As `polls` */
    void *embedder;         /* the embedder's own, which says who guards it and holds a reference */

    /* The timer's part: see itr_timer.h. */
    _Atomic itr_deadline looked_at; /* when it looks at this record next. Written under its mutex
                                       and this one's, before it is let go; atomic: relaxed, see
                                       itr_watch_deadline */
    size_t turn;                    /* guarded by its mutex: the place in its heap, from 1; or 0 */

    /* The registry's part: guarded by its mutex. */
    uint64_t serial;         /* constant: the thread's, never given to another */
    uintptr_t thread_id;     /* the thread's, or 0 while it is not known */
    uint64_t born;           /* the registry's epoch when the record was made */
    uint64_t seen;           /* the last sweep that saw the thread alive */
    struct itr_record *next; /* with the same hash */
} itr_record;

/* What became of a request. */
typedef enum {
    ITR_NEW,      /* accepted: the record owns the payload now */
    ITR_WAITING,  /* one is waiting to be delivered already: the caller keeps the payload */
    ITR_FINISHED, /* the thread has ended, or left the scope: the caller keeps the payload */
    ITR_NO_MEMORY /* (only itr_ask) nothing was done */
} itr_answer;

/* How a wait ended. */
typedef enum {
    ITR_WAIT_REQUESTED,
    ITR_WAIT_TIMEOUT,
    ITR_WAIT_SIGNAL, /* a signal handler ran: deal with it, then wait again, same deadline */
    ITR_WAIT_ERROR   /* errno says why */
} itr_wait_result;

/*
 * The calling thread's record, or NULL before it adopted one. A plain thread-local load: where the
 * C library allows it, one instruction ("initial-exec"; it keeps eight bytes in reserve for us,
 * which musl does not for libraries loaded later).
 */
#if defined(__GLIBC__)
#define ITR_TLS _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define ITR_TLS _Thread_local
#endif
extern ITR_TLS itr_record *itr_thread_record;

static inline itr_record *
itr_current(void)
{
    return itr_thread_record;
}

/* The bits of `flags`, as of now. For the owner they change under it only from "not asked" to
   "asked" and, by nobody but itself, back. */
static inline uint32_t
itr_flags(const itr_record *record)
{
    /* Acquire: pairs with the release in itr_request_level. */
    return atomic_load_explicit(&record->flags, memory_order_acquire) & ~(uint32_t)ITR_UNBIASED;
}

/* Is there a request, delivered or not? Any thread. */
static inline bool
itr_requested(const itr_record *record)
{
    return (itr_flags(record) & ITR_REQUESTED) != 0;
}

/* As itr_request, of the level of that number; ITR_FINISHED also if the thread is not in that
   scope. `once`: if somebody has asked it already, who is not its deadline, nothing more is asked:
   ITR_WAITING. For what the thread may have been told in another way. */
itr_answer itr_request_level(itr_record *record, uint64_t number, itr_payload *payload, bool once);

/*
 * Any thread that holds a reference. Ask the record's thread to stop; wakes it, does not wait for
 * it. `payload` (or NULL) is taken over when the answer is ITR_NEW. A request that waits already
 * stays as it is, but for ITR_REQUESTED_AGAIN: what was asked first is delivered.
 */
static inline itr_answer
itr_request(itr_record *record, itr_payload *payload)
{
    return itr_request_level(record, ITR_THREAD, payload, false);
}

/*
 * Any thread that holds a reference. Take back the thread's own request of that origin, if it waits
 * to be delivered, and nobody else has asked the thread since. Returns whether it has. Not from a
 * thread that has been stopped before and not been clear of requests since: it has begun to stop.
 */
bool itr_take_back(itr_record *record, uint64_t origin, itr_payload **dropped);

/*
 * Owner only. Note that the request to that level is being delivered: from here on a new one is
 * ITR_NEW. Its payload is itr_delivered() afterwards, also when it is delivered again; the payload
 * of an earlier request comes back through `dropped`. Returns false if the level has not been
 * asked.
 */
bool itr_deliver(itr_record *record, uint64_t level, itr_payload **dropped);

/* Owner only. The payload of the request to that level that was delivered last, or NULL; and
   whether that was made by its deadline. */
itr_payload *itr_delivered(const itr_record *record, uint64_t level);
bool itr_was_timed(const itr_record *record, uint64_t level);

/* By the owner, or while neither it nor anybody else that drops payloads can run: the payload of
   the request to that level that waits or else was delivered last, or NULL. `*timed`: that was made
   by its deadline. */
itr_payload *itr_asked_for(itr_record *record, uint64_t level, bool *timed);

/* Owner only. Forget the requests to all levels. Returns whether there was one; payloads through
   `dropped`. */
bool itr_clear(itr_record *record, itr_payload **dropped);

/*
 * Owner only. A scope is a stretch of the thread's life that can be asked to stop by itself. It is
 * entered inside of those that the thread is in, and requests are let in (itr_enable_cancel).
 * Returns the flags before that; -1: there is no memory, nothing has changed. With a deadline (or
 * ITR_NEVER): then itr_watch_deadline is to be called.
 *
 * Leaving it, nearly always the innermost, forgets what was asked of it, and nothing else; so what
 * comes too late for it reaches nobody. If it `disables`, requests are let in no more
 * (itr_disable_cancel). Returns the flags before that. A scope that the thread is not in: nothing.
 * `was_asked`: whether somebody has asked the scope; payloads come back through `dropped`.
 */
int64_t itr_enter_scope(itr_record *record, uint64_t scope, itr_deadline deadline);
uint32_t itr_leave_scope(itr_record *record, uint64_t scope, bool disables, bool *was_asked,
                         itr_payload **dropped);

/* Owner only. As if it were entered only now, with that deadline; then itr_watch_deadline. What was
   asked of it is forgotten. */
void itr_begin_scope_anew(itr_record *record, uint64_t scope, itr_deadline deadline,
                          itr_payload **dropped);

/* By the owner, or while it cannot run: what has been asked of that level, as bits of its own; 0 if
   the thread is not in it. */
uint32_t itr_level_flags(itr_record *record, uint64_t level);

/*
 * Owner only. Requests to levels outside of that one wait, from here on, where the owner is: a
 * shield is inside of them. ITR_THREAD: none do, as to begin with; ITR_NOBODY: all do. Returns the
 * flags after that: what waits to be delivered and now may be is found there, or by its requester.
 */
uint32_t itr_open_from(itr_record *record, uint64_t level);

/* A number that no other scope has, in this process or one that is about at the same time. */
uint64_t itr_new_scope(void);

/* Any thread that holds a reference. Another deadline for the scope of that number, earlier or
   later; then itr_watch_deadline. False: the thread is not in it, or the deadline has expired. */
bool itr_reschedule(itr_record *record, uint64_t scope, itr_deadline deadline);

/* Any thread that holds a reference. Is the thread in the scope of that number, and has its
   deadline expired? */
bool itr_has_expired(itr_record *record, uint64_t scope);

/* Owner only. Sleep until there is a request or the deadline passes. */
itr_wait_result itr_wait(itr_record *record, itr_deadline deadline);

/*
 * Owner only. A descriptor that is readable exactly while there is a request; made by the first
 * call, closed by the core when the thread ends. -1 with errno set if it cannot be made. If the
 * program has closed it, the next call makes another.
 */
int itr_wait_fd(itr_record *record);

/*
 * Owner only. A descriptor for a poll() of the owner's own: not readable when this returns,
 * readable from the next request, repeated one or itr_wake on. Who looks at the flags after this
 * call and polls after that misses none. Made by the first call; closed by the core when the thread
 * ends. -1 with errno set if it cannot be made. Ask before each poll(): the program may have closed
 * it, and given its number to another file.
 */
int itr_poll_fd(itr_record *record);

/* Any thread that holds a reference. Make the owner look again, whether it parks or polls. */
void itr_wake(itr_record *record);

/* Hold a record that somebody else might let go of. */
void itr_retain(itr_record *record);

/* Let it go; the last one frees it. */
void itr_release(itr_record *record);

/*
 * For those that follow. Puts a bit of `flags` up or down, and returns the flags as they were.
 *
 * Acquire: what a requester wrote, as itr_flags. Release: pairs with the acquire in itr_flags, so
 * that who finds the bit finds what was written before it. One side writes its bit and then sees
 * the others' bits of the same word, a requester writes its bit and then sees that one: either the
 * owner finds the request after it has put up its bit, or the requester finds the bit.
 */
static inline uint32_t
itr_set_flag(itr_record *record, uint32_t flag, bool up)
{
    return up ? atomic_fetch_or_explicit(&record->flags, flag, memory_order_acq_rel)
              : atomic_fetch_and_explicit(&record->flags, ~flag, memory_order_acq_rel);
}

/* Owner only. Between these two requests are let in where the thread is, so whoever makes one does
   something about it. */
static inline uint32_t
itr_enable_cancel(itr_record *record)
{
    return itr_set_flag(record, ITR_CANCELABLE, true);
}

static inline uint32_t
itr_disable_cancel(itr_record *record)
{
    return itr_set_flag(record, ITR_CANCELABLE, false);
}

/* Owner only. Around a wait that every request wakes it from, so that who makes one need not do
   anything else: the owner sees to it when the wait has ended. */
static inline uint32_t
itr_begin_wait(itr_record *record)
{
    return itr_set_flag(record, ITR_WAITS, true);
}

static inline uint32_t
itr_end_wait(itr_record *record)
{
    return itr_set_flag(record, ITR_WAITS, false);
}

/* After a request: is the owner to be stopped where it is, by whoever made it? */
static inline bool
itr_runs_cancelable(const itr_record *record)
{
    return (itr_flags(record) & (ITR_CANCELABLE | ITR_WAITS)) == ITR_CANCELABLE;
}

/* After a request: is there more to do for whoever made it, than what itr_request did? */
static inline bool
itr_needs_more(const itr_record *record)
{
    return itr_runs_cancelable(record) || (itr_flags(record) & ITR_CALLS);
}

/* By the embedder, under a lock of its own: mark that it is about to stop the owner where it is,
   and that the mark is gone. The owner finds the mark when it disables cancellation. */
static inline uint32_t
itr_arm(itr_record *record)
{
    return itr_set_flag(record, ITR_ARMED, true);
}

static inline uint32_t
itr_disarm(itr_record *record)
{
    return itr_set_flag(record, ITR_ARMED, false);
}

/* By the embedder, under a lock of its own. Nobody is woken. */
static inline void
itr_mask_waits(itr_record *record, bool masked)
{
    (void)itr_set_flag(record, ITR_MASKED, masked);
}

/* By the embedder, under a lock of its own: whoever makes a request has to do something for it that
   the core does not know. */
static inline void
itr_set_calls(itr_record *record, bool calls)
{
    (void)itr_set_flag(record, ITR_CALLS, calls);
}

/* For the timer, under its mutex. ------------------------------------------------------------- */

/* Look at the deadlines, and ask the scopes whose own has passed. */
typedef struct {
    itr_deadline next; /* the earliest that is left: looked_at from now on */
    bool asked;        /* some scope was asked */
    bool wakes;        /* and the owner is to be woken: itr_unpark */
} itr_look;
itr_look itr_look_at_deadlines(itr_record *record, itr_deadline now);

/* For the registry. --------------------------------------------------------------------------- */

/* A record with one reference, or NULL. */
itr_record *itr_record_new(uintptr_t thread_id, uint64_t serial);

/*
 * No request is accepted from here on. Payloads through `dropped`. By the owner, or by anybody once
 * the owner can run no more. Ending twice is ending once.
 */
void itr_record_end(itr_record *record, itr_payload **dropped);

/*
 * Around a fork, by the forking thread on its own record. Between `before` and one of the others
 * the mutex is held, so that the child gets the record whole. In the child it is as if nobody had
 * ever asked, and only `references` holders are left: those of the other threads do not exist
 * there.
 */
void itr_record_before_fork(itr_record *record);
void itr_record_after_fork_parent(itr_record *record);
void itr_record_after_fork_child(itr_record *record, uint32_t references, itr_payload **dropped);

/* Free another thread's record in the child of a fork: its holders do not exist, and its mutex may
   be locked for ever. */
void itr_record_abandon(itr_record *record, itr_payload **dropped);

/* To begin with, and in the child of a fork: let itr_new_scope count from somewhere else. */
void itr_scatter_scopes(uint64_t seed);

#endif
