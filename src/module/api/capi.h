/*
 * The C API for other extensions: the capsule that include/interruption.h imports.
 */
#ifndef INTERRUPTION_CAPI_H
#define INTERRUPTION_CAPI_H

#include "state.h"

/* Add the capsule to the module. 0, or -1 with an exception set. */
int interruption_capi_init(PyObject *module);

#endif
