/*
 * Arming: how a thread that is asked is made to look (S9).
 *
 * A requester *arms* a thread that is cancelable (itr_enable_cancel): the interpreter then calls us
 * in that thread, between statements, until the request is delivered or cleared, or the thread is
 * cancelable no more: see events.h. Nobody raises anything in another thread.
 */
#ifndef MOD_ARMING_H
#define MOD_ARMING_H

#include "thread/thread.h"

/* A request waits in a cancelable thread: make the thread look at once, and until the request has
   been delivered or has come to another end. By anybody; an exception that is set stays. */
void mod_stop_where_it_is(mod_state *state, itr_record *record);

/* It has not looked since, or nothing came of it: make it look at what it runs now. */
void mod_arm_again(mod_state *state, itr_record *record);

/* There is nothing to look for any more: disarm it, unless it has been asked anew. By the owner, or
   when it can run no more. */
void mod_disarm(mod_thread *thread);

#endif
