/*
 * What may have to wait is read and written by streams.h; regular files never
 * wait: there, a read is only where a request may be raised, before it does anything (S10b).
 */
#include "blocking/interposed.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "blocking/numbers.h"
#include "blocking/io/streams.h"

/* A read begins. */
static int
enter_descriptor_read(const mod_call *call)
{
    int fd = -1;
    if (!mod_is_asked()) {
        return 0;
    }
    (void)mod_int_of(mod_call_argument(call, 0, NULL), &fd);
    return mod_stream_enter(fd);
}

/* The descriptor that is the first of so many arguments, if that is one which may have to be waited
   for. */
static bool
find_descriptor_stream(const mod_call *call, Py_ssize_t count, mod_stream *stream)
{
    int fd;
    return mod_call_count(call) == count && mod_int_of(mod_call_argument(call, 0, NULL), &fd) &&
           mod_stream_look(fd, stream);
}

static PyObject *
read_descriptor(const mod_call *call)
{
    if (enter_descriptor_read(call) < 0) {
        return NULL;
    }
    mod_stream stream;
    Py_ssize_t size;
    if (!find_descriptor_stream(call, 2, &stream) ||
        !mod_size_of(mod_call_argument(call, 1, NULL), &size) || size <= 0) {
        return mod_call_original(call);
    }
    return mod_read_bytes(call, &stream, size);
}

static PyObject *
write_descriptor(const mod_call *call)
{
    mod_stream stream;
    if (!find_descriptor_stream(call, 2, &stream)) {
        return mod_call_original(call);
    }
    return mod_write_buffer(call, &stream, mod_call_argument(call, 1, NULL));
}

MOD_REPLACEMENT(os_read, mod_called_inside, read_descriptor);
MOD_REPLACEMENT(os_write, mod_called_inside, write_descriptor);

/* From a file. -------------------------------------------------------------------------------- */

/* Send a piece of the file, from there on: so much as fits where poll() says that there is room,
   which is what is on one page of it. The count, or -1 with an exception set. */
static Py_ssize_t
send_piece(const mod_call *call, Py_ssize_t at, Py_ssize_t left)
{
    Py_ssize_t size = PIPE_BUF - at % PIPE_BUF;
    PyObject *arguments[] = {mod_call_argument(call, 0, "out_fd"),
                             mod_call_argument(call, 1, "in_fd"), PyLong_FromSsize_t(at),
                             PyLong_FromSsize_t(size < left ? size : left)};
    PyObject *result = NULL;
    if (arguments[2] != NULL && arguments[3] != NULL) {
        result = mod_call_method(call->method, call->self, arguments, 4);
    }
    Py_XDECREF(arguments[2]);
    Py_XDECREF(arguments[3]);
    Py_ssize_t count = result == NULL ? -1 : PyLong_AsSsize_t(result);
    Py_XDECREF(result);
    return count;
}

/* To a socket or pipe, piece by piece. */
static PyObject *
send_pieces(const mod_call *call, mod_stream *to, Py_ssize_t at, Py_ssize_t size)
{
    Py_ssize_t done = 0;
    while (done < size) {
        int ready = 1;
        while (ready == 1 && !mod_is_ready(to->fd, POLLOUT)) {
            ready = mod_stream_wait(to, POLLOUT, done > 0);
        }
        if (ready == MOD_OVER) {
            break;
        }
        if (ready == MOD_ORIGINALS && done == 0) {
            return mod_call_original(call);
        }
        if (ready == -1) {
            return NULL;
        }
        Py_ssize_t count = send_piece(call, at + done, size - done);
        if (count < 0 && done == 0) {
            return NULL;
        }
        if (count <= 0) {
            PyErr_Clear(); /* a part is done; the next call says it again */
            break;
        }
        done += count;
    }
    return PyLong_FromSsize_t(done);
}

static bool
is_regular(int fd)
{
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

/* poll() would never say that there is room in one that is open for reading only. */
static bool
can_be_written(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

static PyObject *
send_file(const mod_call *call)
{
    int to, from;
    Py_ssize_t size, at;
    mod_stream stream;
    if (mod_call_count(call) != 4 || !mod_size_of(mod_call_argument(call, 2, "offset"), &at) ||
        at < 0 || !mod_int_of(mod_call_argument(call, 0, "out_fd"), &to) ||
        !mod_int_of(mod_call_argument(call, 1, "in_fd"), &from) ||
        !mod_size_of(mod_call_argument(call, 3, "count"), &size) || size <= 0 ||
        !mod_stream_look(to, &stream) || !is_regular(from) || mod_is_nonblocking(to) ||
        !can_be_written(to)) {
        return mod_call_original(call);
    }
    return send_pieces(call, &stream, at, size);
}

MOD_REPLACEMENT(os_sendfile, mod_called_inside, send_file);

static const mod_row descriptor_rows[] = {
    {"posix", NULL, "read", &os_read, false},
    {"posix", NULL, "write", &os_write, false},
    {"posix", NULL, "sendfile", &os_sendfile, true},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_descriptors = {.name = "descriptors", .rows = descriptor_rows};
