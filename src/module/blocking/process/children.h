/* Waiting for children: os.waitpid and its like, and so subprocess and multiprocessing (S10). */
#ifndef MOD_BLOCKING_CHILDREN_H
#define MOD_BLOCKING_CHILDREN_H

#include "interpose/interpose.h"

extern mod_family mod_child_waits;

#endif
