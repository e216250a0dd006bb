/*
 * Bytes to and from sockets. See socket_call.h for how they wait.
 *
 * recv, recv_into, send and sendall make the system call themselves, with MSG_DONTWAIT, and have
 * the same results and errors as the original.
 *
 * What a blocking socket does with all of the data (send), or waits for all of it (MSG_WAITALL), is
 * done part by part. As when a signal ends the system call, the part is the result then.
 */
#include "blocking/interposed.h"

#include <sys/socket.h>

#include "blocking/net/socket_call.h"
#include "blocking/numbers.h"

/* What has been done of the call, by a result of mod_socket_run. */
static PyObject *
amount(int status, const mod_call *call, const mod_socket_transfer *what)
{
    switch (status) {
    case MOD_SOCKET_END:
        return PyLong_FromSsize_t(what->done);
    case MOD_SOCKET_ORIGINAL:
        return mod_call_original(call);
    default:
        return NULL;
    }
}

/* Does a call that receives wait for all of it? Then the part counts. False: its flags are not for
   us, and it goes another `*how`. */
static bool
plan_to_receive(const mod_socket_call *of, int flags, int *progress, mod_socket_way *how)
{
    bool all = (flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL && of->blocking &&
               mod_socket_is_stream(of);
    *progress = all ? MOD_SOCKET_RESULT : MOD_SOCKET_NOTHING;
    *how = mod_socket_way_in(of, all ? flags & ~MSG_WAITALL : flags);
    return *how == MOD_SOCKET_DO;
}

static PyObject *
receive(const mod_call *call)
{
    if (mod_socket_enter(call, mod_call_argument(call, 1, NULL)) < 0) {
        return NULL;
    }
    mod_socket_transfer what = {.length = 0};
    mod_socket_call of;
    PyObject *size = mod_call_argument(call, 0, NULL);
    PyObject *flags = mod_call_argument(call, 1, NULL);
    if (mod_call_count(call) > 2 || !mod_size_of(size, &what.length) ||
        !mod_flags_of(flags, &what.flags) || what.length <= 0 ||
        !mod_socket_begin(&of, call->self, POLLIN)) {
        return mod_call_original(call);
    }
    int progress;
    mod_socket_way how;
    if (!plan_to_receive(&of, what.flags, &progress, &how)) {
        return mod_socket_go(how, call, &of);
    }
    if (what.flags & MSG_TRUNC) {
        /* A length that is more than there was room for is for each version to make sense of. */
        return mod_socket_when_ready(call, &of);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, what.length);
    if (bytes == NULL) {
        return NULL;
    }
    what.data = PyBytes_AS_STRING(bytes);
    int status = mod_socket_run(&of, &what, progress);
    if (status == MOD_SOCKET_END) {
        if (what.done < what.length) {
            (void)_PyBytes_Resize(&bytes, what.done);
        }
        return bytes;
    }
    Py_DECREF(bytes);
    return status == MOD_SOCKET_ORIGINAL ? mod_call_original(call) : NULL;
}

static PyObject *
receive_into_buffer(const mod_call *call, Py_buffer *buffer, Py_ssize_t size, int flags)
{
    mod_socket_transfer what = {
        .data = buffer->buf, .length = size == 0 ? buffer->len : size, .flags = flags};
    mod_socket_call of;
    if (what.length <= 0 || what.length > buffer->len ||
        !mod_socket_begin(&of, call->self, POLLIN)) {
        return mod_call_original(call);
    }
    int progress;
    mod_socket_way how;
    if (!plan_to_receive(&of, flags, &progress, &how)) {
        return mod_socket_go(how, call, &of);
    }
    return amount(mod_socket_run(&of, &what, progress), call, &what);
}

static PyObject *
receive_into(const mod_call *call)
{
    if (mod_socket_enter(call, mod_call_argument(call, 2, "flags")) < 0) {
        return NULL;
    }
    Py_ssize_t size = 0;
    int flags = 0;
    PyObject *target = mod_call_argument(call, 0, "buffer");
    PyObject *count = mod_call_argument(call, 1, "nbytes");
    PyObject *which = mod_call_argument(call, 2, "flags");
    Py_ssize_t given = (target != NULL) + (count != NULL) + (which != NULL);
    if (target == NULL || mod_call_count(call) != given ||
        (count != NULL && !mod_size_of(count, &size)) || !mod_flags_of(which, &flags)) {
        return mod_call_original(call);
    }
    Py_buffer buffer;
    if (PyObject_GetBuffer(target, &buffer, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        return mod_call_original(call);
    }
    PyObject *result = receive_into_buffer(call, &buffer, size, flags);
    PyBuffer_Release(&buffer);
    return result;
}

/* The arguments of send and sendall. False: they are for the original. Release the buffer. */
static bool
parse_send_arguments(const mod_call *call, Py_buffer *buffer, int *flags)
{
    PyObject *data = mod_call_argument(call, 0, NULL);
    *flags = 0;
    if (data == NULL || mod_call_count(call) > 2 ||
        !mod_flags_of(mod_call_argument(call, 1, NULL), flags)) {
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
progress_of_sent(const mod_socket_call *of)
{
    return of->blocking ? MOD_SOCKET_RESULT : MOD_SOCKET_NOTHING;
}

static PyObject *
send_buffer(const mod_call *call, const Py_buffer *buffer, int flags, bool all)
{
    mod_socket_transfer what = {.data = buffer->buf, .length = buffer->len, .flags = flags};
    mod_socket_call of;
    if (!mod_socket_begin(&of, call->self, POLLOUT)) {
        return mod_call_original(call);
    }
    mod_socket_way how = mod_socket_way_out(&of, flags);
    if (how != MOD_SOCKET_DO) {
        return mod_socket_go(how, call, &of);
    }
    int progress = all ? MOD_SOCKET_LOST : progress_of_sent(&of);
    int status = mod_socket_run(&of, &what, progress);
    return all && status == MOD_SOCKET_END ? Py_NewRef(Py_None) : amount(status, call, &what);
}

static PyObject *
send_bytes(const mod_call *call, bool all)
{
    Py_buffer buffer;
    int flags;
    if (!parse_send_arguments(call, &buffer, &flags)) {
        return mod_call_original(call);
    }
    PyObject *result = send_buffer(call, &buffer, flags, all);
    PyBuffer_Release(&buffer);
    return result;
}

static PyObject *
send_some(const mod_call *call)
{
    return send_bytes(call, false);
}

static PyObject *
socket_send_all(const mod_call *call)
{
    return send_bytes(call, true);
}

MOD_REPLACEMENT(socket_recv, mod_called_inside, receive);
MOD_REPLACEMENT(socket_recv_into, mod_called_inside, receive_into);
MOD_REPLACEMENT(socket_send, mod_called_inside, send_some);
MOD_REPLACEMENT(socket_sendall, mod_called_inside, socket_send_all);

static const mod_row socket_rows[] = {
    MOD_SOCKET_ROWS,
    {"_socket", "socket", "recv", &socket_recv, false},
    {"_socket", "socket", "recv_into", &socket_recv_into, false},
    {"_socket", "socket", "send", &socket_send, false},
    {"_socket", "socket", "sendall", &socket_sendall, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_sockets = {.name = "sockets", .rows = socket_rows};
