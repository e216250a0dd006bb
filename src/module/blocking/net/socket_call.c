/* See socket_call.h. */
#include "blocking/net/socket_call.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>

interruption_method interruption_socket_fileno, interruption_socket_gettimeout;

/* The socket. --------------------------------------------------------------------------------- */

/* Its descriptor; -1: it is closed. */
static int
descriptor_of_socket(PyObject *socket)
{
    PyObject *number = interruption_original(&interruption_socket_fileno)(socket, NULL);
    long fd = number == NULL ? -1 : PyLong_AsLong(number);
    Py_XDECREF(number);
    PyErr_Clear();
    return fd < 0 || fd > INT_MAX ? -1 : (int)fd;
}

bool
interruption_socket_begin(interruption_socket_call *of, PyObject *socket, short events)
{
    PyObject *timeout = interruption_original(&interruption_socket_gettimeout)(socket, NULL);
    if (timeout == NULL) {
        PyErr_Clear();
        return false;
    }
    *of = (interruption_socket_call){.socket = socket,
                                     .fd = descriptor_of_socket(socket),
                                     .events = events,
                                     .blocking = timeout == Py_None,
                                     .late = EAGAIN,
                                     .deadline = ITR_NEVER};
    bool ours =
        of->fd >= 0 && interruption_deadline_of(timeout, INTERRUPTION_NONE_IS_EVER, &of->deadline);
    Py_DECREF(timeout);
    return ours;
}

/* Has somebody made a descriptor non-blocking without telling the socket object? */
static bool
is_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK);
}

static bool
socket_only_looks(PyObject *socket, PyObject *flags)
{
    PyObject *timeout = interruption_original(&interruption_socket_gettimeout)(socket, NULL);
    bool blocks = timeout == Py_None;
    bool looks = timeout != NULL && PyFloat_Check(timeout) && PyFloat_AS_DOUBLE(timeout) == 0;
    Py_XDECREF(timeout);
    PyErr_Clear();
    int bits = 0;
    if (!blocks) {
        return looks;
    }
    return (interruption_socket_flags(flags, &bits) && (bits & MSG_DONTWAIT)) ||
           is_nonblocking(descriptor_of_socket(socket));
}

int
interruption_socket_enter(const interruption_call *call, PyObject *flags)
{
    if (!interruption_is_asked() || socket_only_looks(call->self, flags)) {
        return 0;
    }
    return interruption_wait_entry_asked();
}

int
interruption_socket_option(int fd, int option, int otherwise)
{
    int value = otherwise;
    socklen_t length = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? otherwise : value;
}

/* What the program has set as SO_RCVTIMEO or SO_SNDTIMEO, which a blocking socket obeys. */
static itr_deadline
deadline_of_option(const interruption_socket_call *of)
{
    struct timeval time = {0};
    socklen_t length = sizeof(time);
    int option = of->events & POLLIN ? SO_RCVTIMEO : SO_SNDTIMEO;
    if (getsockopt(of->fd, SOL_SOCKET, option, &time, &length) < 0 ||
        (time.tv_sec == 0 && time.tv_usec == 0) || time.tv_sec > INT64_MAX / 2000000000) {
        return ITR_NEVER;
    }
    return itr_deadline_after((int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000);
}

/* Is it ready now? Also if poll() cannot tell: then it is for the system call to say. */
static bool
is_socket_ready(const interruption_socket_call *of)
{
    struct pollfd fd = {.fd = of->fd, .events = of->events};
    return of->fd < 0 || poll(&fd, 1, 0) != 0;
}

/* Waiting. ------------------------------------------------------------------------------------ */

static int
raise_late(interruption_socket_call *of)
{
    of->is_late = true;
    if (of->blocking) {
        errno = of->late;
        (void)PyErr_SetFromErrno(PyExc_OSError);
    }
    else {
        PyErr_SetString(PyExc_TimeoutError, "timed out");
    }
    return -1;
}

int
interruption_socket_check_time(interruption_socket_call *of)
{
    return of->blocking || itr_now() < of->deadline ? 0 : raise_late(of);
}

/* A part is done, and the rest cannot be interrupted. As interruption_wait_for_fd. */
static int
wait_for_rest_of_socket(const interruption_socket_call *of)
{
    for (;;) {
        int64_t left = -1; /* in milliseconds; poll() takes -1 for ever */
        if (of->deadline != ITR_NEVER) {
            int64_t nanoseconds = of->deadline - itr_now();
            left = nanoseconds > 0 ? nanoseconds / 1000000 + 1 : 0;
        }
        struct pollfd fd = {.fd = of->fd, .events = of->events};
        int ready;
        Py_BEGIN_ALLOW_THREADS
        ready = poll(&fd, 1, left < INT_MAX ? (int)left : INT_MAX);
        Py_END_ALLOW_THREADS
        if (ready > 0 || (ready == 0 && left <= INT_MAX)) {
            return ready;
        }
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
    }
}

/* The part is the result, if it cannot be more. As interruption_wait_for_fd; 0 also for what shall
   be left to the next call: a request, an error of the connection. */
static int
wait_for_more(const interruption_socket_call *of)
{
    if (of->vain && is_socket_ready(of)) {
        return 0;
    }
    struct pollfd fds[2] = {{.fd = of->fd, .events = of->events}};
    int result = interruption_wait_for_fds(&of->waiting, fds, 1, of->deadline);
    interruption_wait_over(&of->waiting);
    bool more = fds[0].revents != 0 && !(fds[0].revents & POLLERR);
    return result == 1 && !more ? 0 : result;
}

static int
wait_interruptibly(interruption_socket_call *of)
{
    of->waiting.quiet = of->part == INTERRUPTION_SOCKET_RESULT;
    if (of->waiting.quiet) {
        return wait_for_more(of);
    }
    /* poll() may say for ever that a socket is ready that is not: a datagram's receiver, of which
       it does not know, has no room; something is in the error queue. */
    if (of->vain && is_socket_ready(of)) {
        return interruption_wait_slice(&of->waiting, &of->slice, of->deadline);
    }
    of->slice = 0;
    return interruption_wait_for_fd(&of->waiting, of->fd, of->events, of->deadline);
}

int
interruption_socket_wait(interruption_socket_call *of)
{
    if (!of->waits) {
        bool nothing = of->part == INTERRUPTION_SOCKET_NOTHING;
        if (nothing && of->blocking && is_nonblocking(of->fd)) {
            return INTERRUPTION_SOCKET_ORIGINAL;
        }
        of->may_be_interrupted = interruption_wait_begin(&of->waiting);
        if (!of->may_be_interrupted && nothing) {
            return INTERRUPTION_SOCKET_ORIGINAL;
        }
        of->waits = true;
    }
    if (of->blocking && !of->vain) {
        of->deadline = deadline_of_option(of);
    }
    int result = of->may_be_interrupted ? wait_interruptibly(of) : wait_for_rest_of_socket(of);
    if (result == 0 && of->part == INTERRUPTION_SOCKET_RESULT) {
        return INTERRUPTION_SOCKET_END;
    }
    if (result == 0) {
        result = raise_late(of);
    }
    if (result < 0) {
        return INTERRUPTION_SOCKET_FAILED;
    }
    of->vain = true;
    of->fd = descriptor_of_socket(of->socket); /* another thread may have closed it */
    return INTERRUPTION_SOCKET_AGAIN;
}

/* Turns. -----------------------------------------------------------------------------------------
 *
 * Who looks whether a socket is ready and then calls the original has its turn: its socket is at
 * the place that the address hashes to. Who finds another socket there goes without: that only
 * brings back the race that turns are there against.
 */

enum { TURNS = 1024 };
static _Atomic(PyObject *) turns[TURNS]; /* atomic: sequentially consistent, see address_table.h;
                                            only compared */

typedef struct {
    PyObject *socket;
    _Atomic(PyObject *) *place;
    bool is_ours;
} turn;

static turn
turn_of(PyObject *socket)
{
    uintptr_t address = (uintptr_t)socket;
    return (turn){.socket = socket, .place = &turns[(address >> 4 ^ address >> 16) % TURNS]};
}

/* See interruption_try. */
static int
try_turn(void *arg)
{
    turn *at = arg;
    PyObject *who = NULL;
    at->is_ours = atomic_compare_exchange_strong(at->place, &who, at->socket);
    return at->is_ours || who != at->socket;
}

static void
end_turn(const turn *at)
{
    if (at->is_ours) {
        (void)atomic_exchange(at->place, NULL);
    }
    interruption_wake(at->place, 1);
}

/* Wait for it. As interruption_socket_wait. */
INTERRUPTION_SELDOM static int
wait_for_turn(interruption_socket_call *of, turn *at)
{
    of->may_be_interrupted = interruption_wait_begin(&of->waiting);
    if (!of->may_be_interrupted) {
        return INTERRUPTION_SOCKET_ORIGINAL;
    }
    of->waits = true;
    int result = interruption_wait_in_lot(&of->waiting, at->place, try_turn, at, of->deadline);
    switch (result) {
    case INTERRUPTION_WAIT_OFF:
        return INTERRUPTION_SOCKET_ORIGINAL;
    case 0:
        return raise_late(of);
    case 1:
        return INTERRUPTION_SOCKET_AGAIN;
    default:
        return INTERRUPTION_SOCKET_FAILED;
    }
}

/* 1: the original was called, its result is in `*result`. 0: it would have to wait. -1 with an
   exception set. */
static int
call_in_turn(const interruption_call *call, interruption_socket_call *of, PyObject **result)
{
    turn at = turn_of(of->socket);
    if (!try_turn(&at)) {
        int status = wait_for_turn(of, &at);
        if (status == INTERRUPTION_SOCKET_ORIGINAL) {
            *result = interruption_call_original(call);
            return 1;
        }
        if (status != INTERRUPTION_SOCKET_AGAIN) {
            return -1;
        }
    }
    bool ready = is_socket_ready(of);
    if (ready) {
        *result = interruption_call_original(call);
    }
    end_turn(&at);
    return ready;
}

void
interruption_socket_forget_turns(void)
{
    for (int i = 0; i < TURNS; i++) {
        atomic_store(&turns[i], NULL);
    }
}

PyObject *
interruption_socket_when_ready(const interruption_call *call, interruption_socket_call *of,
                               bool in_turn)
{
    for (;;) {
        PyObject *result = NULL;
        int status = 0;
        if (in_turn) {
            status = call_in_turn(call, of, &result);
        }
        else if (is_socket_ready(of)) {
            status = 1;
            result = interruption_call_original(call);
        }
        if (status != 0) {
            return result;
        }
        switch (interruption_socket_wait(of)) {
        case INTERRUPTION_SOCKET_ORIGINAL:
            return interruption_call_original(call);
        case INTERRUPTION_SOCKET_AGAIN:
            break;
        default:
            return NULL;
        }
    }
}

/* Arguments. ---------------------------------------------------------------------------------- */

/* Flags that mean the same together with MSG_DONTWAIT. */
static const int RECEIVE_FLAGS = MSG_PEEK | MSG_TRUNC | MSG_NOSIGNAL
#ifdef MSG_CMSG_CLOEXEC
                                 | MSG_CMSG_CLOEXEC
#endif
    ;
static const int SEND_FLAGS = MSG_DONTROUTE | MSG_NOSIGNAL
#ifdef __linux__
                              | MSG_MORE | MSG_CONFIRM
#endif
    ;

/* Flags with which a blocking socket does not wait. */
static const int NO_WAIT_FLAGS = MSG_DONTWAIT | MSG_OOB
#ifdef MSG_ERRQUEUE
                                 | MSG_ERRQUEUE
#endif
    ;

bool
interruption_socket_is_stream(const interruption_socket_call *of)
{
    return interruption_socket_option(of->fd, SO_TYPE, SOCK_STREAM) == SOCK_STREAM;
}

bool
interruption_socket_size(PyObject *argument, Py_ssize_t *size)
{
    if (argument == NULL) {
        return true;
    }
    if (!PyLong_Check(argument)) {
        return false;
    }
    *size = PyLong_AsSsize_t(argument);
    if (*size == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return true;
}

bool
interruption_socket_flags(PyObject *argument, int *flags)
{
    Py_ssize_t value = 0;
    if (!interruption_socket_size(argument, &value) || value < INT_MIN || value > INT_MAX) {
        return false;
    }
    *flags = (int)value;
    return true;
}

interruption_socket_way
interruption_socket_way_in(const interruption_socket_call *of, int flags)
{
    int special = flags & ~RECEIVE_FLAGS;
    /* Only a blocking stream waits for all. */
    if ((special & MSG_WAITALL) && !(of->blocking && interruption_socket_is_stream(of))) {
        special &= ~MSG_WAITALL;
    }
    if (special == 0) {
        return INTERRUPTION_SOCKET_DO;
    }
    if (!of->blocking) {
        return INTERRUPTION_SOCKET_IN_TURN;
    }
    return special & NO_WAIT_FLAGS ? INTERRUPTION_SOCKET_ASK : INTERRUPTION_SOCKET_WHEN_READY;
}

interruption_socket_way
interruption_socket_way_out(const interruption_socket_call *of, int flags)
{
    if ((flags & ~SEND_FLAGS) == 0) {
        return INTERRUPTION_SOCKET_DO;
    }
    return of->blocking && (flags & MSG_DONTWAIT) ? INTERRUPTION_SOCKET_ASK
                                                  : INTERRUPTION_SOCKET_WHEN_READY;
}

PyObject *
interruption_socket_go(interruption_socket_way how, const interruption_call *call,
                       interruption_socket_call *of)
{
    if (how == INTERRUPTION_SOCKET_ASK) {
        return interruption_call_original(call);
    }
    return interruption_socket_when_ready(call, of, how == INTERRUPTION_SOCKET_IN_TURN);
}

/* Bytes. -----------------------------------------------------------------------------------------
 */

/* One system call for the rest. -1 with errno set. */
static Py_ssize_t
pass(const interruption_socket_call *of, interruption_socket_cargo *what)
{
    Py_ssize_t count;
    int error;
    int flags = what->flags | MSG_DONTWAIT;
    size_t rest = (size_t)(what->length - what->done);
    Py_BEGIN_ALLOW_THREADS
    count = of->events & POLLIN ? recv(of->fd, what->data + what->done, rest, flags)
                                : send(of->fd, what->data + what->done, rest, flags);
    error = errno;
    Py_END_ALLOW_THREADS
    errno = error;
    return count;
}

int
interruption_socket_carry(interruption_socket_call *of, interruption_socket_cargo *what, int part)
{
    for (;;) {
        Py_ssize_t count = pass(of, what);
        if (count < 0 && !interruption_socket_would_wait(errno)) {
            if (of->part == INTERRUPTION_SOCKET_RESULT) {
                return INTERRUPTION_SOCKET_END;
            }
            (void)PyErr_SetFromErrno(PyExc_OSError);
            return INTERRUPTION_SOCKET_FAILED;
        }
        if (count >= 0) {
            what->done += count;
            of->vain = false;
            bool end = count == 0 && (of->events & POLLIN);
            if (end || part == INTERRUPTION_SOCKET_NOTHING || what->done >= what->length) {
                return INTERRUPTION_SOCKET_END;
            }
        }
        if (what->done > 0) {
            of->part = part;
        }
        if (part == INTERRUPTION_SOCKET_LOST_PART && count >= 0 &&
            (PyErr_CheckSignals() < 0 || interruption_socket_check_time(of) < 0)) {
            return INTERRUPTION_SOCKET_FAILED;
        }
        int status = interruption_socket_wait(of);
        if (status != INTERRUPTION_SOCKET_AGAIN) {
            return status;
        }
    }
}
