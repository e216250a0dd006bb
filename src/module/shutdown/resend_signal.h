/*
 * The system's handler of a signal that asks. Over Python's, or over that of a library in C: it is
 * told of every signal, sends it on, and sees to it that it wakes the main thread, also when it
 * comes a moment before that begins to wait.
 *
 * CPython notes a signal, and calls its handler in Python when the main thread is back between two
 * instructions. A signal that comes after that has last looked, and before the system call that it
 * waits in has begun, is not seen until the call ends: it may be `time.sleep(1000)`. With other
 * threads that want the GIL, which is given up just then, that is one signal in a hundred.
 *
 * So there is a timer for each signal that is looked after. The signal starts it; it sends the same
 * signal to the main thread once more, which breaks the call off and does nothing else; the handler
 * in Python stops it. The timers are Linux's: elsewhere there are none.
 */
#ifndef INTERRUPTION_RESEND_SIGNAL_H
#define INTERRUPTION_RESEND_SIGNAL_H

#include <signal.h>
#include <stdbool.h>

#include "state.h"

/* By the main thread: put ours over that handler. `foreign`: it is not Python's. */
void interruption_look_after_signal(int number, const struct sigaction *below, bool foreign);

/* The handler below ours, if ours is in `action`; else false. */
bool interruption_handler_below(int number, const struct sigaction *action,
                                struct sigaction *below);

/* A signal's number, -1 with an exception set if it is none. */
int interruption_as_signal(PyObject *number);

/* _signal_is_seen(number, first): the handler in Python runs. Two bools. Is the signal to be
   counted? One that the process has raised itself (signal.raise_signal) is, only if `first`; one
   that a foreign handler has passed on to Python is, if it has not been counted before. And is
   there a foreign handler? Safe anywhere. */
PyObject *interruption_signal_is_seen(PyObject *module, PyObject *args);

/* _signal_later(number): call the handler in Python in a moment, as if the signal had come. */
PyObject *interruption_signal_later(PyObject *module, PyObject *object);

/* _foreign_signals(): those that foreign handlers have had and that nobody has counted. */
PyObject *interruption_foreign_signals(PyObject *module, PyObject *unused);

/* By the main thread: a signal with a handler in Python that nobody sends, by which that is told of
   signals which foreign handlers have. 0: none. */
void interruption_leave_word_by(int number);

#endif
