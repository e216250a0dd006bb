/*
 * How the interpreter is made to call us between the statements of a thread: by sys.monitoring's
 * events on the code that the thread runs (monitoring.c, from 3.12: gh-103082), or as its trace
 * function (tracing.c, 3.11). One of the two is compiled.
 */
#ifndef MOD_EVENTS_H
#define MOD_EVENTS_H

#include "delivery/obstacles.h"
#include "delivery/running.h"

/* What is called then, by the armed thread: 0, or -1 with an exception set, which it raises. */
typedef int mod_deliverer(mod_state *state, mod_thread *thread, mod_moment point);

/* Once, before the first is armed; any number of times, with the same function. 0, or -1 with
   RuntimeError set: there is no way to be called. */
int mod_events_start(mod_state *state, mod_deliverer *deliver);

/* References to be dropped when the mutex is not held any more. */
typedef struct {
    mod_running found;    /* what the thread runs, */
    bool unknown;         /* code among that is not analysed yet, and so not armed, */
    mod_armed disarmed;   /* what was armed, */
    PyFrameObject *frame; /* or up to 3.11 traced; or NULL */
} mod_garbage;

/* Without the mutex. What is not analysed is, first: true, then it can be armed now. */
bool mod_drop_garbage(mod_garbage *garbage);

/*
 * Under the mutex of the threads' list: from now on the function is called between the
 * statements of what the thread runs now and enters. May be called again, to look at what it runs
 * now. Attached, with no exception set. What it cannot do, for want of memory, it leaves.
 */
void mod_events_arm(mod_state *state, mod_thread *thread, mod_garbage *garbage);

/*
 * Under the same mutex: the armed thread may run where nothing that is armed tells what it enters,
 * in C code that calls functions back: have every function told that any thread enters.
 */
void mod_events_watch_entries(mod_thread *thread);

/* Under the same mutex: no more. */
void mod_events_disarm(mod_thread *thread, mod_garbage *garbage);

/* The module is being cleared: nothing is armed any more, nor can be. */
void mod_events_stop(void);

#endif
