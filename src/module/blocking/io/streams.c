/*
 * See streams.h. Linux reads and writes pipes and sockets without waiting if it is asked to
 * (RWF_NOWAIT), whatever the descriptor's flags are. FIFOs, terminals and what else it does not do
 * that with are read, and written a little, when poll() finds them ready.
 */
#include "blocking/io/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

/* One read or write. */
typedef struct {
    mod_stream *stream;
    char *buffer;
    size_t size, done;
    bool writes;
    bool began; /* `waiting` and `deadline` are filled in */
    mod_waiting waiting;
    itr_deadline deadline;
} transfer;

/* What a step of it comes to, besides counts and -1. */
enum { AGAIN = -4, NOT_SUPPORTED = -5 };

/* Looking at a descriptor. -------------------------------------------------------------------- */

static bool
look_at_descriptor(int fd, mod_stream *stream)
{
#if defined(__linux__) && defined(AT_STATX_DONT_SYNC)
    /* Without the GIL being let go of, so no file server may be asked. */
    struct statx found;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &found) < 0) {
        return false;
    }
    *stream = (mod_stream){.fd = fd,
                           .looked = true,
                           .mode = found.stx_mode,
                           .device = (uint64_t)found.stx_dev_major << 32 | found.stx_dev_minor,
                           .inode = found.stx_ino};
#else
    struct stat found;
    if (fstat(fd, &found) < 0) {
        return false;
    }
    *stream = (mod_stream){.fd = fd,
                           .looked = true,
                           .mode = found.st_mode,
                           .device = (uint64_t)found.st_dev,
                           .inode = (uint64_t)found.st_ino};
#endif
    return true;
}

bool
mod_stream_look(int fd, mod_stream *stream)
{
    if (fd < 0) {
        return false;
    }
    /* What has no position is none of the three below; to ask that is the quickest. */
    if (lseek(fd, 0, SEEK_CUR) < 0 && errno == ESPIPE) {
        *stream = (mod_stream){.fd = fd};
        return true;
    }
    return look_at_descriptor(fd, stream) && !S_ISREG(stream->mode) && !S_ISDIR(stream->mode) &&
           !S_ISBLK(stream->mode);
}

int
mod_stream_enter(int fd)
{
    if (!mod_is_asked()) {
        return 0;
    }
    return mod_is_nonblocking(fd) ? 0 : mod_wait_entry_asked();
}

/* The number may have been closed, and stand for another file. */
static bool
is_same(mod_stream *stream)
{
    mod_stream now;
    return look_at_descriptor(stream->fd, &now) && now.device == stream->device &&
           now.inode == stream->inode;
}

/* Waiting. ------------------------------------------------------------------------------------ */

itr_deadline
mod_stream_limit(int socket, short events)
{
    struct timeval limit = {0};
    socklen_t size = sizeof(limit);
    int option = events & POLLIN ? SO_RCVTIMEO : SO_SNDTIMEO;
    if (getsockopt(socket, SOL_SOCKET, option, &limit, &size) < 0 ||
        (limit.tv_sec == 0 && limit.tv_usec == 0) || limit.tv_sec > INT64_MAX / 2000000000) {
        return ITR_NEVER;
    }
    return itr_deadline_after((int64_t)limit.tv_sec * 1000000000 + (int64_t)limit.tv_usec * 1000);
}

/* It has to wait: may it, and be interrupted? */
static bool
begin_transfer(transfer *of)
{
    if (of->began) {
        return true;
    }
    int fd = of->stream->fd;
    if ((!of->stream->looked && !look_at_descriptor(fd, of->stream)) || mod_is_nonblocking(fd) ||
        !mod_wait_begin(&of->waiting)) {
        return false;
    }
    of->deadline = S_ISSOCK(of->stream->mode) ? mod_stream_limit(fd, of->writes ? POLLOUT : POLLIN)
                                              : ITR_NEVER;
    of->began = true;
    return true;
}

/* It would have to wait. AGAIN; MOD_OVER; or -1 with an exception set. */
static Py_ssize_t
wait_for_descriptor(transfer *of)
{
    if (of->done > 0 && mod_wait_asked(&of->waiting)) {
        return MOD_OVER;
    }
    if (mod_wait_check(&of->waiting) < 0) {
        return -1;
    }
    struct pollfd fds[2] = {{.fd = of->stream->fd, .events = of->writes ? POLLOUT : POLLIN}};
    of->waiting.quiet = of->done > 0; /* that is the result, then */
    int ready = mod_wait_for_fds(&of->waiting, fds, 1, of->deadline);
    mod_wait_over(&of->waiting);
    if (ready < 0) {
        return -1;
    }
    if (ready > 0 && fds[0].revents == 0) {
        return MOD_OVER;
    }
    errno = ready == 0 ? EAGAIN : EBADF;
    if (ready == 0 || !is_same(of->stream)) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return AGAIN;
}

int
mod_stream_wait(mod_stream *stream, short events, bool partly)
{
    transfer of = {.stream = stream, .writes = events == POLLOUT, .done = partly};
    if (!begin_transfer(&of)) {
        return MOD_ORIGINALS;
    }
    Py_ssize_t step = wait_for_descriptor(&of);
    return step == AGAIN ? 1 : (int)step;
}

/* Trying. ------------------------------------------------------------------------------------- */

typedef enum {
    ASK_KERNEL, /* not to wait, this time */
    ASK_POLL,   /* whether it will have to wait, first */
    PLAIN,      /* the descriptor does not wait, or may */
} manner;

static ssize_t
transfer_some(const transfer *of, manner how)
{
    int fd = of->stream->fd;
    struct iovec part = {of->buffer + of->done, of->size - of->done};
    if (how == ASK_POLL) {
        struct pollfd look_at = {.fd = fd, .events = of->writes ? POLLOUT : POLLIN};
        if (poll(&look_at, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        if (of->writes && part.iov_len > PIPE_BUF) {
            part.iov_len = PIPE_BUF;
        }
    }
    if (how != ASK_KERNEL) {
        return of->writes ? write(fd, part.iov_base, part.iov_len)
                          : read(fd, part.iov_base, part.iov_len);
    }
#ifdef RWF_NOWAIT
    return of->writes ? pwritev2(fd, &part, 1, -1, RWF_NOWAIT)
                      : preadv2(fd, &part, 1, -1, RWF_NOWAIT);
#else
    errno = EOPNOTSUPP;
    return -1;
#endif
}

/* So many bytes are copied sooner than the GIL is let go of and taken again. */
enum { SMALL = 4096 };

/* Try it once. A count, AGAIN, NOT_SUPPORTED, MOD_ORIGINALS, or -1 with an exception set. */
static Py_ssize_t
try_once(const transfer *of, manner how)
{
    for (;;) {
        ssize_t count;
        int error;
        if (how == ASK_KERNEL && of->size - of->done <= SMALL) {
            count = transfer_some(of, how);
            error = errno;
        }
        else {
            Py_BEGIN_ALLOW_THREADS
            count = transfer_some(of, how);
            error = errno;
            Py_END_ALLOW_THREADS
        }
        if (count >= 0) {
            return count;
        }
        if (error == EAGAIN || error == EWOULDBLOCK) {
            return AGAIN;
        }
        if (how == ASK_KERNEL && (error == EOPNOTSUPP || error == ENOSYS)) {
            return NOT_SUPPORTED;
        }
        if ((error == EBADF || error == EINVAL) && of->done == 0 && !of->began) {
            return MOD_ORIGINALS;
        }
        if (error != EINTR && of->done > 0) {
            return 0; /* the part that was done is the result, the error is the next call's */
        }
        if (error != EINTR) {
            errno = error;
            (void)PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
    }
}

/* What is left, when it cannot be interrupted, or is not to be waited for: as write() does. */
static Py_ssize_t
finish_transfer(const transfer *of)
{
    Py_ssize_t count = try_once(of, PLAIN);
    if (count == AGAIN) {
        count = 0;
    }
    return count < 0 ? count : (Py_ssize_t)of->done + count;
}

/* Is it done with that step? `*result` is the result then. */
static bool
is_result(transfer *of, Py_ssize_t step, Py_ssize_t *result)
{
    if (step > 0) {
        of->done += (size_t)step;
    }
    *result = step < 0 ? step : (Py_ssize_t)of->done;
    return step < 0 ? step != AGAIN : !of->writes || step == 0 || of->done == of->size;
}

/* It has to wait. AGAIN, or the result. */
static Py_ssize_t
wait_for_transfer(transfer *of)
{
    if (!begin_transfer(of)) {
        return of->done > 0 ? finish_transfer(of) : MOD_ORIGINALS;
    }
    Py_ssize_t step = wait_for_descriptor(of);
    return step == MOD_OVER ? (Py_ssize_t)of->done : step;
}

static Py_ssize_t
transfer_by(transfer *of, manner how)
{
    Py_ssize_t result, step = try_once(of, how);
    while (!is_result(of, step, &result)) {
        if (step == AGAIN) {
            step = wait_for_transfer(of);
            if (step != AGAIN) {
                return step;
            }
        }
        step = try_once(of, how);
    }
    return result;
}

static Py_ssize_t
run_transfer(transfer *of)
{
    Py_ssize_t result = transfer_by(of, ASK_KERNEL);
    if (result != NOT_SUPPORTED) {
        return result;
    }
    return begin_transfer(of) ? transfer_by(of, ASK_POLL) : MOD_ORIGINALS;
}

Py_ssize_t
mod_stream_read(mod_stream *stream, void *buffer, size_t size)
{
    return run_transfer(&(transfer){.stream = stream, .buffer = buffer, .size = size});
}

Py_ssize_t
mod_stream_write(mod_stream *stream, const void *buffer, size_t size)
{
    return run_transfer(
        &(transfer){.stream = stream, .buffer = (char *)buffer, .size = size, .writes = true});
}

/* For calls. ----------------------------------------------------------------------------------- */

PyObject *
mod_read_bytes(const mod_call *call, mod_stream *stream, Py_ssize_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes == NULL) {
        return NULL;
    }
    Py_ssize_t count = mod_stream_read(stream, PyBytes_AS_STRING(bytes), (size_t)size);
    if (count < 0) {
        Py_DECREF(bytes);
        return count == MOD_ORIGINALS ? mod_call_original(call) : NULL;
    }
    if (count != size) {
        (void)_PyBytes_Resize(&bytes, count);
    }
    return bytes;
}

PyObject *
mod_write_buffer(const mod_call *call, mod_stream *stream, PyObject *data)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return mod_call_original(call);
    }
    Py_ssize_t count = MOD_ORIGINALS;
    if (buffer.len > 0) {
        count = mod_stream_write(stream, buffer.buf, (size_t)buffer.len);
    }
    PyBuffer_Release(&buffer);
    if (count == MOD_ORIGINALS) {
        return mod_call_original(call);
    }
    return count < 0 ? NULL : PyLong_FromSsize_t(count);
}
