/*
 * A wake fd is a descriptor that can be made readable and unreadable again, so that a thread
 * can wait for its request beside other descriptors in a loop of its own.
 *
 * The record that holds one guards it: calls on one wake fd never overlap.
 */
#ifndef ITR_WAKE_FD_H
#define ITR_WAKE_FD_H

typedef struct {
    int read_fd;  /* the one that users wait on; -1: there is none yet */
    int write_fd; /* the same as read_fd where one descriptor does both */
} itr_wake_fd;

/* The wake fd that does not exist yet. */
#define ITR_NO_WAKE_FD ((itr_wake_fd){.read_fd = -1, .write_fd = -1})

/* Open one, not readable: 0, or -1 with errno set. It does not block and is closed on exec. */
int itr_wake_fd_open(itr_wake_fd *fd);

/* Close it, if it is there. */
void itr_wake_fd_close(itr_wake_fd *fd);

/* Make it readable. Never blocks; readable already is no error. */
void itr_wake_fd_signal(const itr_wake_fd *fd);

/* Make it unreadable. */
void itr_wake_fd_drain(const itr_wake_fd *fd);

/* In the child of a fork: separate it from the parent's, keeping read_fd's number, and make it
   unreadable. Where the system has no descriptor left it is closed. Only async-signal-safe calls.
 */
void itr_wake_fd_after_fork(itr_wake_fd *fd);

#endif
