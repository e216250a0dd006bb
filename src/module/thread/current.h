/*
 * The calling thread's record, from inside Python. The thread must be attached (hold the GIL).
 */
#ifndef MOD_CURRENT_H
#define MOD_CURRENT_H

#include "itr_registry.h"
#include "state.h"

/* mod_current for when there is no record yet, or it is of a life that has ended. */
itr_record *mod_current_slow(mod_state *state);

/* The calling thread's record; made by its first call. NULL with an exception set (no memory). */
static inline itr_record *
mod_current(mod_state *state)
{
    itr_record *record = itr_current();
    if (record != NULL && !(itr_flags(record) & ITR_ENDED)) {
        return record;
    }
    return mod_current_slow(state);
}

/* Who is told of threads: see lifecycle.c. */
typedef struct {
    void (*begins)(itr_record *record); /* by a thread that has just got its first record */
    void (*ends)(uint64_t serial); /* the Python thread of that serial has ended, and its record is
                                      about to. By that thread or, at interpreter exit, another */
} mod_life;

/* Add what this file needs to the state. 0, or -1 with an exception set. */
int mod_current_init(mod_state *state, const mod_life *told);

#endif
