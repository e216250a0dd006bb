/*
 * allow_interruption and defer_interruption, as users have them: what `with` enters and leaves, and
 * what decorates (S7, S11, S12, S14).
 */
#ifndef MOD_WITH_BLOCKS_H
#define MOD_WITH_BLOCKS_H

#include "state.h"

/* Make the types and the two objects, and add them to the module. 0, or -1 with an exception set.
 */
int mod_with_blocks_init(PyObject *module);

/* _switch(thread, async_interrupt, io_interrupt): a running thread's own switches (S14). What is
   named by `thread`, and errors: as interrupt(). */
PyObject *mod_switch(PyObject *module, PyObject *args);

#endif
