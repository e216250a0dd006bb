/*
 * Raising: the calling thread's request becomes an exception, where nothing forbids it (S9).
 */
#ifndef INTERRUPTION_RAISE_H
#define INTERRUPTION_RAISE_H

#include "delivery/obstacles.h"

/* The owner, when we are called between statements: -1 with the request's exception set, or 0. */
int interruption_deliver(interruption_state *state, interruption_thread *thread,
                         interruption_moment point);

/* Raise if there is a request in the calling thread's record; it is delivered, then: 0, or -1
   with an exception set. */
int interruption_raise_request(interruption_state *state, itr_record *record);

/* The calling thread, whose record it is, has nothing pending any more: let its code be as it was
   before it was armed. */
void interruption_nothing_waits(const itr_record *record);

#endif
