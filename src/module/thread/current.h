/*
 * The calling thread's record, from inside Python. The thread must be attached (hold the GIL).
 */
#ifndef INTERRUPTION_CURRENT_H
#define INTERRUPTION_CURRENT_H

#include "itr_registry.h"
#include "state.h"

/* interruption_current for when there is no record yet, or it is of a life that has ended. */
itr_record *interruption_current_slow(interruption_state *state);

/* The calling thread's record; made by its first call. NULL with an exception set (no memory). */
static inline itr_record *
interruption_current(interruption_state *state)
{
    itr_record *record = itr_current();
    if (record != NULL && !(itr_flags(record) & ITR_ENDED)) {
        return record;
    }
    return interruption_current_slow(state);
}

/* Who is told of threads: see lifecycle.c. */
typedef struct {
    void (*begins)(itr_record *record); /* by a thread that has just got its first record */
    void (*ends)(uint64_t serial); /* the Python thread of that serial has ended, and its record is
                                      about to. By that thread or, at interpreter exit, another */
} interruption_life;

/* Add the type that this file needs to the state. 0, or -1 with an exception set. */
int interruption_current_init(PyObject *module, interruption_state *state,
                              const interruption_life *told);

#endif
