/* See itr_wake_fd.h. What differs between systems: itr_socket_pair.h. */
#include "itr_wake_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "itr_socket_pair.h"

int
itr_wake_fd_open(itr_wake_fd *fd, bool shown)
{
    int ends[2];
    *fd = ITR_NO_WAKE_FD;
    if (itr_socket_pair_open(ends) < 0) {
        return -1;
    }
    bool reader =
        shown ? itr_own_fd_keep(&fd->reader, ends[0]) : itr_own_fd_take(&fd->reader, ends[0]);
    bool writer = itr_own_fd_take(&fd->writer, ends[1]);
    if (!reader || !writer) {
        int error = errno;
        itr_wake_fd_close(fd);
        errno = error;
        return -1;
    }
    return 0;
}

bool
itr_wake_fd_is_whole(const itr_wake_fd *fd)
{
    return itr_own_fd_is_ours(&fd->reader) && itr_own_fd_is_ours(&fd->writer);
}

void
itr_wake_fd_close(itr_wake_fd *fd)
{
    itr_own_fd_close(&fd->reader);
    itr_own_fd_close(&fd->writer);
}

void
itr_wake_fd_signal(const itr_wake_fd *fd)
{
    if (itr_own_fd_is_ours(&fd->writer)) {
        itr_socket_pair_send(fd->writer.fd);
    }
}

void
itr_wake_fd_drain(const itr_wake_fd *fd)
{
    if (itr_own_fd_is_ours(&fd->reader)) {
        itr_socket_pair_drain(fd->reader.fd);
    }
}

void
itr_wake_fd_after_fork(itr_wake_fd *fd)
{
    itr_wake_fd made;
    int number = fd->reader.fd;
    if (!itr_wake_fd_is_whole(fd) || itr_wake_fd_open(&made, true) < 0) {
        itr_wake_fd_close(fd);
        return;
    }
    /* There is one thread: the number is ours still. */
    bool moved = dup2(made.reader.fd, number) >= 0 && fcntl(number, F_SETFD, FD_CLOEXEC) == 0;
    itr_own_fd_close(&made.reader);
    itr_own_fd_close(&fd->writer);
    if (moved && itr_own_fd_keep(&fd->reader, number)) {
        fd->writer = made.writer;
    }
    else {
        itr_own_fd_close(&fd->reader);
        itr_own_fd_close(&made.writer);
    }
}
