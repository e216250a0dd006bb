/*
 * What the end of the process needs that Python code cannot do.
 */
#ifndef MOD_PROCESS_END_H
#define MOD_PROCESS_END_H

#include "state.h"

/*
 * Let the process end by that signal's default action when the interpreter has been finalized, as
 * CPython does it for an unhandled KeyboardInterrupt: shells and supervisors tell a program that
 * was ended by a signal from one that returned a number. 0: not after all. Not before, because the
 * rest of the finalization would be lost; and no Python code runs after it, hence in C.
 */
PyObject *mod_end_by_signal(PyObject *module, PyObject *number);

/* _signal_is_answered(): by the main thread, when our handler in Python has done all about what has
   come: the watchdog stays on guard until the interpreter has been finalized. */
PyObject *mod_signal_is_answered(PyObject *module, PyObject *unused);

/*
 * _end_within(seconds, number, status): the process is to have ended in so many seconds; infinite:
 * not after all, and it is as if no signal had come. By that signal; if the number is 0, with that
 * status.
 */
PyObject *mod_end_within(PyObject *module, PyObject *args);

/*
 * Call that in a thread of its own. Python 3.12 refuses to start one when the main program has
 * ended, although others still run (gh-104690; from 3.13 it does not: gh-113964); a thread that a C
 * library starts is let in. Raises RuntimeError if the system has none.
 */
PyObject *mod_start_thread(PyObject *module, PyObject *callable);

/* See mod_count_as_daemon. */
PyObject *mod_make_daemon(PyObject *module, PyObject *ident);

#endif
