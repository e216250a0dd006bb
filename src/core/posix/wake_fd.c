/* The wake fd for systems without eventfd: a pipe. */
#include "../itr_wake_fd.h"

#include <fcntl.h>
#include <unistd.h>

#include "pipe.h"

int
itr_wake_fd_open(itr_wake_fd *fd)
{
    int ends[2];
    int status = itr_pipe_open(ends);
    *fd = (itr_wake_fd){.read_fd = ends[0], .write_fd = ends[1]};
    return status;
}

void
itr_wake_fd_close(itr_wake_fd *fd)
{
    int ends[2] = {fd->read_fd, fd->write_fd};
    itr_pipe_close(ends);
    *fd = ITR_NO_WAKE_FD;
}

void
itr_wake_fd_signal(const itr_wake_fd *fd)
{
    itr_pipe_put((const int[2]){fd->read_fd, fd->write_fd});
}

void
itr_wake_fd_drain(const itr_wake_fd *fd)
{
    itr_pipe_drain((const int[2]){fd->read_fd, fd->write_fd});
}

void
itr_wake_fd_after_fork(itr_wake_fd *fd)
{
    if (fd->read_fd < 0) {
        return;
    }
    int ends[2];
    if (itr_pipe_open(ends) < 0) {
        itr_wake_fd_close(fd);
        return;
    }
    if (dup2(ends[0], fd->read_fd) < 0 || fcntl(fd->read_fd, F_SETFD, FD_CLOEXEC) < 0) {
        itr_pipe_close(ends);
        itr_wake_fd_close(fd);
        return;
    }
    (void)close(ends[0]);
    (void)close(fd->write_fd);
    fd->write_fd = ends[1];
}
