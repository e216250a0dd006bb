/*
 * The part of a group that no signal handler may come into: entering its block, and leaving it
 * (S28). What is done then is ThreadGroup's, in Python, and a handler may raise between any two
 * steps of that.
 */
#ifndef MOD_GROUP_H
#define MOD_GROUP_H

#include "state.h"

/* Make the type that ThreadGroup is derived from, and add it to the module. 0, or -1 with an
   exception set. */
int mod_group_init(PyObject *module);

#endif
