/*
 * Threads of the library's own, which run in the background. A thread of the process's would be
 * given its signals: these take none. Nobody joins them.
 */
#ifndef ITR_BACKGROUND_H
#define ITR_BACKGROUND_H

#include <stddef.h>

/* Start one. stack_size: in bytes; 0, or one that is refused: the system's. 0, or an errno value.
 */
int itr_start_background(void *(*run)(void *argument), void *argument, size_t stack_size);

#endif
