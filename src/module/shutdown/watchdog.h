/*
 * A process that was told to end ends in time, whatever it is in the midst of (S30).
 *
 * Python runs signal handlers in the main thread, between two of its instructions. While somebody
 * holds the GIL in C there are none, and a SIGTERM that would have ended the process without us
 * does nothing. So here is who needs no GIL. Two of them, as a signal handler in C can start no
 * thread, and a thread that is started before would be seen by whoever forks (CPython warns:
 * gh-100228):
 *
 * - until the handler in Python runs, a timer of the system's, started by the signal. It sends the
 *   same signal again, and the handler in C that gets it ends the process. Linux only;
 * - from then on a plain thread without a thread state, the guard. It sleeps until the time is up;
 *   and after a signal that would have ended the process without us it stays until the process has
 *   ended, whatever that is at, and bounds how long nobody can run (pulse.h).
 *
 * Both say on stderr what the threads are doing, and end the process by that signal.
 */
#ifndef INTERRUPTION_WATCHDOG_H
#define INTERRUPTION_WATCHDOG_H

#include "state.h" /* with Python.h, which has to come first */

#include <signal.h>
#include <stdbool.h>

/*
 * A signal has come: to be called by the handler in C, for each but those that a timer sends.
 * Async-signal-safe, as the next one. May end the process: with the third signal, when nobody has
 * run the handler in Python since the first.
 */
void interruption_signal_came(int number);

/* Is that signal one of the timer's? Then all has been done about it, if this returns at all. */
bool interruption_signal_is_the_watchdogs(const siginfo_t *info);

/* By the main thread, attached: our handler in Python has done all about what has come. The guard
   takes over. */
void interruption_watchdog_answered(void);

/* By the main thread: whether that signal would end the process at once, without us. */
void interruption_watchdog_is_fatal(int number, bool fatal);

/*
 * By the main thread, of a signal whose handler in C calls the above: how long the handler in
 * Python may be waited for, in seconds, and then the GIL; None: as long as it takes, but for the
 * third signal. (number, seconds, seconds if it is fatal)
 */
PyObject *interruption_watch_signal(PyObject *module, PyObject *args);

/*
 * The process is to have ended in so many seconds; None: not after all. By that signal; if the
 * number is 0, with that status. (seconds, number, status)
 */
PyObject *interruption_end_within(PyObject *module, PyObject *args);

/* By the main thread: the process ends by that signal. The guard is on, unless it is not fatal. */
void interruption_watchdog_stays(int number);

/* Nobody can hold up anybody any more. */
void interruption_watchdog_python_has_gone(void);

/* Around a fork: see lifecycle.h. The parent's end is not the child's. */
void interruption_watchdog_before_fork(void);
void interruption_watchdog_after_fork_parent(void);
void interruption_watchdog_after_fork_child(void);

#endif
