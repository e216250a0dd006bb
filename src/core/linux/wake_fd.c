/* The wake fd on Linux: an eventfd, one descriptor for both ends. */
#define _GNU_SOURCE /* dup3 */
#include "../itr_wake_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
itr_wake_fd_open(itr_wake_fd *fd)
{
    int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fd->read_fd = fd->write_fd = made;
    return made < 0 ? -1 : 0;
}

void
itr_wake_fd_close(itr_wake_fd *fd)
{
    if (fd->read_fd >= 0) {
        (void)close(fd->read_fd);
    }
    *fd = ITR_NO_WAKE_FD;
}

void
itr_wake_fd_signal(const itr_wake_fd *fd)
{
    uint64_t one = 1;
    ssize_t written;
    do {
        written = write(fd->write_fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
}

void
itr_wake_fd_drain(const itr_wake_fd *fd)
{
    uint64_t count;
    ssize_t taken;
    do {
        taken = read(fd->read_fd, &count, sizeof(count));
    } while (taken < 0 && errno == EINTR);
}

void
itr_wake_fd_after_fork(itr_wake_fd *fd)
{
    if (fd->read_fd < 0) {
        return;
    }
    int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made < 0 || dup3(made, fd->read_fd, O_CLOEXEC) < 0) {
        itr_wake_fd_close(fd);
    }
    if (made >= 0) {
        (void)close(made);
    }
}
