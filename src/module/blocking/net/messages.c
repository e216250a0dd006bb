/*
 * Messages to and from sockets: what has addresses or ancillary data. See socket_call.h for how
 * they wait.
 *
 * The original does it: with MSG_DONTWAIT if the socket has no timeout; if it has one, the original
 * waits in poll() first, so it is called when the socket is ready.
 */
#include "blocking/interposed.h"

#include <sys/socket.h>

#include "blocking/net/socket_call.h"
#include "blocking/numbers.h"

enum { MOST_ARGUMENTS = 4 };

/* Arguments of a call of the original; borrowed. */
typedef struct {
    PyObject *values[MOST_ARGUMENTS];
    Py_ssize_t count; /* at least up to the flags */
    Py_ssize_t flags_at;
    int flags;
} arguments;

/* Take the arguments that came, and what stands for those before the flags that did not. The names
   are those of keywords, or NULL. False: they are for the original. */
static bool
collect_arguments(const mod_call *call, arguments *all, const char *const *names,
                  PyObject *otherwise)
{
    Py_ssize_t given = 0;
    for (Py_ssize_t i = 0; i < MOST_ARGUMENTS; i++) {
        all->values[i] = mod_call_argument(call, i, names == NULL ? NULL : names[i]);
        if (all->values[i] != NULL) {
            given++;
            all->count = i + 1;
        }
    }
    if (all->values[0] == NULL || mod_call_count(call) != given ||
        !mod_flags_of(all->values[all->flags_at], &all->flags)) {
        return false;
    }
    for (Py_ssize_t i = 1; i < all->flags_at; i++) {
        all->values[i] = all->values[i] == NULL ? otherwise : all->values[i];
    }
    all->count = all->count > all->flags_at ? all->count : all->flags_at + 1;
    return true;
}

/* What is no iterable: the original says so. */
static bool
is_iterable(PyObject *argument)
{
    return Py_TYPE(argument)->tp_iter != NULL || PySequence_Check(argument);
}

/* The original, as it came; but what it was given is not asked for once more: it may be an
 * iterator. */
static PyObject *
wait_in_original(const mod_call *call, arguments *all)
{
    PyObject *flags = PyLong_FromLong(all->flags);
    all->values[all->flags_at] = flags;
    PyObject *result = flags == NULL ? NULL : mod_call_again(call, all->values, all->count);
    Py_XDECREF(flags);
    return result;
}

/* Call the original with MSG_DONTWAIT until it need not wait. */
static PyObject *
repeat(const mod_call *call, mod_socket_call *of, arguments *all)
{
    PyObject *flags = PyLong_FromLong(all->flags | MSG_DONTWAIT);
    if (flags == NULL) {
        return NULL;
    }
    all->values[all->flags_at] = flags;
    PyObject *result = NULL;
    int status;
    do {
        result = mod_call_again(call, all->values, all->count);
        if (result != NULL || !PyErr_ExceptionMatches(PyExc_BlockingIOError)) {
            break;
        }
        PyErr_Clear();
        status = mod_socket_wait(of);
        if (status == MOD_SOCKET_ORIGINAL) {
            result = wait_in_original(call, all);
        }
    } while (status == MOD_SOCKET_AGAIN);
    Py_DECREF(flags);
    return result;
}

/* The same, with a tuple in the place of an iterable: that may be given more than once, and nobody
   changes it meanwhile. */
static PyObject *
repeat_with_tuple(const mod_call *call, mod_socket_call *of, arguments *all)
{
    PyObject *tuple = PySequence_Tuple(all->values[0]);
    if (tuple == NULL) {
        return NULL;
    }
    all->values[0] = tuple;
    PyObject *result = repeat(call, of, all);
    Py_DECREF(tuple);
    return result;
}

/* `buffers`: the first argument is some. */
static PyObject *
receive_message(const mod_call *call, Py_ssize_t flags_at, const char *const *names, bool buffers)
{
    const char *name = names == NULL ? NULL : names[flags_at];
    if (mod_socket_enter(call, mod_call_argument(call, flags_at, name)) < 0) {
        return NULL;
    }
    PyObject *zero = PyLong_FromLong(0); /* a constant of the interpreter's */
    arguments all = {.flags_at = flags_at};
    mod_socket_call of;
    PyObject *result;
    if (!collect_arguments(call, &all, names, zero) || (buffers && !is_iterable(all.values[0])) ||
        !mod_socket_begin(&of, call->self, POLLIN)) {
        result = mod_call_original(call);
    }
    else {
        mod_socket_way how =
            of.blocking ? mod_socket_way_in(&of, all.flags) : MOD_SOCKET_WHEN_READY;
        result = how != MOD_SOCKET_DO ? mod_socket_go(how, call, &of)
                 : buffers            ? repeat_with_tuple(call, &of, &all)
                                      : repeat(call, &of, &all);
    }
    Py_XDECREF(zero);
    return result;
}

static PyObject *
receive_from(const mod_call *call)
{
    return receive_message(call, 1, NULL, false);
}

static PyObject *
receive_from_into(const mod_call *call)
{
    static const char *const names[MOST_ARGUMENTS] = {"buffer", "nbytes", "flags", NULL};
    return receive_message(call, 2, names, false);
}

static PyObject *
receive_with_ancillary(const mod_call *call)
{
    return receive_message(call, 2, NULL, false);
}

static PyObject *
receive_into_many(const mod_call *call)
{
    return receive_message(call, 2, NULL, true);
}

MOD_REPLACEMENT(socket_recvfrom, mod_called_inside, receive_from);
MOD_REPLACEMENT(socket_recvfrom_into, mod_called_inside, receive_from_into);
MOD_REPLACEMENT(socket_recvmsg, mod_called_inside, receive_with_ancillary);
MOD_REPLACEMENT(socket_recvmsg_into, mod_called_inside, receive_into_many);

/* How many bytes there are in a tuple of buffers. */
static Py_ssize_t
count_bytes(PyObject *buffers)
{
    Py_ssize_t total = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(buffers); i++) {
        Py_buffer buffer;
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(buffers, i), &buffer, PyBUF_SIMPLE) == 0) {
            total += buffer.len;
            PyBuffer_Release(&buffer);
        }
        PyErr_Clear(); /* it is not what it was when it was sent */
    }
    return total;
}

/* The original has taken a part of a message; a blocking stream takes all of it. Send the rest.
   Takes over `result`; a new reference to how many bytes were sent, or NULL. */
static PyObject *
send_rest(mod_socket_call *of, PyObject *buffers, int flags, PyObject *result)
{
    PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
    PyObject *all = empty == NULL ? NULL : PyObject_CallMethod(empty, "join", "(O)", buffers);
    Py_XDECREF(empty);
    if (all == NULL) {
        PyErr_Clear(); /* the part is a result, too */
        return result;
    }
    mod_socket_transfer what = {.data = PyBytes_AS_STRING(all),
                                .length = PyBytes_GET_SIZE(all),
                                .done = PyLong_AsSsize_t(result),
                                .flags = flags};
    if (what.done < what.length) {
        of->progress = MOD_SOCKET_RESULT;
        of->spurious = false;
        int status = mod_socket_run(of, &what, MOD_SOCKET_RESULT);
        Py_SETREF(result, status == MOD_SOCKET_FAILED ? NULL : PyLong_FromSsize_t(what.done));
    }
    Py_DECREF(all);
    return result;
}

/* Is the original to be called with MSG_DONTWAIT? False: it has been called as it came, and has
   that result. */
static bool
sends_itself(const mod_call *call, mod_socket_call *of, int flags, PyObject **result)
{
    if (!mod_socket_begin(of, call->self, POLLOUT)) {
        *result = mod_call_original(call);
        return false;
    }
    mod_socket_way how = mod_socket_way_out(of, flags);
    if (how == MOD_SOCKET_DO && of->blocking) {
        return true;
    }
    *result = mod_socket_go(how == MOD_SOCKET_DO ? MOD_SOCKET_WHEN_READY : how, call, of);
    return false;
}

/* Send the buffers, a tuple. NULL: an exception is set. */
static PyObject *
send_all(const mod_call *call, mod_socket_call *of, arguments *all, PyObject *buffers)
{
    PyObject *result = buffers == NULL ? NULL : repeat(call, of, all);
    if (result != NULL && mod_socket_is_stream(of) &&
        PyLong_AsSsize_t(result) < count_bytes(buffers)) {
        result = send_rest(of, buffers, all->flags, result);
    }
    return result;
}

static PyObject *
send_to(const mod_call *call)
{
    arguments all = {.flags_at = 1, .flags = 0, .count = 3};
    Py_ssize_t count = mod_call_count(call);
    mod_socket_call of;
    PyObject *result;
    if (count < 2 || count > 3 ||
        (count == 3 && !mod_flags_of(mod_call_argument(call, 1, NULL), &all.flags))) {
        return mod_call_original(call);
    }
    if (!sends_itself(call, &of, all.flags, &result)) {
        return result;
    }
    all.values[0] = mod_call_argument(call, 0, NULL);
    all.values[2] = mod_call_argument(call, count - 1, NULL);
    PyObject *buffers = PyTuple_Pack(1, all.values[0]);
    result = send_all(call, &of, &all, buffers);
    Py_XDECREF(buffers);
    return result;
}

static PyObject *
send_buffers(const mod_call *call)
{
    PyObject *nothing = PyTuple_New(0); /* a constant of the interpreter's */
    arguments all = {.flags_at = 2};
    mod_socket_call of;
    PyObject *result;
    if (!collect_arguments(call, &all, NULL, nothing) || !is_iterable(all.values[0]) ||
        !is_iterable(all.values[1])) {
        result = mod_call_original(call);
    }
    else if (sends_itself(call, &of, all.flags, &result)) {
        PyObject *buffers = PySequence_Tuple(all.values[0]);
        PyObject *ancillary = buffers == NULL ? NULL : PySequence_Tuple(all.values[1]);
        all.values[0] = buffers;
        all.values[1] = ancillary;
        result = ancillary == NULL ? NULL : send_all(call, &of, &all, buffers);
        Py_XDECREF(ancillary);
        Py_XDECREF(buffers);
    }
    Py_XDECREF(nothing);
    return result;
}

MOD_REPLACEMENT(socket_sendto, mod_called_inside, send_to);
MOD_REPLACEMENT(socket_sendmsg, mod_called_inside, send_buffers);

static const mod_row message_rows[] = {
    MOD_SOCKET_ROWS,
    {"_socket", "socket", "recvfrom", &socket_recvfrom, false},
    {"_socket", "socket", "recvfrom_into", &socket_recvfrom_into, false},
    {"_socket", "socket", "recvmsg", &socket_recvmsg, true},
    {"_socket", "socket", "recvmsg_into", &socket_recvmsg_into, true},
    {"_socket", "socket", "sendto", &socket_sendto, false},
    {"_socket", "socket", "sendmsg", &socket_sendmsg, true},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_messages = {.name = "messages", .rows = message_rows};
