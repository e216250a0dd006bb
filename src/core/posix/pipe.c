/* See pipe.h. */
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int
configure(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -1;
    }
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : 0;
}

int
itr_pipe_open(int ends[2])
{
    if (pipe(ends) < 0) {
        ends[0] = ends[1] = -1;
        return -1;
    }
    if (configure(ends[0]) < 0 || configure(ends[1]) < 0) {
        int error = errno;
        itr_pipe_close(ends);
        errno = error;
        return -1;
    }
    return 0;
}

void
itr_pipe_close(int ends[2])
{
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0) {
            (void)close(ends[i]);
            ends[i] = -1;
        }
    }
}

void
itr_pipe_put(const int ends[2])
{
    ssize_t written;
    do {
        written = write(ends[1], "", 1);
    } while (written < 0 && errno == EINTR);
}

void
itr_pipe_drain(const int ends[2])
{
    char buffer[64];
    ssize_t taken;
    do {
        taken = read(ends[0], buffer, sizeof(buffer));
    } while (taken > 0 || (taken < 0 && errno == EINTR));
}
