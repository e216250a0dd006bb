/* Waiting for signals: signal.sigwait and its like, signal.pause (S10). */
#ifndef INTERRUPTION_BLOCKING_SIGNALS_H
#define INTERRUPTION_BLOCKING_SIGNALS_H

#include "interpose/interpose.h"

extern interruption_family interruption_signals;

#endif
