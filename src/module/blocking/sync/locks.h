/*
 * The family of locks: _thread.lock and _thread.RLock. Enabled and disabled by interpose.h's
 * functions.
 */
#ifndef INTERRUPTION_BLOCKING_LOCKS_H
#define INTERRUPTION_BLOCKING_LOCKS_H

#include "interpose/interpose.h"
#include "itr_record.h"

extern interruption_family interruption_locks;

/* The lock that stands for a thread's life (until gh-114271), if an exception has just ended the
   calling thread's wait for it. Only compared. */
extern ITR_TLS const PyObject *interruption_left_lock;

#endif
