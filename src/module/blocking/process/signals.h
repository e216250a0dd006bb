/* Waiting for signals: signal.sigwait and its like, signal.pause (S10). */
#ifndef MOD_BLOCKING_SIGNALS_H
#define MOD_BLOCKING_SIGNALS_H

#include "interpose/interpose.h"

extern mod_family mod_signals;

#endif
