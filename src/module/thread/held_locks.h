/*
 * The locks that a thread has taken inside its region, and still holds (S9): its *lockset*.
 *
 * A held lock stands in two lists: its thread's, which nobody else changes, and one of the table by
 * address (address_table.h). By the second a thread that releases a lock which it has not taken
 * itself finds what another has noted of it. What was tried before: docs/rejected.md.
 *
 * All functions are for attached threads (that hold the GIL, where there is one).
 */
#ifndef MOD_HELD_LOCKS_H
#define MOD_HELD_LOCKS_H

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
       somebody? Runs no Python code. */
    bool (*looks_taken_by)(PyObject *lock, unsigned long ident);
} mod_lock_kind;

/* What is noted of one. Written by the owner, but for the first two; others read the rest while the
   owner cannot run, or is no more. */
typedef struct mod_held_lock {
    _Atomic(PyObject *) lock; /* the lock; NULL: released, dropped or forgotten. atomic: written
                                 under the table's guard, by the owner or to NULL by others; read by
                                 the owner without */
    _Atomic(struct mod_held_lock *) alike; /* with the same hash. atomic: as in a slot, under the
                                              table's guard, relaxed */
    struct mod_held_lock *outer;           /* taken before it; or the next one that is free */
    PyObject *object;                      /* a reference to it */
    PyObject *code; /* where it was taken: a reference, or NULL. Of memory that is
                       free, what it was before */
    const mod_lock_kind *kind;
    int lasti;
    int levels;       /* of a recursive lock */
    bool paused;      /* released by _release_save, until _acquire_restore */
    uint64_t entered; /* the set's, when it was taken: see mod_lockset_enter_scope */
} mod_held_lock;

/* One a thread, zeroed to begin with. Owner only, but that others read it while the owner cannot
   run. */
typedef struct {
    mod_held_lock *innermost;
    mod_held_lock *free;         /* memory for more */
    size_t count;                /* how many are in the list, those with no lock among them */
    size_t enough;               /* at so many, those with no lock are taken out */
    PyThreadState *thread_state; /* the owner's */
    PyObject *plain_code;        /* see mod_current_place */
    uint64_t entered;            /* how many scopes the thread has ever entered */
    uint64_t scope;              /* what that was for the innermost scope that it is in, or more */
    bool unrecorded;             /* there was no memory to note one */
    uint32_t noting;             /* mod_noting when the region began */
} mod_lockset;

/* The calling thread's, while it is inside a region; else NULL. In a subinterpreter, too. */
extern ITR_TLS mod_lockset *mod_thread_lockset;

/* The same, but in a subinterpreter NULL: nothing is to be done about the calls there. */
static inline mod_lockset *
mod_current_lockset(void)
{
    mod_lockset *set = mod_thread_lockset;
    return set != NULL && mod_runs_with(set->thread_state) ? set : NULL;
}

/* How often locks have begun, or ceased, to be noted: odd while they are. atomic: written with the
   world stopped; relaxed, because threads that run have all seen it. */
extern _Atomic uint32_t mod_noting;

/* The calling thread enters its outermost region. */
static inline void
mod_lockset_begin(mod_lockset *set)
{
    set->noting = atomic_load_explicit(&mod_noting, memory_order_relaxed);
    mod_thread_lockset = set;
}

/* By the owner, or while it cannot run: have all locks been noted that it took in its region? */
static inline bool
mod_lockset_is_complete(const mod_lockset *set)
{
    uint32_t now = atomic_load_explicit(&mod_noting, memory_order_relaxed);
    return now % 2 == 1 && set->noting == now;
}

/* See lifecycle.h. */
void mod_locksets_after_fork_child(void);

/* To be called once for each interpreter. */
void mod_locksets_init(PyObject *threading);

/* The calling thread has taken the lock so many times. May drop the last reference to something, so
   may run Python code. */
void mod_lockset_add(mod_lockset *set, const mod_lock_kind *kind, PyObject *lock, int levels);

/* What is noted, if it has been taken in this region and by this thread; or NULL. Good until Python
   code runs. */
static inline mod_held_lock *
mod_lockset_find(const mod_lockset *set, const PyObject *lock)
{
    mod_held_lock *held = set->innermost;
    /* Relaxed: nobody else puts a lock there. */
    while (held != NULL && atomic_load_explicit(&held->lock, memory_order_relaxed) != lock) {
        held = held->outer;
    }
    return held;
}

/* The calling thread has released it once. May drop the last reference to something, so may run
   Python code. */
void mod_lockset_remove(mod_lockset *set, mod_held_lock *held);

/* It has released a recursive lock with all its levels, */
void mod_lockset_pause(mod_lockset *set, PyObject *lock);

/* and taken it again, with so many: of which those count that did before, if it was paused here. */
void mod_lockset_resume(mod_lockset *set, const mod_lock_kind *kind, PyObject *lock, int levels);

/* The calling thread enters a scope: what it takes from here on, it takes inside of that. Returns a
   number for it, among those of the thread: larger than of any that was entered before. */
static inline uint64_t
mod_lockset_enter_scope(mod_lockset *set)
{
    return set->scope = ++set->entered;
}

/* It has left it; the innermost that it is in now is that of the number, or none: 0. */
static inline void
mod_lockset_leave_scope(mod_lockset *set, uint64_t innermost)
{
    set->scope = innermost;
}

/*
 * By the owner: does it hold a lock that it has taken inside its region or, unless 0, inside the
 * scope of that number? `*code` (a new reference, or NULL) and `*lasti` say where the innermost was
 * taken. No Python code runs.
 */
bool mod_holds_lock(mod_lockset *set, uint64_t scope, PyObject **code, int *lasti);

/* The same by another thread, to explain: the lock itself, too. The owner may be past it by then.
   `set` must be kept from being destroyed. */
bool mod_other_holds_lock(const mod_lockset *set, uint64_t scope, PyObject **lock, PyObject **code,
                          int *lasti);

/* By the owner: is it one of a lock that it holds now? No Python code runs. */
bool mod_is_held(const mod_lockset *set, mod_held_lock *held);

/* The outermost region has been left (the owner has no current lockset any more): forget
   everything. Drops references, so Python code may run. */
void mod_lockset_clear(mod_lockset *set);

/* Before that: what is still held goes into `to`, zeroed, where it is forgotten as ever when
   somebody releases it. False: nothing is. */
bool mod_lockset_leave(mod_lockset *set, mod_lockset *to);

/* Of what the thread with that ident has left so: is the lock still locked, and does somebody know
   it? By anybody. */
bool mod_is_left(const mod_lockset *left, const mod_held_lock *held, unsigned long ident);

/* By the owner: is there nothing to clear? */
static inline bool
mod_lockset_is_clear(const mod_lockset *set)
{
    return set->innermost == NULL && !set->unrecorded;
}

/* The thread ends: clear, and give the memory back. The struct is its owner's again. */
void mod_lockset_destroy(mod_lockset *set);

/* A plain lock is about to be released by a thread that has not taken it: nobody holds it then. */
void mod_forget_lock(PyObject *lock);

/* May some thread have noted it? False: none has. */
static inline bool
mod_may_be_noted(const PyObject *lock)
{
    /* Acquire: pairs with `link_held` in held_locks.c. That the taker's note is seen by whoever
       releases for it is the program's doing: it must know that the lock is taken. */
    return atomic_load_explicit(&mod_slot_of(lock)->held, memory_order_acquire) != NULL;
}

#endif
