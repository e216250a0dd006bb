/*
 * The one place that says who does what, and in which order, when a thread ends (or begins), the
 * process forks (S18), and the interpreter exits. The core sees to its own records
 * (core/registry.c).
 */
#ifndef MOD_LIFECYCLE_H
#define MOD_LIFECYCLE_H

#include "state.h"

/* See to them from now on; once an interpreter. After the core has been started. 0, or -1 with an
   exception set. */
int mod_lifecycle_init(mod_state *state);

/* _after_fork_in_child(): the hook of Python's, which the package registers. So it does, for the
   interpreter's exit, with _stop_rearming: what looks again has to end before threads cannot attach
   any more. */
PyObject *mod_after_fork_in_child(PyObject *module, PyObject *unused);

#endif
