/* See itr_socket_pair.h. A message is one byte of a stream, the kind of pair that all systems
   have. */
#include "../itr_socket_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static int
configure(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -1;
    }
#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, (socklen_t)sizeof(int));
#endif
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : 0;
}

int
itr_socket_pair_open(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) {
        return -1;
    }
    if (configure(ends[0]) < 0 || configure(ends[1]) < 0) {
        int error = errno;
        (void)close(ends[0]);
        (void)close(ends[1]);
        errno = error;
        return -1;
    }
    return 0;
}

void
itr_socket_pair_send(int fd)
{
    ssize_t sent;
    do {
        sent = send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
}

void
itr_socket_pair_drain(int fd)
{
    char buffer[64];
    ssize_t taken; /* 0: the other end has been closed */
    do {
        taken = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    } while (taken > 0 || (taken < 0 && errno == EINTR));
}
