/*
 * The code objects that have events set for a thread: a set that keeps none of them alive. Guarded
 * by the mutex of the threads' list: see thread.h.
 */
#ifndef INTERRUPTION_ARMED_H
#define INTERRUPTION_ARMED_H

#include <stdbool.h>

#include "state.h"

typedef struct {
    const void *key;     /* the code's address; NULL: the place is free */
    PyObject *reference; /* a weak reference to it */
} interruption_armed_entry;

typedef struct {
    interruption_armed_entry *entries; /* by the hash of the key, else in the next free place */
    size_t count;                      /* dead ones among them */
    size_t capacity;                   /* a power of two, more than `count`; or 0 */
} interruption_armed;

/* Attached, with no exception set. Returns whether it was added: false if it was in the set, or
   there is no memory. */
bool interruption_armed_add(interruption_armed *set, PyCodeObject *code);

/* Call `visit` for each that is still alive, and empty the set. What is returned is to be freed by
   interruption_armed_free when the mutex is not held any more: it keeps what was visited. */
interruption_armed interruption_armed_take(interruption_armed *set,
                                           void (*visit)(PyCodeObject *code, void *arg), void *arg);

void interruption_armed_free(interruption_armed *taken);

#endif
