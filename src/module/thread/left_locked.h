/*
 * What a thread that was stopped leaves locked is told with its place (S31). Of a wait with a lock
 * that no `with` and no `finally` gives back (`lock.acquire(); condition.wait()`), the exception
 * leaves the region with the lock still taken. Others wait for it then, and have to learn why.
 *
 * It is kept with the `Thread`, where interruption/_left.py finds it for `explain` and reports, and
 * warns at the thread's end. Whoever releases the lock meanwhile, in whichever thread, has it
 * forgotten (held_locks.h).
 */
#ifndef MOD_LEFT_LOCKED_H
#define MOD_LEFT_LOCKED_H

#include "thread/thread.h"

/* _left_places(left): where the locks were taken that are still locked, and that anybody knows: a
   list of (filename, line, function). */
PyObject *mod_left_places(PyObject *module, PyObject *capsule);

/* The owner has left its outermost region by an exception, and has been asked to stop: what it
   still holds is noted. Sets no exception, and runs no Python code: what a signal handler raises
   in there would be lost (S30). */
void mod_leave_locked(mod_state *state, mod_thread *thread);

/* The calling thread ends: warn of what it has left. NULL: nothing. Runs Python code. */
void mod_tell_left(PyObject *kept);

#endif
