/*
 * The family of locks: _thread.lock, _thread.RLock, and the locks among multiprocessing's
 * semaphores. Enabled and disabled by interpose.h's functions.
 */
#ifndef INTERRUPTION_BLOCKING_LOCKS_H
#define INTERRUPTION_BLOCKING_LOCKS_H

#include "interpose.h"

extern interruption_family interruption_locks;

/* Not on every platform: to enable it raises ImportError or AttributeError then. */
extern interruption_family interruption_process_locks;

#endif
