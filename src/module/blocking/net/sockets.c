/*
 * Bytes to and from sockets. See socket_call.h for how they wait.
 *
 * recv, recv_into, send and sendall make the system call themselves, with MSG_DONTWAIT, and have
 * the same results and errors as the original.
 *
 * What a blocking socket does with all of the data (send), or waits for all of it (MSG_WAITALL), is
 * done part by part. As when a signal ends the system call, the part is the result then.
 */
#include "blocking/net/sockets.h"

#include <sys/socket.h>

#include "blocking/net/socket_call.h"
#include "blocking/numbers.h"

/* What has been done of the call, by a result of interruption_socket_carry. */
static PyObject *
amount(int status, const interruption_call *call, const interruption_socket_transfer *what)
{
    switch (status) {
    case INTERRUPTION_SOCKET_END:
        return PyLong_FromSsize_t(what->done);
    case INTERRUPTION_SOCKET_ORIGINAL:
        return interruption_call_original(call);
    default:
        return NULL;
    }
}

/* Does a call that receives wait for all of it? Then the part counts. False: its flags are not for
   us, and it goes another `*how`. */
static bool
plan_to_receive(const interruption_socket_call *of, int flags, int *progress,
                interruption_socket_way *how)
{
    bool all = (flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL && of->blocking &&
               interruption_socket_is_stream(of);
    *progress = all ? INTERRUPTION_SOCKET_RESULT : INTERRUPTION_SOCKET_NOTHING;
    *how = interruption_socket_way_in(of, all ? flags & ~MSG_WAITALL : flags);
    return *how == INTERRUPTION_SOCKET_DO;
}

static PyObject *
receive(const interruption_call *call)
{
    if (interruption_socket_enter(call, interruption_call_argument(call, 1, NULL)) < 0) {
        return NULL;
    }
    interruption_socket_transfer what = {.length = 0};
    interruption_socket_call of;
    PyObject *size = interruption_call_argument(call, 0, NULL);
    PyObject *flags = interruption_call_argument(call, 1, NULL);
    if (interruption_call_count(call) > 2 || !interruption_size_of(size, &what.length) ||
        !interruption_flags_of(flags, &what.flags) || what.length <= 0 ||
        !interruption_socket_begin(&of, call->self, POLLIN)) {
        return interruption_call_original(call);
    }
    int progress;
    interruption_socket_way how;
    if (what.flags & MSG_TRUNC) {
        /* A length that is more than there was room for is for each version to make sense of. */
        return interruption_socket_when_ready(call, &of, true);
    }
    if (!plan_to_receive(&of, what.flags, &progress, &how)) {
        return interruption_socket_go(how, call, &of);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, what.length);
    if (bytes == NULL) {
        return NULL;
    }
    what.data = PyBytes_AS_STRING(bytes);
    int status = interruption_socket_run(&of, &what, progress);
    if (status == INTERRUPTION_SOCKET_END) {
        if (what.done < what.length) {
            (void)_PyBytes_Resize(&bytes, what.done);
        }
        return bytes;
    }
    Py_DECREF(bytes);
    return status == INTERRUPTION_SOCKET_ORIGINAL ? interruption_call_original(call) : NULL;
}

static PyObject *
receive_into_buffer(const interruption_call *call, Py_buffer *buffer, Py_ssize_t size, int flags)
{
    interruption_socket_transfer what = {
        .data = buffer->buf, .length = size == 0 ? buffer->len : size, .flags = flags};
    interruption_socket_call of;
    if (what.length <= 0 || what.length > buffer->len ||
        !interruption_socket_begin(&of, call->self, POLLIN)) {
        return interruption_call_original(call);
    }
    int progress;
    interruption_socket_way how;
    if (!plan_to_receive(&of, flags, &progress, &how)) {
        return interruption_socket_go(how, call, &of);
    }
    return amount(interruption_socket_run(&of, &what, progress), call, &what);
}

static PyObject *
receive_into(const interruption_call *call)
{
    if (interruption_socket_enter(call, interruption_call_argument(call, 2, "flags")) < 0) {
        return NULL;
    }
    Py_ssize_t size = 0;
    int flags = 0;
    PyObject *target = interruption_call_argument(call, 0, "buffer");
    PyObject *count = interruption_call_argument(call, 1, "nbytes");
    PyObject *which = interruption_call_argument(call, 2, "flags");
    Py_ssize_t given = (target != NULL) + (count != NULL) + (which != NULL);
    if (target == NULL || interruption_call_count(call) != given ||
        (count != NULL && !interruption_size_of(count, &size)) ||
        !interruption_flags_of(which, &flags)) {
        return interruption_call_original(call);
    }
    Py_buffer buffer;
    if (PyObject_GetBuffer(target, &buffer, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        return interruption_call_original(call);
    }
    PyObject *result = receive_into_buffer(call, &buffer, size, flags);
    PyBuffer_Release(&buffer);
    return result;
}

/* The arguments of send and sendall. False: they are for the original. Release the buffer. */
static bool
parse_send_arguments(const interruption_call *call, Py_buffer *buffer, int *flags)
{
    PyObject *data = interruption_call_argument(call, 0, NULL);
    *flags = 0;
    if (data == NULL || interruption_call_count(call) > 2 ||
        !interruption_flags_of(interruption_call_argument(call, 1, NULL), flags)) {
        return false;
    }
    if (PyObject_GetBuffer(data, buffer, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return false;
    }
    return true;
}

/* A blocking socket's system call takes all of it, so ours does. */
static int
progress_of_sent(const interruption_socket_call *of)
{
    return of->blocking ? INTERRUPTION_SOCKET_RESULT : INTERRUPTION_SOCKET_NOTHING;
}

static PyObject *
send_buffer(const interruption_call *call, const Py_buffer *buffer, int flags, bool all)
{
    interruption_socket_transfer what = {
        .data = buffer->buf, .length = buffer->len, .flags = flags};
    interruption_socket_call of;
    if (!interruption_socket_begin(&of, call->self, POLLOUT)) {
        return interruption_call_original(call);
    }
    interruption_socket_way how = interruption_socket_way_out(&of, flags);
    if (how != INTERRUPTION_SOCKET_DO) {
        return interruption_socket_go(how, call, &of);
    }
    int progress = all ? INTERRUPTION_SOCKET_LOST : progress_of_sent(&of);
    int status = interruption_socket_run(&of, &what, progress);
    return all && status == INTERRUPTION_SOCKET_END ? Py_NewRef(Py_None)
                                                    : amount(status, call, &what);
}

static PyObject *
send_bytes(const interruption_call *call, bool all)
{
    Py_buffer buffer;
    int flags;
    if (!parse_send_arguments(call, &buffer, &flags)) {
        return interruption_call_original(call);
    }
    PyObject *result = send_buffer(call, &buffer, flags, all);
    PyBuffer_Release(&buffer);
    return result;
}

static PyObject *
send_some(const interruption_call *call)
{
    return send_bytes(call, false);
}

static PyObject *
socket_send_all(const interruption_call *call)
{
    return send_bytes(call, true);
}

INTERRUPTION_REPLACEMENT(socket_recv, interruption_called_inside, receive);
INTERRUPTION_REPLACEMENT(socket_recv_into, interruption_called_inside, receive_into);
INTERRUPTION_REPLACEMENT(socket_send, interruption_called_inside, send_some);
INTERRUPTION_REPLACEMENT(socket_sendall, interruption_called_inside, socket_send_all);

static const interruption_row socket_rows[] = {
    INTERRUPTION_SOCKET_ROWS,
    {"_socket", "socket", "recv", &socket_recv, false},
    {"_socket", "socket", "recv_into", &socket_recv_into, false},
    {"_socket", "socket", "send", &socket_send, false},
    {"_socket", "socket", "sendall", &socket_sendall, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_sockets = {.name = "sockets", .rows = socket_rows};
