/*
 * The code objects that have events set for a thread: a set that keeps none of them alive. Guarded
 * by the mutex of the threads' list: see thread.h.
 *
 * Each code counts the sets that it is in. A fork may find another thread with the mutex in hand,
 * wherever that one is detached (lifecycle.h); setting events does that without a GIL. So a set and
 * the counts change together, with nothing in between that detaches: code is in the set before it
 * is given events, and until they are taken off. The child finds in the sets what is still armed,
 * and ends what was begun.
 */
#ifndef MOD_ARMED_H
#define MOD_ARMED_H

#include <stdbool.h>

#include "safepoints/code.h"

typedef struct {
    PyObject **references; /* weak ones, or the code itself once it was taken out */
    size_t count;          /* dead ones among them */
    size_t capacity;
    size_t taken; /* so many were taken out, from the first one on */
} mod_armed;

/* Attached, with no exception set. Adds one to the code's sets if the code was added. Returns
   whether it was: false if it was in the set, or there is no memory. */
bool mod_armed_add(mod_armed *set, PyCodeObject *code, mod_armed_in *in);

/* One that is in the set and alive: a new reference. NULL: there is none any more. To be called
   until then, with mod_armed_remove in between; nothing may be added meanwhile. */
PyCodeObject *mod_armed_next(mod_armed *set);

/* Take out what mod_armed_next gave, whose reference it takes, and one off its sets. */
void mod_armed_remove(mod_armed *set, PyCodeObject *code, mod_armed_in *in);

/* Empty the set, when there is no next. What is returned keeps what was removed, and is to be freed
   by mod_armed_free when the mutex is not held any more. */
mod_armed mod_armed_take(mod_armed *set);

void mod_armed_free(mod_armed *taken);

#endif
