/*
 * The handlers of the signals that ask: Python's, and the system's below it.
 *
 * A program sees the handlers that it has set itself, and sets others, as if we were not there:
 * `signal.signal` and `signal.getsignal` are interposed, so that what really stands in Python's
 * table may be a handler of ours around the program's. Which one, is said by _signals.py.
 *
 * A handler in C that is not Python's (a library has set it by sigaction) stays, and gets the
 * signal; Python is left word beside it. By the main thread, but for the interposed functions.
 */
#ifndef MOD_SIGNAL_HOOK_H
#define MOD_SIGNAL_HOOK_H

#include "state.h"

/* _hook_signals(wrap, unwrap, see): interpose. `wrap(number, handler)` is what is to be set in the
   place of what the program sets, `unwrap(handler)` what the program is shown. None: undo it. */
PyObject *mod_hook_signals(PyObject *module, PyObject *functions);

/* _call_handler(program, number, frame): what a _Handler around the program's does: call
   `see(program, number, frame)`, which returns what else is to be called, or raised, or None. In C,
   so that no frame of ours is between the program and what it is told by an exception. */
PyObject *mod_call_handler(PyObject *module, PyObject *args);

/* _leave_word_by(number, handler, left): set that in Python only. From then on, or if not `left` no
   more, it is called after each signal that a handler in C has. */
PyObject *mod_set_word(PyObject *module, PyObject *args);

/* _set_handler(number, handler, looked_after): as the original signal.signal, but a handler in C
   that is not Python's stays. looked_after: every signal is told of from now on (signal_handler.h).
 */
PyObject *mod_set_handler(PyObject *module, PyObject *args);

#endif
