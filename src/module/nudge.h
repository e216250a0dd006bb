/*
 * A signal wakes the main thread, also when it comes a moment before that begins to wait.
 *
 * CPython notes a signal, and calls its handler in Python when the main thread is back between two
 * instructions. A signal that comes after that has last looked, and before the system call that it
 * waits in has begun, is not seen until the call ends: it may be `time.sleep(1000)`. With other
 * threads that want the GIL, which is given up just then, that is one signal in a hundred.
 *
 * So there is a timer for each signal that is looked after. The signal starts it; it sends the same
 * signal to the main thread once more, which breaks the call off and does nothing else; the handler
 * in Python stops it. Linux only: elsewhere the functions do nothing.
 */
#ifndef INTERRUPTION_NUDGE_H
#define INTERRUPTION_NUDGE_H

#include "state.h"

/* By the main thread: look after that signal, whose handler has just been set by signal.signal().
   The next signal.signal() ends it. */
PyObject *interruption_nudge(PyObject *module, PyObject *number);

/* The handler in Python runs. Safe anywhere. */
PyObject *interruption_signal_is_seen(PyObject *module, PyObject *number);

#endif
