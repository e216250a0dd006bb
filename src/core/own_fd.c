/*
 * See itr_own_fd.h. Sockets and pipes have inodes of their own. All pidfds (before Linux 6.9) and
 * signalfds share one. What tells ours from those is a mark in the open file itself: the signal
 * that would announce input, if the file had been asked to announce any, which it never is.
 * SIGSTKFLT serves for nothing else.
 */
#include "itr_own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define ALONE __libc_single_threaded
#endif
#endif
#ifndef ALONE
#define ALONE false
#endif

#ifdef F_SETSIG

static bool
set_mark(int fd)
{
    return fcntl(fd, F_SETSIG, SIGSTKFLT) == 0;
}

static bool
has_mark(int fd)
{
    return fcntl(fd, F_GETSIG) == SIGSTKFLT;
}

#else

static bool
set_mark(int fd)
{
    (void)fd;
    return true;
}

static bool
has_mark(int fd)
{
    (void)fd;
    return true;
}

#endif

enum { HIGH = 512 }; /* half of what is usually allowed, and good for select() */

/* Its copy with a high number; -1: there is none left. */
static int
copy_high(int fd)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return -1;
    }
    int lowest = limit.rlim_cur < 2 * HIGH ? (int)(limit.rlim_cur / 2) : HIGH;
    return fcntl(fd, F_DUPFD_CLOEXEC, lowest);
}

void
itr_own_fd_init(void)
{
    if (ALONE) {
        int copy = copy_high(0);
        (void)(copy < 0 ? 0 : close(copy));
    }
}

bool
itr_own_fd_take(itr_own_fd *own, int fd)
{
    int copy = fd < 0 ? -1 : copy_high(fd);
    if (copy >= 0) {
        (void)close(fd);
    }
    return itr_own_fd_keep(own, copy < 0 ? fd : copy);
}

bool
itr_own_fd_keep(itr_own_fd *own, int fd)
{
    struct stat found;
    *own = ITR_NO_FD;
    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &found) < 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return false;
    }
    *own = (itr_own_fd){.fd = fd,
                        .type = (uint16_t)(found.st_mode & S_IFMT),
                        .marked = !S_ISSOCK(found.st_mode) && set_mark(fd),
                        .inode = (uint64_t)found.st_ino};
    return true;
}

bool
itr_own_fd_is_ours(const itr_own_fd *own)
{
    struct stat found;
    return own->fd >= 0 && fstat(own->fd, &found) == 0 &&
           (uint16_t)(found.st_mode & S_IFMT) == own->type &&
           (uint64_t)found.st_ino == own->inode && (!own->marked || has_mark(own->fd));
}

void
itr_own_fd_close(itr_own_fd *own)
{
    if (itr_own_fd_is_ours(own)) {
        (void)close(own->fd);
    }
    *own = ITR_NO_FD;
}
