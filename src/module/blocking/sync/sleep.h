/*
 * The family of time.sleep. Enabled and disabled by interpose.h's functions.
 */
#ifndef MOD_BLOCKING_SLEEP_H
#define MOD_BLOCKING_SLEEP_H

#include "interpose/interpose.h"

extern mod_family mod_sleeps;

#endif
