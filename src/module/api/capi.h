/*
 * The C API for other extensions: the capsule that include/interruption.h imports.
 */
#ifndef MOD_CAPI_H
#define MOD_CAPI_H

#include "state.h"

/* Add the capsule to the module. 0, or -1 with an exception set. */
int mod_capi_init(PyObject *module);

#endif
