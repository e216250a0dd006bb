/*
 * The main thread, which alone runs signal handlers. A handler may raise in any Python code that we
 * call there, also where that is not to be broken off, or what it raises goes nowhere: what it has
 * raised is put aside then, and raised when that is done (S30).
 *
 * What is asked here runs no Python code.
 */
#ifndef MOD_MAIN_THREAD_H
#define MOD_MAIN_THREAD_H

#include <stdbool.h>

#include "state.h"

/* What a dictionary has under that name: a new reference, or NULL with no exception set. NULL for a
   dictionary: it has nothing. */
PyObject *mod_find_named(PyObject *dict, const char *name);

/* Is the calling thread threading's main one? Keeps the exception that is set. */
bool mod_is_main_thread(mod_state *state);

/* An exception is set by what we have called. In the main thread it is taken, into `*later` (NULL
   to begin with), before what is there: true. Not if it is an Exception, which is taken for one of
   who was called, as asyncio does: it stays, false. */
bool mod_raised_later(mod_state *state, PyObject **later);

/* Takes the reference, or NULL: 0. It is raised, with what is set as its context: -1. */
int mod_raise_kept(PyObject *later);

#endif
