/*
 * See descriptors.h. What may have to wait is read and written by streams.h; regular files never
 * wait: there, a read is only where a request may be raised, before it does anything (S10b).
 */
#include "blocking/io/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "blocking/numbers.h"
#include "blocking/io/streams.h"

/* A read begins. */
static int
enter_descriptor_read(const interruption_call *call)
{
    int fd = -1;
    if (!interruption_is_asked()) {
        return 0;
    }
    (void)interruption_int_of(interruption_call_argument(call, 0, NULL), &fd);
    return interruption_stream_enter(fd);
}

/* What is only a point of delivery. */
static PyObject *
read_at(const interruption_call *call)
{
    return enter_descriptor_read(call) < 0 ? NULL : interruption_call_original(call);
}

PyObject *
interruption_read_bytes(const interruption_call *call, interruption_stream *stream, Py_ssize_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes == NULL) {
        return NULL;
    }
    Py_ssize_t count = interruption_stream_read(stream, PyBytes_AS_STRING(bytes), (size_t)size);
    if (count < 0) {
        Py_DECREF(bytes);
        return count == INTERRUPTION_ORIGINALS ? interruption_call_original(call) : NULL;
    }
    if (count != size) {
        (void)_PyBytes_Resize(&bytes, count);
    }
    return bytes;
}

PyObject *
interruption_write_buffer(const interruption_call *call, interruption_stream *stream,
                          PyObject *data)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return interruption_call_original(call);
    }
    Py_ssize_t count = INTERRUPTION_ORIGINALS;
    if (buffer.len > 0) {
        count = interruption_stream_write(stream, buffer.buf, (size_t)buffer.len);
    }
    PyBuffer_Release(&buffer);
    if (count == INTERRUPTION_ORIGINALS) {
        return interruption_call_original(call);
    }
    return count < 0 ? NULL : PyLong_FromSsize_t(count);
}

/* The descriptor that is the first of so many arguments, if that is one which may have to be waited
   for. */
static bool
find_descriptor_stream(const interruption_call *call, Py_ssize_t count, interruption_stream *stream)
{
    int fd;
    return interruption_call_count(call) == count &&
           interruption_int_of(interruption_call_argument(call, 0, NULL), &fd) &&
           interruption_stream_look(fd, stream);
}

static PyObject *
read_descriptor(const interruption_call *call)
{
    if (enter_descriptor_read(call) < 0) {
        return NULL;
    }
    interruption_stream stream;
    Py_ssize_t size;
    if (!find_descriptor_stream(call, 2, &stream) ||
        !interruption_size_of(interruption_call_argument(call, 1, NULL), &size) || size <= 0) {
        return interruption_call_original(call);
    }
    return interruption_read_bytes(call, &stream, size);
}

static PyObject *
write_descriptor(const interruption_call *call)
{
    interruption_stream stream;
    if (!find_descriptor_stream(call, 2, &stream)) {
        return interruption_call_original(call);
    }
    return interruption_write_buffer(call, &stream, interruption_call_argument(call, 1, NULL));
}

INTERRUPTION_REPLACEMENT(os_read, interruption_called_inside, read_descriptor);
INTERRUPTION_REPLACEMENT(os_write, interruption_called_inside, write_descriptor);
INTERRUPTION_REPLACEMENT(os_pread, interruption_called_inside, read_at);
INTERRUPTION_REPLACEMENT(os_preadv, interruption_called_inside, read_at);

/* Several buffers. ---------------------------------------------------------------------------- */

/* The buffers of one call. They are copied from and to one block: what a write or read comes to
   does not depend on how its data is divided. */
typedef struct {
    Py_buffer *parts;
    Py_ssize_t count;
    char *block;
    size_t size;
} buffers;

static void
release_buffers(buffers *all)
{
    for (Py_ssize_t i = 0; i < all->count; i++) {
        PyBuffer_Release(&all->parts[i]);
    }
    PyMem_Free(all->parts);
    PyMem_Free(all->block);
}

/* False, perhaps with an exception set: they are not to be had so. */
static bool
get_parts(PyObject *tuple, bool writes, buffers *all)
{
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    all->parts = count > IOV_MAX ? NULL : PyMem_Calloc((size_t)count + 1, sizeof(Py_buffer));
    if (all->parts == NULL) {
        return false;
    }
    for (; all->count < count; all->count++) {
        Py_buffer *part = &all->parts[all->count];
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(tuple, all->count), part,
                               writes ? PyBUF_SIMPLE : PyBUF_WRITABLE) < 0) {
            return false;
        }
        all->size += (size_t)part->len;
    }
    all->block = all->size == 0 || all->size > PY_SSIZE_T_MAX ? NULL : PyMem_Malloc(all->size);
    return all->block != NULL;
}

/* From the block, so many bytes; or, what is to be written, to it. */
static void
copy_buffers(buffers *all, bool writes, size_t left)
{
    char *at = all->block;
    for (Py_ssize_t i = 0; i < all->count && left > 0; i++) {
        size_t size = (size_t)all->parts[i].len;
        size = size < left ? size : left;
        (void)(writes ? memcpy(at, all->parts[i].buf, size) : memcpy(all->parts[i].buf, at, size));
        at += size;
        left -= size;
    }
}

static Py_ssize_t
transfer(interruption_stream *stream, bool writes, buffers *all)
{
    if (writes) {
        copy_buffers(all, true, all->size);
        return interruption_stream_write(stream, all->block, all->size);
    }
    Py_ssize_t count = interruption_stream_read(stream, all->block, all->size);
    if (count > 0) {
        copy_buffers(all, false, (size_t)count);
    }
    return count;
}

static PyObject *
vectored(const interruption_call *call, bool writes)
{
    interruption_stream stream;
    PyObject *sequence = interruption_call_argument(call, 1, NULL);
    if (!find_descriptor_stream(call, 2, &stream) ||
        !(PyList_CheckExact(sequence) || PyTuple_CheckExact(sequence))) {
        return interruption_call_original(call);
    }
    PyObject *tuple = PySequence_Tuple(sequence);
    if (tuple == NULL) {
        return NULL;
    }
    buffers all = {0};
    Py_ssize_t count = INTERRUPTION_ORIGINALS;
    if (get_parts(tuple, writes, &all)) {
        count = transfer(&stream, writes, &all);
    }
    else {
        PyErr_Clear();
    }
    release_buffers(&all);
    Py_DECREF(tuple);
    if (count == INTERRUPTION_ORIGINALS) {
        return interruption_call_original(call);
    }
    return count < 0 ? NULL : PyLong_FromSsize_t(count);
}

static PyObject *
read_vectored(const interruption_call *call)
{
    return enter_descriptor_read(call) < 0 ? NULL : vectored(call, false);
}

static PyObject *
write_vectored(const interruption_call *call)
{
    return vectored(call, true);
}

INTERRUPTION_REPLACEMENT(os_readv, interruption_called_inside, read_vectored);
INTERRUPTION_REPLACEMENT(os_writev, interruption_called_inside, write_vectored);

/* From descriptor to descriptor. ---------------------------------------------------------------
 */

/* Has it room, or something to read? An error counts: the original tells. */
static bool
is_descriptor_ready(int fd, short events)
{
    struct pollfd look = {.fd = fd, .events = events};
    return poll(&look, 1, 0) != 0;
}

/* Wait until it is ready. As interruption_stream_wait. */
static int
wait_for_ready_end(interruption_stream *end, short events, bool partly)
{
    int ready = 1;
    while (ready == 1 && !is_descriptor_ready(end->fd, events)) {
        ready = interruption_stream_wait(end, events, partly);
    }
    return ready;
}

/* So much of a regular file fits where poll() says that there is room: what is on one page of it.
 */
static Py_ssize_t
piece_of_file(int fd, PyObject *offset, Py_ssize_t left)
{
    Py_ssize_t at = 0;
    if (offset == Py_None) {
        at = (Py_ssize_t)lseek(fd, 0, SEEK_CUR);
    }
    else if (!interruption_size_of(offset, &at)) {
        return left;
    }
    Py_ssize_t piece = at < 0 ? PIPE_BUF : PIPE_BUF - at % PIPE_BUF;
    return piece < left ? piece : left;
}

/* Send a piece. The count, or -1 with an exception set. */
static Py_ssize_t
send_piece(const interruption_call *call, int from, PyObject *offset, Py_ssize_t done,
           Py_ssize_t left)
{
    Py_ssize_t at = 0;
    PyObject *place = Py_NewRef(offset);
    if (interruption_size_of(offset, &at)) {
        Py_SETREF(place, PyLong_FromSsize_t(at + done));
    }
    PyObject *piece = PyLong_FromSsize_t(piece_of_file(from, place, left));
    PyObject *arguments[] = {interruption_call_argument(call, 0, "out_fd"),
                             interruption_call_argument(call, 1, "in_fd"), place, piece};
    PyObject *result = NULL;
    if (place != NULL && piece != NULL) {
        result = interruption_call_method(call->method, call->self, arguments, 4);
    }
    Py_XDECREF(place);
    Py_XDECREF(piece);
    Py_ssize_t count = result == NULL ? -1 : PyLong_AsSsize_t(result);
    Py_XDECREF(result);
    return count;
}

/* To a socket or pipe, piece by piece. */
static PyObject *
send_file_pieces(const interruption_call *call, interruption_stream *to, int from, Py_ssize_t size)
{
    PyObject *offset = interruption_call_argument(call, 2, "offset");
    Py_ssize_t done = 0;
    while (done < size) {
        int ready = wait_for_ready_end(to, POLLOUT, done > 0);
        if (ready == INTERRUPTION_OVER) {
            break;
        }
        if (ready == INTERRUPTION_ORIGINALS && done == 0) {
            return interruption_call_original(call);
        }
        if (ready == -1) {
            return NULL;
        }
        Py_ssize_t count = send_piece(call, from, offset, done, size - done);
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

static PyObject *
send_file(const interruption_call *call)
{
    int to, from;
    Py_ssize_t size, at;
    interruption_stream stream;
    PyObject *offset = interruption_call_argument(call, 2, "offset");
    if (interruption_call_count(call) != 4 || offset == NULL ||
        !(offset == Py_None || (interruption_size_of(offset, &at) && at >= 0)) ||
        !interruption_int_of(interruption_call_argument(call, 0, "out_fd"), &to) ||
        !interruption_int_of(interruption_call_argument(call, 1, "in_fd"), &from) ||
        !interruption_size_of(interruption_call_argument(call, 3, "count"), &size) || size <= 0 ||
        !interruption_stream_look(to, &stream) || !is_regular(from) ||
        (fcntl(to, F_GETFL) & O_NONBLOCK)) {
        return interruption_call_original(call);
    }
    return send_file_pieces(call, &stream, from, size);
}

INTERRUPTION_REPLACEMENT(os_sendfile, interruption_called_inside, send_file);

static const char *const splice_names[] = {"src",        "dst",        "count",
                                           "offset_src", "offset_dst", "flags"};
enum { SPLICE_ARGUMENTS = sizeof(splice_names) / sizeof(*splice_names) };

/* Does it have arguments that there are not, or one twice? */
static bool
is_misnamed(const interruption_call *call)
{
    Py_ssize_t given = 0;
    for (int i = 0; i < SPLICE_ARGUMENTS; i++) {
        given += interruption_call_argument(call, i, splice_names[i]) != NULL;
    }
    return interruption_call_count(call) != given;
}

/* Try it without waiting: the result; NULL with an exception set. */
static PyObject *
try_splice(const interruption_call *call, Py_ssize_t flags)
{
    PyObject *arguments[SPLICE_ARGUMENTS];
    for (int i = 0; i < SPLICE_ARGUMENTS - 1; i++) {
        PyObject *given = interruption_call_argument(call, i, splice_names[i]);
        arguments[i] = given == NULL ? Py_None : given;
    }
    arguments[5] = PyLong_FromSsize_t(flags | SPLICE_F_NONBLOCK);
    if (arguments[5] == NULL) {
        return NULL;
    }
    PyObject *result =
        interruption_call_method(call->method, call->self, arguments, SPLICE_ARGUMENTS);
    Py_DECREF(arguments[5]);
    return result;
}

static bool
is_socket(int fd)
{
    interruption_stream stream;
    return interruption_stream_look(fd, &stream) && S_ISSOCK(stream.mode);
}

/* Wait until both ends are ready, what is no stream being so. */
static int
wait_for_both(int from, int to)
{
    interruption_stream stream;
    int ready = 1;
    if (interruption_stream_look(from, &stream)) {
        ready = wait_for_ready_end(&stream, POLLIN, false);
    }
    if (ready == 1 && interruption_stream_look(to, &stream)) {
        ready = wait_for_ready_end(&stream, POLLOUT, false);
    }
    return ready;
}

/* Not to wait is said of pipes only, so both ends are waited for before. */
static PyObject *
move_through(const interruption_call *call)
{
    int from, to, ready;
    Py_ssize_t flags = 0, size;
    PyObject *given = interruption_call_argument(call, 5, "flags");
    if (!interruption_int_of(interruption_call_argument(call, 0, "src"), &from) ||
        !interruption_int_of(interruption_call_argument(call, 1, "dst"), &to) ||
        !interruption_size_of(interruption_call_argument(call, 2, "count"), &size) || size <= 0 ||
        (given != NULL && !interruption_size_of(given, &flags)) || flags < 0 ||
        (flags & SPLICE_F_NONBLOCK) || is_misnamed(call)) {
        return interruption_call_original(call);
    }
    /* First without a wait, for what is wrong with the arguments is said at once. */
    ready = is_socket(from) ? wait_for_both(from, to) : 1;
    for (; ready == 1; ready = wait_for_both(from, to)) {
        PyObject *result = try_splice(call, flags);
        if (result != NULL || !PyErr_ExceptionMatches(PyExc_BlockingIOError)) {
            return result;
        }
        PyErr_Clear();
    }
    return ready == INTERRUPTION_ORIGINALS ? interruption_call_original(call) : NULL;
}

INTERRUPTION_REPLACEMENT(os_splice, interruption_called_inside, move_through);

static const interruption_row descriptor_rows[] = {
    {"posix", NULL, "read", &os_read, false},
    {"posix", NULL, "write", &os_write, false},
    {"posix", NULL, "readv", &os_readv, true},
    {"posix", NULL, "writev", &os_writev, true},
    {"posix", NULL, "pread", &os_pread, true},
    {"posix", NULL, "preadv", &os_preadv, true},
    {"posix", NULL, "sendfile", &os_sendfile, true},
    {"posix", NULL, "splice", &os_splice, true},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_descriptors = {.name = "descriptors", .rows = descriptor_rows};
