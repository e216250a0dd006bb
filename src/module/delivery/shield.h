/*
 * What entering and leaving blocks changes for a thread that has been asked, and the shield that C
 * code puts around what it has Python run.
 */
#ifndef MOD_SHIELD_H
#define MOD_SHIELD_H

#include <stdbool.h>

#include "thread/thread.h"

/* Blocks of the calling thread have changed, and its record's flags were as given: see to it that
   it is armed exactly while it is cancelable. */
void mod_settle(mod_state *state, mod_thread *thread, uint32_t flags);

/* Shield what C code has Python run, if the calling thread is inside a region, until the other is
   called; `object` is what they know each other by. What is asked meanwhile waits: nothing is
   raised. Returns whether the other is to be called. */
bool mod_begin_shield(PyObject *object);
void mod_end_shield(PyObject *object);

#endif
