/*
 * Messages to and from sockets: what has addresses or ancillary data. See socket_call.h for how
 * they wait.
 *
 * The original does it: with MSG_DONTWAIT if the socket has no timeout; if it has one, the original
 * waits in poll() first, so it is called when the socket is ready.
 */
#include "blocking/net/sockets.h"

#include <sys/socket.h>

#include "blocking/net/socket_call.h"

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
collect_arguments(const interruption_call *call, arguments *all, const char *const *names,
                  PyObject *otherwise)
{
    Py_ssize_t given = 0;
    for (Py_ssize_t i = 0; i < MOST_ARGUMENTS; i++) {
        all->values[i] = interruption_call_argument(call, i, names == NULL ? NULL : names[i]);
        if (all->values[i] != NULL) {
            given++;
            all->count = i + 1;
        }
    }
    if (all->values[0] == NULL || interruption_call_count(call) != given ||
        !interruption_socket_flags(all->values[all->flags_at], &all->flags)) {
        return false;
    }
    for (Py_ssize_t i = 1; i < all->flags_at; i++) {
        all->values[i] = all->values[i] == NULL ? otherwise : all->values[i];
    }
    all->count = all->count > all->flags_at ? all->count : all->flags_at + 1;
    return true;
}

/* Of each argument: what the original says if it is no sequence; NULL: it need not be one. */
typedef const char *complaints[MOST_ARGUMENTS];

static bool
is_repeatable(PyObject *argument, const char *complaint)
{
    return argument == NULL || complaint == NULL || PyList_Check(argument) ||
           PyTuple_Check(argument);
}

/* What is none, and can be none: the original says so, or what is wrong before. */
static bool
is_iterable(PyObject *argument)
{
    return Py_TYPE(argument)->tp_iter != NULL || PySequence_Check(argument);
}

/* The arguments in a tuple, and sequences in place of iterators. */
static PyObject *
sequences(const interruption_call *call, const complaints said)
{
    Py_ssize_t count = interruption_call_count(call);
    PyObject *all = PyTuple_New(count);
    for (Py_ssize_t i = 0; all != NULL && i < count; i++) {
        PyObject *value = interruption_call_argument(call, i, NULL);
        value = is_repeatable(value, said[i]) ? Py_NewRef(value) : PySequence_Fast(value, said[i]);
        if (value == NULL) {
            Py_CLEAR(all);
        }
        else {
            PyTuple_SET_ITEM(all, i, value);
        }
    }
    return all;
}

/* Go on with arguments that can be given to the original more than once, as iterators cannot. */
static PyObject *
with_sequences(const interruption_call *call, const complaints said,
               PyObject *(*go_on)(const interruption_call *))
{
    Py_ssize_t count = interruption_call_count(call);
    bool repeatable = count > MOST_ARGUMENTS || call->keywords != NULL;
    bool all_repeatable = true;
    for (Py_ssize_t i = 0; i < count && !repeatable; i++) {
        PyObject *argument = interruption_call_argument(call, i, NULL);
        if (said[i] != NULL && !is_iterable(argument)) {
            return interruption_call_original(call);
        }
        all_repeatable = all_repeatable && is_repeatable(argument, said[i]);
    }
    if (repeatable || all_repeatable) {
        return go_on(call);
    }
    PyObject *all = sequences(call, said);
    if (all == NULL) {
        return NULL;
    }
    interruption_call again = *call;
    if (call->vector == NULL) {
        again.argument = all;
    }
    else {
        again.vector = ((PyTupleObject *)all)->ob_item;
    }
    PyObject *result = go_on(&again);
    Py_DECREF(all);
    return result;
}

/* Call the original with MSG_DONTWAIT until it need not wait. */
static PyObject *
repeat(const interruption_call *call, interruption_socket_call *of, arguments *all)
{
    PyObject *flags = PyLong_FromLong(all->flags | MSG_DONTWAIT);
    if (flags == NULL) {
        return NULL;
    }
    all->values[all->flags_at] = flags;
    PyObject *result = NULL;
    int status;
    do {
        result = interruption_call_again(call, all->values, all->count);
        if (result != NULL || !PyErr_ExceptionMatches(PyExc_BlockingIOError)) {
            break;
        }
        PyErr_Clear();
        status = interruption_socket_wait(of);
        if (status == INTERRUPTION_SOCKET_ORIGINAL) {
            result = interruption_call_original(call);
        }
    } while (status == INTERRUPTION_SOCKET_AGAIN);
    Py_DECREF(flags);
    return result;
}

static PyObject *
receive_message(const interruption_call *call, Py_ssize_t flags_at, const char *const *names)
{
    const char *name = names == NULL ? NULL : names[flags_at];
    if (interruption_socket_enter(call, interruption_call_argument(call, flags_at, name)) < 0) {
        return NULL;
    }
    PyObject *zero = PyLong_FromLong(0); /* a constant of the interpreter's */
    arguments all = {.flags_at = flags_at};
    interruption_socket_call of;
    PyObject *result;
    if (!collect_arguments(call, &all, names, zero) ||
        !interruption_socket_begin(&of, call->self, POLLIN)) {
        result = interruption_call_original(call);
    }
    else {
        interruption_socket_way how =
            of.blocking ? interruption_socket_way_in(&of, all.flags) : INTERRUPTION_SOCKET_IN_TURN;
        result = how == INTERRUPTION_SOCKET_DO ? repeat(call, &of, &all)
                                               : interruption_socket_go(how, call, &of);
    }
    Py_XDECREF(zero);
    return result;
}

static PyObject *
receive_from(const interruption_call *call)
{
    return receive_message(call, 1, NULL);
}

static PyObject *
receive_from_into(const interruption_call *call)
{
    static const char *const names[MOST_ARGUMENTS] = {"buffer", "nbytes", "flags", NULL};
    return receive_message(call, 2, names);
}

static PyObject *
receive_with_ancillary(const interruption_call *call)
{
    return receive_message(call, 2, NULL);
}

static PyObject *
receive_into_many(const interruption_call *call)
{
    static const complaints said = {"recvmsg_into() argument 1 must be an iterable"};
    if (interruption_socket_enter(call, interruption_call_argument(call, 2, NULL)) < 0) {
        return NULL;
    }
    return with_sequences(call, said, receive_with_ancillary);
}

INTERRUPTION_REPLACEMENT(socket_recvfrom, interruption_called_inside, receive_from);
INTERRUPTION_REPLACEMENT(socket_recvfrom_into, interruption_called_inside, receive_from_into);
INTERRUPTION_REPLACEMENT(socket_recvmsg, interruption_called_inside, receive_with_ancillary);
INTERRUPTION_REPLACEMENT(socket_recvmsg_into, interruption_called_inside, receive_into_many);

/* The original has taken `sent` bytes of a message; a blocking stream takes all of it. Send the
   rest of one of its buffers. `*before` is how many bytes the buffers before it had. A result of
   interruption_socket_carry. */
static int
send_rest_of(interruption_socket_call *of, PyObject *data, int flags, Py_ssize_t *before,
             Py_ssize_t *sent)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) < 0) {
        PyErr_Clear(); /* it is not what it was when it was sent */
        *before = PY_SSIZE_T_MAX;
        return INTERRUPTION_SOCKET_END;
    }
    int status = INTERRUPTION_SOCKET_END;
    Py_ssize_t length = buffer.len;
    if (*sent < *before + length) {
        interruption_socket_cargo what = {
            .data = (char *)buffer.buf, .length = length, .done = *sent - *before, .flags = flags};
        of->vain = false;
        status = interruption_socket_carry(of, &what, INTERRUPTION_SOCKET_RESULT);
        *sent = *before + what.done;
    }
    PyBuffer_Release(&buffer);
    *before += length;
    return status;
}

/* The rest of all of them. A new reference to how many bytes were sent, or NULL. */
static PyObject *
send_rest(interruption_socket_call *of, PyObject *const *buffers, Py_ssize_t count, int flags,
          PyObject *result)
{
    Py_ssize_t sent = PyLong_AsSsize_t(result);
    Py_ssize_t before = 0;
    Py_DECREF(result);
    of->part = INTERRUPTION_SOCKET_RESULT;
    for (Py_ssize_t i = 0; i < count; i++) {
        int status = send_rest_of(of, buffers[i], flags, &before, &sent);
        if (status == INTERRUPTION_SOCKET_FAILED) {
            return NULL;
        }
        if (sent < before) {
            break;
        }
    }
    return PyLong_FromSsize_t(sent);
}

static PyObject *
send_message(const interruption_call *call, interruption_socket_call *of, arguments *all)
{
    interruption_socket_way how = interruption_socket_way_out(of, all->flags);
    if (how != INTERRUPTION_SOCKET_DO || !of->blocking) {
        return interruption_socket_go(
            how == INTERRUPTION_SOCKET_DO ? INTERRUPTION_SOCKET_WHEN_READY : how, call, of);
    }
    return repeat(call, of, all);
}

static PyObject *
send_to(const interruption_call *call)
{
    arguments all = {.flags_at = 1, .flags = 0, .count = 3};
    Py_ssize_t count = interruption_call_count(call);
    interruption_socket_call of;
    if (count < 2 || count > 3 ||
        (count == 3 &&
         !interruption_socket_flags(interruption_call_argument(call, 1, NULL), &all.flags)) ||
        !interruption_socket_begin(&of, call->self, POLLOUT)) {
        return interruption_call_original(call);
    }
    all.values[0] = interruption_call_argument(call, 0, NULL);
    all.values[2] = interruption_call_argument(call, count - 1, NULL);
    PyObject *result = send_message(call, &of, &all);
    if (result != NULL && of.blocking && interruption_socket_is_stream(&of)) {
        result = send_rest(&of, all.values, 1, all.flags, result);
    }
    return result;
}

/* With the buffers in a tuple, which nobody changes meanwhile. */
static PyObject *
send_tuple(const interruption_call *call, interruption_socket_call *of, arguments *all)
{
    PyObject *buffers = PySequence_Tuple(all->values[0]);
    if (buffers == NULL) {
        return NULL;
    }
    all->values[0] = buffers;
    PyObject *result = send_message(call, of, all);
    if (result != NULL && of->blocking && interruption_socket_is_stream(of)) {
        result = send_rest(of, ((PyTupleObject *)buffers)->ob_item, PyTuple_GET_SIZE(buffers),
                           all->flags, result);
    }
    Py_DECREF(buffers);
    return result;
}

static PyObject *
send_sequences(const interruption_call *call)
{
    PyObject *nothing = PyTuple_New(0);
    if (nothing == NULL) {
        return NULL;
    }
    arguments all = {.flags_at = 2};
    interruption_socket_call of;
    PyObject *result = collect_arguments(call, &all, NULL, nothing) &&
                               interruption_socket_begin(&of, call->self, POLLOUT)
                           ? send_tuple(call, &of, &all)
                           : interruption_call_original(call);
    Py_DECREF(nothing);
    return result;
}

static PyObject *
send_buffers(const interruption_call *call)
{
    static const complaints said = {"sendmsg() argument 1 must be an iterable",
                                    "sendmsg() argument 2 must be an iterable"};
    return with_sequences(call, said, send_sequences);
}

INTERRUPTION_REPLACEMENT(socket_sendto, interruption_called_inside, send_to);
INTERRUPTION_REPLACEMENT(socket_sendmsg, interruption_called_inside, send_buffers);

static const interruption_row message_rows[] = {
    INTERRUPTION_SOCKET_ROWS,
    {"_socket", "socket", "recvfrom", &socket_recvfrom, false},
    {"_socket", "socket", "recvfrom_into", &socket_recvfrom_into, false},
    {"_socket", "socket", "recvmsg", &socket_recvmsg, true},
    {"_socket", "socket", "recvmsg_into", &socket_recvmsg_into, true},
    {"_socket", "socket", "sendto", &socket_sendto, false},
    {"_socket", "socket", "sendmsg", &socket_sendmsg, true},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_messages = {.name = "messages", .rows = message_rows};
