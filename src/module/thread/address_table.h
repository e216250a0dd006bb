/*
 * Objects that somebody wants to hear of, hashed by address, so that a call that may concern one
 * learns by one or two loads that nobody does: locks that somebody holds (held_locks.h), and what
 * threads wait for in the parking lot (blocking/wait.h).
 */
#ifndef MOD_ADDRESS_TABLE_H
#define MOD_ADDRESS_TABLE_H

#include "cpython/compat.h"

struct mod_held_lock;

typedef struct {
    _Atomic(struct mod_held_lock *) held; /* those with this hash, in a list. atomic: written
                                             under held_locks.c's guard */
    _Atomic uint64_t waiters; /* how many wait for an object with this hash. atomic: changed by
                                 mod_add, by attached threads */
} mod_slot;

enum { MOD_SLOTS = 4096 };
extern mod_slot mod_slots[MOD_SLOTS];

static inline mod_slot *
mod_slot_of(const void *object)
{
    uintptr_t address = (uintptr_t)object;
    return &mod_slots[(address >> 4 ^ address >> 16) % MOD_SLOTS];
}

/*
 * May somebody wait for it in the lot? With a GIL, asked before or after what they wait for: they
 * looked at it and entered in one go. Without one, asked afterwards: then either they see that it
 * has been done, or this sees them. That needs no fence here, for what was done ended in an atomic
 * exchange (the release of a lock), and this load is sequentially consistent, too.
 */
static inline bool
mod_waited_for(const void *object)
{
    return atomic_load(&mod_slot_of(object)->waiters) != 0;
}

#endif
