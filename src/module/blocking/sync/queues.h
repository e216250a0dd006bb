/*
 * The family of _queue.SimpleQueue. Enabled and disabled by interpose.h's functions.
 */
#ifndef MOD_BLOCKING_QUEUES_H
#define MOD_BLOCKING_QUEUES_H

#include "interpose/interpose.h"

extern mod_family mod_queues;

#endif
