/*
 * The family of Thread.join. Enabled and disabled by interpose.h's functions.
 *
 * From 3.13 on (gh-114271), joins.c: a thread is joined by its handle. Before, joins_by_lock.c: by
 * a lock that stands for its life, so that locks.c waits.
 */
#ifndef MOD_BLOCKING_JOINS_H
#define MOD_BLOCKING_JOINS_H

#include "interpose/interpose.h"

extern mod_family mod_joins;

#endif
