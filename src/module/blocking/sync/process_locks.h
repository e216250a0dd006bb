/*
 * The family of multiprocessing's locks and semaphores: _multiprocessing.SemLock. Enabled and
 * disabled by interpose.h's functions.
 */
#ifndef INTERRUPTION_BLOCKING_PROCESS_LOCKS_H
#define INTERRUPTION_BLOCKING_PROCESS_LOCKS_H

#include "interpose/interpose.h"

/* Not on every platform: to enable it raises ImportError or AttributeError then. */
extern interruption_family interruption_process_locks;

#endif
