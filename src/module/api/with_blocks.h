/*
 * allow_interruption and defer_interruption, as users have them: what `with` enters and leaves, and
 * what decorates (S7, S11, S12, S14).
 */
#ifndef MOD_WITH_BLOCKS_H
#define MOD_WITH_BLOCKS_H

#include "state.h"
#include "thread/thread.h"

/* Make the types and the two objects, and add them to the module. 0, or -1 with an exception set.
 */
int mod_with_blocks_init(PyObject *module);

/* _switch(thread, async_interrupt, io_interrupt): a running thread's own switches (S14). What is
   named by `thread`, and errors: as interrupt(). */
PyObject *mod_switch(PyObject *module, PyObject *args);

/* The calling thread's, where it is not at hand or a first region, of that kind, has to prepare it:
   to be called between statements, and where calls block. NULL with an exception set. */
mod_thread *mod_prepare_blocks(mod_state *state, uint8_t kind);

/* An exception leaves that object's block, by those arguments of `__exit__`: leave those inside of
   it that its frame has lost (mod_lost_block). No exception is set. */
void mod_leave_lost(mod_thread *thread, const PyObject *self, PyObject *const *args,
                    Py_ssize_t nargs);

/* The calling thread has left its outermost region; `stopped`: by an exception, having been asked.
   Drops references. */
void mod_left_regions(mod_state *state, mod_thread *thread, bool stopped);

#endif
