/* Waiting for children: os.waitpid and its like, and so subprocess and multiprocessing (S10). */
#ifndef INTERRUPTION_BLOCKING_CHILDREN_H
#define INTERRUPTION_BLOCKING_CHILDREN_H

#include "interpose/interpose.h"

extern interruption_family interruption_child_waits;

#endif
