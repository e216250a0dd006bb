/*
 * The system's handler of a signal that asks. Over Python's, or over that of a library in C: it is
 * told of every signal, sends it on, and sees to it that the main thread hears of it (S30).
 *
 * CPython notes a signal, and calls its handler in Python when the main thread is back between two
 * instructions. Two things are in the way of that, and each signal has a timer for either. The
 * signal starts them, and the handler in Python stops them. They are Linux's: elsewhere there are
 * none.
 *
 * - A signal that comes after CPython has last looked, and before the system call that the main
 *   thread waits in has begun, is not seen until the call ends: it may be `time.sleep(1000)`. With
 *   other threads that want the GIL, which is given up just then, that is one signal in a hundred.
 *   So the timer sends the same signal to the main thread once more, which breaks the call off.
 * - While somebody holds the GIL in C there are no instructions, and a SIGTERM that would have
 *   ended the process without us does nothing. So the other timer sends the same signal when the
 *   time is up, and the handler in C that gets it ends the process. A thread would do as well, but
 *   a signal handler can start none, and one that is started before would be seen by whoever forks
 *   (CPython warns: gh-100228).
 *
 * They are two because the first is the main thread's, so that it breaks off no other one's calls,
 * and the second any thread's, so that it comes where the main thread has the signal blocked.
 */
#ifndef MOD_SIGNAL_HANDLER_H
#define MOD_SIGNAL_HANDLER_H

#include "state.h" /* with Python.h, which has to come first */

#include <signal.h>
#include <stdbool.h>

/* By the main thread: put ours over that handler. `foreign`: it is not Python's. `fatal`: without
   us that signal would end the process at once. */
void mod_look_after_signal(int number, const struct sigaction *below, bool foreign, bool fatal);

/* The handler below ours, if ours is in `action`; else false. */
bool mod_handler_below(int number, const struct sigaction *action, struct sigaction *below);

/* A signal's number, as a converter of PyArg_ParseTuple ("O&"): 1; 0 with an exception set. */
int mod_as_signal(PyObject *object, void *number);

/*
 * _watch_signal(number, seconds, seconds_if_fatal): by the main thread, of a signal that is looked
 * after: how long the handler in Python may be waited for, and then the GIL; infinite: as long as
 * it takes, but for the third signal.
 */
PyObject *mod_watch_signal(PyObject *module, PyObject *args);

/* _signal_is_seen(number, first): the handler in Python runs. Two bools. Is the signal to be
   counted? One that the process has raised itself (signal.raise_signal) is, only if `first`; one
   that a foreign handler has passed on to Python is, if it has not been counted before. And is
   there a foreign handler? Safe anywhere. */
PyObject *mod_signal_is_seen(PyObject *module, PyObject *args);

/* _signal_later(number): call the handler in Python in a moment, as if the signal had come. */
PyObject *mod_signal_later(PyObject *module, PyObject *object);

/* _foreign_signals(): those that foreign handlers have had and that nobody has counted. */
PyObject *mod_foreign_signals(PyObject *module, PyObject *unused);

/* By the main thread: a signal with a handler in Python that nobody sends, by which that is told of
   signals which foreign handlers have. 0: none. */
void mod_leave_word_by(int number);

/* By the main thread, attached: our handler in Python has done all about what has come. The
   watchdog takes over, for what is to end the process. */
void mod_signals_answered(void);

/* By the main thread, attached: it is as if none had come. */
void mod_signals_forgotten(void);

/* By the main thread, attached: the process ends by that signal. The watchdog is on guard, if the
   signal is fatal. */
void mod_ends_by_signal(int number);

/* In the child of a fork: see lifecycle.h. None has come. */
void mod_signals_after_fork_child(void);

#endif
