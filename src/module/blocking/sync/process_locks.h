/*
 * The family of multiprocessing's locks and semaphores: _multiprocessing.SemLock. Enabled and
 * disabled by interpose.h's functions.
 */
#ifndef MOD_BLOCKING_PROCESS_LOCKS_H
#define MOD_BLOCKING_PROCESS_LOCKS_H

#include "interpose/interpose.h"

/* Not on every platform: to enable it raises ImportError or AttributeError then. */
extern mod_family mod_process_locks;

#endif
