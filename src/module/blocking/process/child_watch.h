/*
 * Telling when some child changes, for waits that no single descriptor stands for: any child, a
 * process group, a child that is stopped or continued.
 *
 * For each selection that is waited for, one thread of the library's own, no Python thread, sits in
 * waitid() with WNOWAIT, which takes nothing, and wakes all who wait then. It is made when it is
 * needed and ends with its waitid(): when a wait is interrupted it stays until some child changes,
 * and serves those who wait for the same until then.
 */
#ifndef INTERRUPTION_BLOCKING_CHILD_WATCH_H
#define INTERRUPTION_BLOCKING_CHILD_WATCH_H

#include <sys/types.h>
#include <sys/wait.h>

#include "itr_own_fd.h"

/* The arguments of waitid(). */
typedef struct {
    idtype_t type;
    id_t id;
    int options; /* without WNOHANG and WNOWAIT */
} interruption_children;

typedef struct interruption_child_watch interruption_child_watch;

/* Begin to watch: every change from now on, and one that is there already, makes the watch's
   descriptor readable, once. NULL with errno set. Any thread. */
interruption_child_watch *interruption_child_watch_begin(const interruption_children *children);

const itr_own_fd *interruption_child_watch_fd(const interruption_child_watch *watch);

/* Around a fork: see lifecycle.h. */
void interruption_child_watch_before_fork(void);
void interruption_child_watch_after_fork_parent(void);
void interruption_child_watch_after_fork_child(void);

/* Stop watching, and free it. By who began it. */
void interruption_child_watch_end(interruption_child_watch *watch);

#endif
