/*
 * A pipe whose ends do not block and are not inherited by programs that this one starts.
 * Used by the portable parker and wake fd only.
 */
#ifndef ITR_POSIX_PIPE_H
#define ITR_POSIX_PIPE_H

/* Open it: 0, or -1 with errno set and both ends -1. */
int itr_pipe_open(int ends[2]);

/* Close what is open of it. */
void itr_pipe_close(int ends[2]);

/* Put one byte in; a full pipe is as good. */
void itr_pipe_put(const int ends[2]);

/* Take everything out. */
void itr_pipe_drain(const int ends[2]);

#endif
