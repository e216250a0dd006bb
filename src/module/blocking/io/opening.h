/* Opening a FIFO, which waits for its other end: os.open, open() (S10). */
#ifndef MOD_BLOCKING_OPENING_H
#define MOD_BLOCKING_OPENING_H

#include "interpose/interpose.h"

extern mod_family mod_opening;

#endif
