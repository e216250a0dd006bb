/*
 * Raising: the calling thread's request becomes an exception, where nothing forbids it (S9).
 */
#ifndef MOD_RAISE_H
#define MOD_RAISE_H

#include "delivery/obstacles.h"

/* The owner, when we are called between statements: -1 with a request's exception set, or 0. Of
   those that may be raised here, the one to the outermost level (S23). */
int mod_deliver(mod_state *state, mod_thread *thread, mod_moment point);

/* Raise if there is a request to the level in the calling thread's record; it is delivered, then:
   0, or -1 with an exception set, which a scope knows again when it is left (mod_leave_scope). */
int mod_raise_request(mod_state *state, itr_record *record, mod_level level);

/* The calling thread, whose record it is, has nothing pending any more: let its code be as it was
   before it was armed. */
void mod_nothing_waits(const itr_record *record);

#endif
