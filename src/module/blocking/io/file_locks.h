/* Locks on files: fcntl.flock, fcntl.lockf (S10). */
#ifndef INTERRUPTION_BLOCKING_FILE_LOCKS_H
#define INTERRUPTION_BLOCKING_FILE_LOCKS_H

#include "interpose/interpose.h"

extern interruption_family interruption_file_locks;

#endif
