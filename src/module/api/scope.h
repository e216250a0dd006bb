/*
 * Scopes: regions that can be asked to stop by themselves. The type `_Scope`, which the executor
 * makes one of for each task.
 */
#ifndef MOD_SCOPE_H
#define MOD_SCOPE_H

#include "state.h"

/* Add the type to the module. 0, or -1 with an exception set. */
int mod_scope_init(PyObject *module);

#endif
