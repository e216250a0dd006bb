/* Opening a FIFO, which waits for its other end: os.open, open() (S10). */
#ifndef INTERRUPTION_BLOCKING_OPENING_H
#define INTERRUPTION_BLOCKING_OPENING_H

#include "interpose/interpose.h"

extern interruption_family interruption_opening;

#endif
