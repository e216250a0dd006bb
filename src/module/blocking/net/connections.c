/*
 * Making connections: accept and connect. See socket_call.h for how they wait.
 *
 * There is no flag for one call that makes accept not wait, and what makes a descriptor not wait is
 * shared with other processes that accept there, too. So accept is called in turns, when the socket
 * is ready. If somebody else is faster, another process or a thread outside of regions, then
 * it waits in the system call for the next connection, or up to the socket's timeout.
 *
 * connect is called without a timeout, and what the system does about it then is waited for. For
 * the moment of that call, which looks up the host's name if it must, the socket says that
 * it has a timeout of 0. After an interruption, as after KeyboardInterrupt, the connection is being
 * made all the same, and the socket is good for being closed only.
 */
#include "blocking/interposed.h"

#include <errno.h>
#include <sys/socket.h>

#include "cpython/compat.h"
#include "blocking/net/socket_call.h"

static PyObject *
accept_connection(const mod_call *call)
{
    if (mod_socket_enter(call, NULL) < 0) {
        return NULL;
    }
    mod_socket_call of;
    if (!mod_socket_begin(&of, call->self, POLLIN)) {
        return mod_call_original(call);
    }
    return mod_socket_when_ready(call, &of);
}

MOD_REPLACEMENT(socket_accept, mod_called_inside, accept_connection);

/* connect. ------------------------------------------------------------------------------------ */

MOD_ORIGINAL(original_settimeout);

static bool
set_socket_timeout(PyObject *socket, PyObject *timeout)
{
    PyObject *result = mod_call_method(&original_settimeout, socket, &timeout, 1);
    Py_XDECREF(result);
    return result != NULL;
}

/* Put the timeout back, whatever came of the call. If that fails, the socket has been closed. */
static void
restore_timeout(PyObject *socket, PyObject *timeout)
{
    mod_raised raised = mod_put_aside();
    if (!set_socket_timeout(socket, timeout)) {
        PyErr_Clear();
    }
    mod_put_back(raised);
}

static PyObject *connect_or_raise(const mod_call *call);
static PyObject *connect_or_say(const mod_call *call);

MOD_REPLACEMENT(socket_connect, mod_called_inside, connect_or_raise);
MOD_REPLACEMENT(socket_connect_ex, mod_called_inside, connect_or_say);

/* The original connect_ex, without a timeout: the errno; 0, connected; -1 with an exception set. */
static int
start_connecting(const mod_call *call)
{
    PyObject *timeout = mod_original(&mod_socket_gettimeout)(call->self, NULL);
    PyObject *zero = timeout == NULL ? NULL : PyLong_FromLong(0);
    PyObject *result = NULL;
    if (zero != NULL && set_socket_timeout(call->self, zero)) {
        PyObject *address = mod_call_argument(call, 0, NULL);
        result = mod_call_method(&socket_connect_ex, call->self, &address, 1);
        restore_timeout(call->self, timeout);
    }
    Py_XDECREF(zero);
    Py_XDECREF(timeout);
    int error = result == NULL ? -1 : (int)PyLong_AsLong(result);
    Py_XDECREF(result);
    return error;
}

/* Is the exception one that says what is wrong with an address, by the call's name? */
static bool
is_about_address(void)
{
    return PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_OverflowError);
}

/* Say an errno as the original does. */
static PyObject *
answer(bool raises, int error)
{
    if (!raises) {
        return PyLong_FromLong(error);
    }
    if (error == 0) {
        Py_RETURN_NONE;
    }
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* A socket that is closed is EBADF. */
static int
socket_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) {
        return errno;
    }
    return error == EISCONN ? 0 : error;
}

/* The connection is there. The system believes that we do not know until we ask once more, which a
   blocking connect makes superfluous; whatever address is given then. */
static void
acknowledge(const mod_socket_call *of)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    if (of->blocking && getpeername(of->fd, (struct sockaddr *)&address, &length) == 0) {
        (void)connect(of->fd, (struct sockaddr *)&address, length);
    }
}

/* The time is over: connect says so by TimeoutError, connect_ex by an errno. */
static PyObject *
not_connected(const mod_socket_call *of, bool raises)
{
    if (raises || !of->is_late) {
        return NULL;
    }
    PyErr_Clear();
    return PyLong_FromLong(of->late);
}

/* The backlog of an AF_UNIX socket is full, of which nobody tells when that changes. */
static bool
is_backlog_full(const mod_socket_call *of, int error)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof(address);
    return error == EAGAIN && of->blocking &&
           getsockname(of->fd, (struct sockaddr *)&address, &length) == 0 &&
           address.ss_family == AF_UNIX;
}

/* A blocking socket also waits for a connection that an earlier call began. */
static bool
is_under_way(const mod_socket_call *of, int error)
{
    return error == EINPROGRESS || (error == EALREADY && of->blocking);
}

static PyObject *
connect_interruptibly(const mod_call *call, mod_socket_call *of, bool raises)
{
    for (;;) {
        int error = start_connecting(call);
        if (error < 0 && raises && is_about_address()) {
            PyErr_Clear();
            return mod_call_original(call);
        }
        if (error < 0) {
            return NULL;
        }
        bool full = is_backlog_full(of, error);
        if (!full && !is_under_way(of, error)) {
            return answer(raises, error);
        }
        if (mod_socket_wait(of) != MOD_SOCKET_AGAIN) {
            return not_connected(of, raises);
        }
        if (!full) {
            error = socket_error(of->fd);
            if (error == 0) {
                acknowledge(of);
            }
            return answer(raises, error);
        }
    }
}

static PyObject *
connect_socket(const mod_call *call, bool raises)
{
    mod_socket_call of;
    if (!mod_socket_begin(&of, call->self, POLLOUT) ||
        mod_socket_option(of.fd, SO_TYPE, SOCK_DGRAM) == SOCK_DGRAM ||
        !mod_wait_begin(&of.waiting)) {
        return mod_call_original(call);
    }
    of.waits = of.may_be_interrupted = true;
    of.late = of.blocking ? EINPROGRESS : EAGAIN;
    return connect_interruptibly(call, &of, raises);
}

static PyObject *
connect_or_raise(const mod_call *call)
{
    return connect_socket(call, true);
}

static PyObject *
connect_or_say(const mod_call *call)
{
    return connect_socket(call, false);
}

static const mod_row connection_rows[] = {
    MOD_SOCKET_ROWS,
    {"_socket", "socket", "settimeout", &original_settimeout, false},
    {"_socket", "socket", "_accept", &socket_accept, false},
    {"_socket", "socket", "connect", &socket_connect, false},
    {"_socket", "socket", "connect_ex", &socket_connect_ex, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_connections = {.name = "connections", .rows = connection_rows};
