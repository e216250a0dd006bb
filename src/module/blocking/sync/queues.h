/*
 * The family of _queue.SimpleQueue. Enabled and disabled by interpose.h's functions.
 */
#ifndef INTERRUPTION_BLOCKING_QUEUES_H
#define INTERRUPTION_BLOCKING_QUEUES_H

#include "interpose/interpose.h"

extern interruption_family interruption_queues;

#endif
