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

enum { MOST_ARGUMENTS = 3 };

/* Arguments of a call of the original; borrowed. */
typedef struct {
    PyObject *values[MOST_ARGUMENTS];
    Py_ssize_t count; /* at least up to the flags */
    Py_ssize_t flags_at;
    int flags;
} arguments;

/* Take the arguments that came, and what stands for those before the flags that did not. False:
   they are for the original. */
static bool
collect_arguments(const mod_call *call, arguments *all, PyObject *otherwise)
{
    Py_ssize_t given = mod_call_count(call);
    for (Py_ssize_t i = 0; i < MOST_ARGUMENTS; i++) {
        all->values[i] = mod_call_argument(call, i, NULL);
    }
    if (all->values[0] == NULL || given > all->flags_at + 1 ||
        !mod_flags_of(all->values[all->flags_at], &all->flags)) {
        return false;
    }
    for (Py_ssize_t i = given; i < all->flags_at; i++) {
        all->values[i] = otherwise;
    }
    all->count = all->flags_at + 1;
    return true;
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
            result = mod_call_original(call);
        }
    } while (status == MOD_SOCKET_AGAIN);
    Py_DECREF(flags);
    return result;
}

static PyObject *
receive_message(const mod_call *call, Py_ssize_t flags_at)
{
    if (mod_socket_enter(call, mod_call_argument(call, flags_at, NULL)) < 0) {
        return NULL;
    }
    PyObject *zero = PyLong_FromLong(0); /* a constant of the interpreter's */
    arguments all = {.flags_at = flags_at};
    mod_socket_call of;
    PyObject *result;
    if (!collect_arguments(call, &all, zero) || !mod_socket_begin(&of, call->self, POLLIN)) {
        result = mod_call_original(call);
    }
    else {
        mod_socket_way how =
            of.blocking ? mod_socket_way_in(&of, all.flags) : MOD_SOCKET_WHEN_READY;
        result = how != MOD_SOCKET_DO ? mod_socket_go(how, call, &of) : repeat(call, &of, &all);
    }
    Py_XDECREF(zero);
    return result;
}

static PyObject *
receive_from(const mod_call *call)
{
    return receive_message(call, 1);
}

static PyObject *
receive_with_ancillary(const mod_call *call)
{
    return receive_message(call, 2);
}

MOD_REPLACEMENT(socket_recvfrom, mod_called_inside, receive_from);
MOD_REPLACEMENT(socket_recvmsg, mod_called_inside, receive_with_ancillary);

/* A blocking stream takes all of it, part by part: that is the original's, as is all of sendmsg.
   Whoever wants it woken has send(). */
static PyObject *
send_to(const mod_call *call)
{
    arguments all = {.flags_at = 1, .flags = 0, .count = 3};
    Py_ssize_t count = mod_call_count(call);
    mod_socket_call of;
    if (count < 2 || count > 3 ||
        (count == 3 && !mod_flags_of(mod_call_argument(call, 1, NULL), &all.flags)) ||
        !mod_socket_begin(&of, call->self, POLLOUT)) {
        return mod_call_original(call);
    }
    mod_socket_way how = mod_socket_way_out(&of, all.flags);
    if (how != MOD_SOCKET_DO || !of.blocking) {
        return mod_socket_go(how == MOD_SOCKET_DO ? MOD_SOCKET_WHEN_READY : how, call, &of);
    }
    if (mod_socket_is_stream(&of)) {
        return mod_call_original(call);
    }
    all.values[0] = mod_call_argument(call, 0, NULL);
    all.values[2] = mod_call_argument(call, count - 1, NULL);
    return repeat(call, &of, &all);
}

MOD_REPLACEMENT(socket_sendto, mod_called_inside, send_to);

static const mod_row message_rows[] = {
    MOD_SOCKET_ROWS,
    {"_socket", "socket", "recvfrom", &socket_recvfrom, false},
    {"_socket", "socket", "recvmsg", &socket_recvmsg, true},
    {"_socket", "socket", "sendto", &socket_sendto, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_messages = {.name = "messages", .rows = message_rows};
