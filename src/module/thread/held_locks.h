/*
 * The locks that a thread has taken inside its region, and still holds (S9).
 *
 * Each thread writes its own list, without a lock. What others do to it, they do under
 * held_locks.c's mutex: a thread that releases a lock which it has not taken itself strikes it from
 * the list of whoever has. Whether anybody has, `interruption_taken` tells it by one load. What was
 * tried before: docs/rejected.md.
 *
 * All functions are for attached threads (that hold the GIL, where there is one).
 */
#ifndef INTERRUPTION_HELD_LOCKS_H
#define INTERRUPTION_HELD_LOCKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpython/compat.h"
#include "itr_record.h"
#include "state.h"
#include "thread/address_table.h"

/* A kind of locks. Constant. */
typedef struct {
    /* Only the taker can release it, and can take it again. */
    bool recursive;
    /* Does the lock, which the calling thread has taken, look as if it still had it? Runs no Python
       code and raises nothing. A plain lock can only tell whether anybody holds it. */
    bool (*looks_held)(PyObject *lock);
    /* Of a recursive one: does it look to any thread as if the one with that ident had it, or had
       somebody? It may be of a subclass, and run Python code. */
    bool (*looks_taken_by)(PyObject *lock, unsigned long ident);
} interruption_lock_kind;

typedef struct {
    _Atomic(PyObject *) lock; /* the lock; NULL: released, dropped or struck. atomic: release by
                                 the owner, acquire by others under held_locks.c's mutex, who may
                                 set it to NULL */
    PyObject *object;         /* a reference to it; of a saved one, to the state. owner only */
    PyObject *code;           /* where it was taken: a reference, or NULL. Written by the owner
                                 before `lock`; read by others between reading `lock` and giving
                                 held_locks.c's mutex back */
    const interruption_lock_kind *kind; /* as `code` */
    int lasti;                          /* as `code` */
    int levels;                         /* of a recursive lock. owner only */
    int saved_levels;                   /* not 0: put off by _release_save. owner only */
} interruption_held_entry;

/* One a thread, zeroed to begin with. */
typedef struct interruption_held {
    interruption_held_entry *entries; /* written by the owner under held_locks.c's mutex; the owner
                                         reads it without, others under the mutex */
    _Atomic size_t count;             /* atomic: release by the owner, acquire by others */
    size_t capacity;                  /* owner only */
    PyThreadState *thread_state;      /* the owner's. owner only */
    PyObject *plain_code;             /* owner only: see interruption_current_place */
    bool unrecorded;                  /* owner only: there was no memory to note one */
    uint32_t noting;                  /* owner only: interruption_noting when the region began */
    _Atomic bool being_read;          /* atomic: see interruption_held_by_other; written under the
                                         mutex, looked at by the owner */
    struct interruption_held *next;   /* guarded by held_locks.c's mutex */
    struct interruption_held **link;  /* guarded by held_locks.c's mutex: what points to this one */
    unsigned epoch; /* owner only: that of held_locks.c when it was linked. Another: it is not, and
                       nobody else sees it */
} interruption_held;

/* The calling thread's, while it is inside a region; else NULL. In a subinterpreter, too. */
extern ITR_TLS interruption_held *interruption_thread_held;

/* The same, but in a subinterpreter NULL: nothing is to be done about the calls there. */
static inline interruption_held *
interruption_current_held(void)
{
    interruption_held *held = interruption_thread_held;
    return held != NULL && interruption_runs_with(held->thread_state) ? held : NULL;
}

/* How often locks have begun, or ceased, to be noted: odd while they are. atomic: written with the
   world stopped; relaxed, because threads that run have all seen it. */
extern _Atomic uint32_t interruption_noting;

/* The calling thread enters its outermost region, with its list. */
static inline void
interruption_held_begin(interruption_held *held)
{
    held->noting = atomic_load_explicit(&interruption_noting, memory_order_relaxed);
    interruption_thread_held = held;
}

/* By the owner, or while it cannot run: have all locks been noted that it took in its region? */
static inline bool
interruption_held_is_whole(const interruption_held *held)
{
    uint32_t now = atomic_load_explicit(&interruption_noting, memory_order_relaxed);
    return now % 2 == 1 && held->noting == now;
}

/* See lifecycle.h. */
void interruption_held_after_fork_child(void);

/* 0, or -1 with an exception set. To be called once for each interpreter. */
int interruption_held_init(PyObject *threading);

/* The calling thread has taken the lock so many times. */
void interruption_held_push(interruption_held *held, const interruption_lock_kind *kind,
                            PyObject *lock, int levels);

/* Its entry, if it has been taken in this region and by this thread; or NULL. Good until Python
   code runs. */
interruption_held_entry *interruption_held_find(const interruption_held *held, PyObject *lock);

/* The calling thread has released it once. May drop the last reference to something, so may run
   Python code. */
void interruption_held_pop(interruption_held *held, interruption_held_entry *entry);

/* The same for all levels of a recursive lock, which are put off until `state` is restored. */
void interruption_held_save(interruption_held *held, PyObject *lock, PyObject *state);
void interruption_held_restore(interruption_held *held, const interruption_lock_kind *kind,
                               PyObject *lock, PyObject *state, int levels);

/*
 * By the owner: does it hold a lock that it has taken inside its region? `*code` (a new reference,
 * or NULL) and `*lasti` say where the innermost was taken. No Python code runs.
 */
bool interruption_holds_lock(interruption_held *held, PyObject **code, int *lasti);

/* The same by another thread, to explain: the lock itself, too. The owner may be past it by then.
   `held` must be kept from being destroyed. */
bool interruption_held_by_other(interruption_held *held, PyObject **lock, PyObject **code,
                                int *lasti);

/* By the owner: take out what is not held any more. Returns how many entries are left, those of
   saved states included. No Python code runs. */
size_t interruption_held_validate(interruption_held *held);

/* The outermost region has been left (the owner has no current list any more): forget everything.
   Drops references, so Python code may run. */
void interruption_held_clear(interruption_held *held);

/* The same, but what is still held goes into `to`, zeroed, where it is struck as ever when somebody
   releases it. False: nothing is. */
bool interruption_held_leave(interruption_held *held, interruption_held *to);

/* Of what the thread with that ident has left so: is the lock of that entry still locked, and does
   somebody know it? By anybody; -1 behind the last. `*code` (borrowed, or NULL) and `*lasti` say
   where it was taken. */
int interruption_held_is_left(const interruption_held *left, size_t index, unsigned long ident,
                              PyObject **code, int *lasti);

/* By the owner: is there nothing to clear? */
static inline bool
interruption_held_is_clear(const interruption_held *held)
{
    /* Relaxed: only the owner writes it. */
    return atomic_load_explicit(&held->count, memory_order_relaxed) == 0 && !held->unrecorded;
}

/* The thread ends: clear, and give the memory back. The struct is its owner's again. */
void interruption_held_destroy(interruption_held *held);

/* Strike a lock from every list: it is about to be released by a thread that has not taken it. */
void interruption_held_strike(PyObject *lock);

/* A one above a million million addresses, so that the sum of two is never like one. */
static inline uint64_t
interruption_taken_mark(const PyObject *lock)
{
    return UINT64_C(1) << 52 | ((uint64_t)(uintptr_t)lock >> 4 & ((UINT64_C(1) << 44) - 1));
}

static inline _Atomic uint64_t *
interruption_taken_slot(const PyObject *lock)
{
    return &interruption_slot_of(lock)->taken;
}

/* May some thread have it in its list? False: none has. */
static inline bool
interruption_taken(const PyObject *lock)
{
    /* Acquire: pairs with interruption_add in held_locks.c. That the taker's push is seen by
       whoever releases for it is the program's doing: it must know that the lock is taken. */
    uint64_t sum = atomic_load_explicit(interruption_taken_slot(lock), memory_order_acquire);
    return sum != 0 && (sum >> 52 != 1 || sum == interruption_taken_mark(lock));
}

#endif
