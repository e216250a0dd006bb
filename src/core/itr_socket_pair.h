/*
 * Two sockets that are connected with each other, as a wake fd needs them (itr_wake_fd.h).
 * Implemented in linux/ and posix/. The caller knows that the descriptors are its own; another
 * thread may have closed and opened some in the moment since.
 */
#ifndef ITR_SOCKET_PAIR_H
#define ITR_SOCKET_PAIR_H

/* Open both: 0, or -1 with errno set. They do not block, and are closed on exec. */
int itr_socket_pair_open(int ends[2]);

/* Make the other end readable. */
void itr_socket_pair_send(int fd);

/* Make this end unreadable. */
void itr_socket_pair_drain(int fd);

#endif
