/*
 * The re-arm timer: while a request waits to be delivered, what its thread runs may change in ways
 * that no event tells (a `key=` function is entered through C, a debugger replaced our trace
 * function). So the thread is armed anew from time to time: after a millisecond, then ever less
 * often. Nothing is done while no request waits.
 */
#ifndef MOD_REARM_H
#define MOD_REARM_H

#include "itr_record.h"
#include "state.h"

/* Arm the thread of that record anew, as long as its request waits. Attached. If it cannot be (no
   memory, no thread to do it, the interpreter exits), nothing happens. */
void mod_rearm_later(itr_record *record);

/* A request has been made by a thread that cannot attach, the timer's: see to what is left to do
   for it, as soon as may be. By any thread, also one that is not attached. */
void mod_finish_soon(itr_record *record);

/* Allow it, for the interpreter that the caller runs in. `again` does it, attached, for the record
   of a thread whose request waits; `finish`, what is left to do for a new one, whose reference it
   takes. */
void mod_rearm_init(mod_state *state, void (*again)(mod_state *state, itr_record *record),
                    int (*finish)(mod_state *state, itr_record *record));

/* Around a fork: see lifecycle.h. */
void mod_rearm_before_fork(void);
void mod_rearm_after_fork_parent(void);
void mod_rearm_after_fork_child(void);

/* A method of the module: end it, before threads cannot attach any more. */
PyObject *mod_rearm_stop(PyObject *module, PyObject *unused);

/* The thread id of the thread that does it, which is nobody's to interrupt; 0 while there is none.
 */
uintptr_t mod_rearm_thread(void);

#endif
