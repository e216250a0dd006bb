/*
 * The parking lot: threads that wait for something to happen to an object, queued by its address.
 *
 *     the waiter                                    whoever lets it happen
 *     ----------                                    ----------------------
 *     itr_lot_enter(&waiter, address, ...)          make the condition true
 *     look at the condition once more               itr_lot_wake(address, 1)
 *     while (!itr_lot_woken(&waiter)) itr_park()
 *     itr_lot_leave(&waiter)
 *
 * Nothing is lost if either the waiter sees the condition after it has entered, or the other finds
 * it in the lot: the embedder sees to the order of the two (a lock of its own around each side, or
 * sequentially consistent accesses).
 *
 * A wake-up takes the waiter out of the queue, so each reaches another waiter. A waiter that leaves
 * although a wake-up has reached it (itr_lot_leave says so) owes it to the next: unless what it was
 * woken for is gone, it wakes one itself.
 *
 * The waiters of one object are woken in the order in which they entered.
 */
#ifndef ITR_LOT_H
#define ITR_LOT_H

#include "itr_record.h"

/* One wait of one thread, on its stack. A thread may be in the lot several times. */
typedef struct itr_waiter {
    const void *address;         /* constant while it is in the lot */
    itr_record *record;          /* constant: the waiting thread's own */
    struct itr_waiter *next;     /* guarded by the lot */
    struct itr_waiter *previous; /* guarded by the lot */
    _Atomic bool woken; /* atomic: release by the waker under the lot's mutex, acquire by the owner:
                           once it is set nobody else touches this */
} itr_waiter;

/* Owner of `record`. Queue up behind the others or, if it has been woken for nothing, in front. */
void itr_lot_enter(itr_waiter *waiter, const void *address, itr_record *record, bool in_front);

/* Has a wake-up reached it? */
static inline bool
itr_lot_woken(const itr_waiter *waiter)
{
    /* Acquire: what the waker did before it woke us is seen. */
    return atomic_load_explicit(&waiter->woken, memory_order_acquire);
}

/* Owner. Leave. Returns whether a wake-up had reached it. */
bool itr_lot_leave(itr_waiter *waiter);

/* Anybody. Wake so many waiters of that address (or as many as there are); returns how many. Only
   the address is looked at, so the object may be gone. */
size_t itr_lot_wake(const void *address, size_t count);

/* Wake all, whatever they wait for. */
void itr_lot_wake_all(void);

/* In the child of a fork, whose one thread is in the lot no more: it is empty. */
void itr_lot_after_fork_child(void);

#endif
