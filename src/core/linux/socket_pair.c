/*
 * See itr_socket_pair.h. A message is a packet of one byte; in packets, nothing is taken from
 * another socket that carries a stream.
 *
 * It is sent to an address, and by "fast open". Our sockets heed neither. A file has no such call;
 * TCP, UDP and the other local sockets refuse the address, the first only when told to open: so
 * nothing arrives in what has got the number since we asked whose it is.
 */
#include "../itr_socket_pair.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

int
itr_socket_pair_open(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

void
itr_socket_pair_send(int fd)
{
    const struct sockaddr_un nowhere = {.sun_family = AF_UNIX};
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    ssize_t sent;
    do {
        sent = sendto(fd, "", 1, flags | MSG_FASTOPEN, (const struct sockaddr *)&nowhere,
                      (socklen_t)sizeof(nowhere.sun_family));
    } while (sent < 0 && errno == EINTR);
}

void
itr_socket_pair_drain(int fd)
{
    ssize_t taken; /* 0: the other end has been closed */
    do {
        taken = recv(fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC);
    } while (taken > 0 || (taken < 0 && errno == EINTR));
}
