/*
 * The family of time.sleep. Enabled and disabled by interpose.h's functions.
 */
#ifndef INTERRUPTION_BLOCKING_SLEEP_H
#define INTERRUPTION_BLOCKING_SLEEP_H

#include "interpose/interpose.h"

extern interruption_family interruption_sleeps;

#endif
