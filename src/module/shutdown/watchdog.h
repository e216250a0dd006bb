/*
 * A process that was told to end ends in time, whatever it is in the midst of (S30).
 *
 * Until the handler in Python has run, timers of the system's see to that (signal_handler.h). From
 * then on a plain thread without a thread state does, the guard: it needs no GIL. It sleeps until
 * the time is up; and after a signal that would have ended the process without us it stays until
 * the process has ended, whatever that is at, and bounds how long nobody can run.
 *
 * Can a thread of Python still run? Each time that the guard looks, another thread of ours, which
 * does nothing else, takes the GIL and gives it back. If it has not got it by the next time,
 * somebody holds it in C: one who runs Python would have given it up. Without a GIL, the world is
 * stopped for as long. When the interpreter goes, only the thread that ends it can run: then
 * whether that is attached is looked at instead.
 *
 * The end of the process is last_words.h's.
 */
#ifndef MOD_WATCHDOG_H
#define MOD_WATCHDOG_H

#include "state.h" /* with Python.h, which has to come first */

#include <stdbool.h>

#include "itr_clock.h"

/* As many nanoseconds; without an end: ITR_NEVER. */
static inline int64_t
mod_nanoseconds(double seconds)
{
    return seconds < 1e9 ? (int64_t)((seconds > 0 ? seconds : 0) * 1e9) : ITR_NEVER;
}

/* By the main thread, attached: the process ends by that signal, which came at `since`; from now on
   let nobody hold up all others for so long. */
void mod_watchdog_stays(int number, int64_t patience, int64_t since);

/* The process is to have ended in so many nanoseconds, by that signal; if the number is 0, with
   that status. False: the system has no thread left. */
bool mod_watchdog_ends(int64_t within, int number, int status);

/* Nothing is due any more. */
void mod_watchdog_forget(void);

/* Nobody can hold up anybody any more. */
void mod_watchdog_python_has_gone(void);

/* The ident of the thread that probes whether one can run, or 0: nobody has to ask it to stop. */
uintptr_t mod_watchdog_probe(void);

/* Around a fork: see lifecycle.h. The parent's end is not the child's. */
void mod_watchdog_before_fork(void);
void mod_watchdog_after_fork_parent(void);
void mod_watchdog_after_fork_child(void);

#endif
