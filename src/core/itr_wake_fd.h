/*
 * A wake fd is a descriptor that can be made readable and unreadable again, so that a thread
 * can wait for its request beside other descriptors in a loop of its own.
 *
 * It is one end of a pair of sockets, whose other end nobody but us knows. Both can be told from
 * whatever the program opens under their numbers (itr_own_fd.h); what is sent is refused by files,
 * and by nearly all other sockets; nothing blocks. And if somebody closes both while a thread
 * polls, the end of the one wakes it.
 *
 * The record that holds one guards it: calls on one wake fd never overlap.
 */
#ifndef ITR_WAKE_FD_H
#define ITR_WAKE_FD_H

#include "itr_own_fd.h"

typedef struct {
    itr_own_fd reader; /* the one that users wait on; none: there is no wake fd yet */
    itr_own_fd writer;
} itr_wake_fd;

/* The wake fd that does not exist yet. */
#define ITR_NO_WAKE_FD ((itr_wake_fd){.reader = ITR_NO_FD, .writer = ITR_NO_FD})

/* Open one, not readable: 0, or -1 with errno set. It does not block and is closed on exec. If its
   number will be `shown` to the program, that is one like those of the program's own. */
int itr_wake_fd_open(itr_wake_fd *fd, bool shown);

/* Is it there, and both ends ours? If not, close it, which forgets it, and open another. */
bool itr_wake_fd_is_whole(const itr_wake_fd *fd);

/* Close what of it is ours, and forget it. */
void itr_wake_fd_close(itr_wake_fd *fd);

/* Make it readable, if it is ours. Never blocks; readable already is no error. */
void itr_wake_fd_signal(const itr_wake_fd *fd);

/* Make it unreadable, if it is ours. */
void itr_wake_fd_drain(const itr_wake_fd *fd);

/* In the child of a fork: separate it from the parent's, keeping the reader's number, and make it
   unreadable. If it is not whole, or the system has no descriptor left, it is closed. Only
   async-signal-safe calls. */
void itr_wake_fd_after_fork(itr_wake_fd *fd);

#endif
