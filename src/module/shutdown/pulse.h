/*
 * Can a thread of Python still run? (S30) Felt by the guard of watchdog.c, which is never attached.
 *
 * A thread of ours does nothing but take the GIL each time that it is told to, and give it back. If
 * it does not get it, somebody holds it in C: one who runs Python would have given it up. Without a
 * GIL, the world is stopped for as long. When the interpreter goes, only the thread that ends it
 * can run: then whether that is attached is looked at instead.
 */
#ifndef INTERRUPTION_PULSE_H
#define INTERRUPTION_PULSE_H

#include <stdbool.h>

#include "state.h"

/* By the main thread, attached: it can be felt from now on. False: the system has no thread left.
 */
bool interruption_pulse_begin(void);

/* By one thread at a time. Since the call before, could one run? `*within`: after so many
   nanoseconds to call it again. */
bool interruption_pulse_is_felt(int64_t *within);

void interruption_pulse_end(void);

/* The ident of the thread that feels for it, or 0: nobody has to ask that one to stop. */
uintptr_t interruption_pulse_thread(void);

/* Around a fork: see lifecycle.h. The child has no such thread. */
void interruption_pulse_before_fork(void);
void interruption_pulse_after_fork_parent(void);
void interruption_pulse_after_fork_child(void);

#endif
