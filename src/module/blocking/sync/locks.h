/*
 * The family of locks: _thread.lock and _thread.RLock. Enabled and disabled by interpose.h's
 * functions.
 */
#ifndef MOD_BLOCKING_LOCKS_H
#define MOD_BLOCKING_LOCKS_H

#include "interpose/interpose.h"
#include "itr_record.h"

extern mod_family mod_locks;

/* The lock that stands for a thread's life (until gh-114271), if an exception has just ended the
   calling thread's wait for it. Only compared. */
extern ITR_TLS const PyObject *mod_left_lock;

#endif
