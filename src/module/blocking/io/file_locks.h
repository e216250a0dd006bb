/* Locks on files: fcntl.flock, fcntl.lockf (S10). */
#ifndef MOD_BLOCKING_FILE_LOCKS_H
#define MOD_BLOCKING_FILE_LOCKS_H

#include "interpose/interpose.h"

extern mod_family mod_file_locks;

#endif
