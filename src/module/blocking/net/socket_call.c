/* See socket_call.h. */
#include "blocking/net/socket_call.h"

#include <errno.h>
#include <sys/socket.h>

#include "blocking/io/streams.h"
#include "blocking/numbers.h"

mod_method mod_socket_fileno, mod_socket_gettimeout;

/* The socket. --------------------------------------------------------------------------------- */

/* Its descriptor; -1: it is closed. */
static int
descriptor_of_socket(PyObject *socket)
{
    return mod_descriptor_of(&mod_socket_fileno, socket);
}

bool
mod_socket_begin(mod_socket_call *of, PyObject *socket, short events)
{
    PyObject *timeout = mod_original(&mod_socket_gettimeout)(socket, NULL);
    if (timeout == NULL) {
        PyErr_Clear();
        return false;
    }
    *of = (mod_socket_call){.socket = socket,
                            .fd = descriptor_of_socket(socket),
                            .events = events,
                            .blocking = timeout == Py_None,
                            .late = EAGAIN,
                            .deadline = ITR_NEVER};
    bool ours = of->fd >= 0 && mod_deadline_of(timeout, MOD_NONE_IS_EVER, &of->deadline);
    Py_DECREF(timeout);
    return ours;
}

static bool
socket_only_looks(PyObject *socket, PyObject *flags)
{
    PyObject *timeout = mod_original(&mod_socket_gettimeout)(socket, NULL);
    bool blocks = timeout == Py_None;
    bool looks = timeout != NULL && PyFloat_Check(timeout) && PyFloat_AS_DOUBLE(timeout) == 0;
    Py_XDECREF(timeout);
    PyErr_Clear();
    int bits = 0;
    if (!blocks) {
        return looks;
    }
    return (mod_flags_of(flags, &bits) && (bits & MSG_DONTWAIT)) ||
           mod_is_nonblocking(descriptor_of_socket(socket));
}

int
mod_socket_enter(const mod_call *call, PyObject *flags)
{
    if (!mod_is_asked() || socket_only_looks(call->self, flags)) {
        return 0;
    }
    return mod_wait_entry_asked();
}

int
mod_socket_option(int fd, int option, int otherwise)
{
    int value = otherwise;
    socklen_t length = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? otherwise : value;
}

/* Is it ready now? Also if poll() cannot tell: then it is for the system call to say. */
static bool
is_socket_ready(const mod_socket_call *of)
{
    return of->fd < 0 || mod_is_ready(of->fd, of->events);
}

/* Waiting. ------------------------------------------------------------------------------------ */

static int
raise_late(mod_socket_call *of)
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

/* Raise TimeoutError if the socket's timeout is over: -1, else 0. */
static int
check_time(mod_socket_call *of)
{
    return of->blocking || itr_now() < of->deadline ? 0 : raise_late(of);
}

/* The part is the result, if it cannot be more. As mod_wait_for_fd; 0 also for what shall
   be left to the next call: a request, an error of the connection. */
static int
wait_for_more(const mod_socket_call *of)
{
    if (of->spurious && is_socket_ready(of)) {
        return 0;
    }
    struct pollfd fds[2] = {{.fd = of->fd, .events = of->events}};
    int result = mod_wait_for_fds(&of->waiting, fds, 1, of->deadline);
    mod_wait_over(&of->waiting);
    bool more = fds[0].revents != 0 && !(fds[0].revents & POLLERR);
    return result == 1 && !more ? 0 : result;
}

static int
wait_interruptibly(mod_socket_call *of)
{
    of->waiting.quiet = of->progress == MOD_SOCKET_RESULT;
    if (of->waiting.quiet) {
        return wait_for_more(of);
    }
    /* poll() may say for ever that a socket is ready that is not: a datagram's receiver, of which
       it does not know, has no room; something is in the error queue. */
    if (of->spurious && is_socket_ready(of)) {
        return mod_wait_slice(&of->waiting, &of->slice, of->deadline);
    }
    of->slice = 0;
    return mod_wait_for_fd(&of->waiting, of->fd, of->events, of->deadline);
}

int
mod_socket_wait(mod_socket_call *of)
{
    if (!of->waits) {
        bool nothing = of->progress == MOD_SOCKET_NOTHING;
        if (nothing && of->blocking && mod_is_nonblocking(of->fd)) {
            return MOD_SOCKET_ORIGINAL;
        }
        of->may_be_interrupted = mod_wait_begin(&of->waiting);
        if (!of->may_be_interrupted && nothing) {
            return MOD_SOCKET_ORIGINAL;
        }
        of->waits = true;
    }
    if (of->blocking && !of->spurious) {
        of->deadline = mod_stream_limit(of->fd, of->events);
    }
    int result = of->may_be_interrupted ? wait_interruptibly(of)
                                        : mod_wait_uninterrupted(of->fd, of->events, of->deadline);
    if (result == 0 && of->progress == MOD_SOCKET_RESULT) {
        return MOD_SOCKET_END;
    }
    if (result == 0) {
        result = raise_late(of);
    }
    if (result < 0) {
        return MOD_SOCKET_FAILED;
    }
    of->spurious = true;
    of->fd = descriptor_of_socket(of->socket); /* another thread may have closed it */
    return MOD_SOCKET_AGAIN;
}

/* Ownership. -------------------------------------------------------------------------------------
 *
 * A thread that looks whether a socket is ready and then calls the original owns the socket: that
 * is at the place that its address hashes to. One that finds another socket there goes without:
 * that only brings back the race that ownership is there against.
 */

enum { PLACES = 1024 };
static _Atomic(PyObject *) owners[PLACES]; /* atomic: sequentially consistent, see
                                              address_table.h; only compared */

typedef struct {
    PyObject *socket;
    _Atomic(PyObject *) *place;
    bool is_ours;
} ownership;

static ownership
place_of_owner(PyObject *socket)
{
    uintptr_t address = (uintptr_t)socket;
    return (ownership){.socket = socket, .place = &owners[(address >> 4 ^ address >> 16) % PLACES]};
}

/* See mod_try. */
static int
try_to_own(void *arg)
{
    ownership *at = arg;
    PyObject *who = NULL;
    at->is_ours = atomic_compare_exchange_strong(at->place, &who, at->socket);
    return at->is_ours || who != at->socket;
}

static void
give_up_place(const ownership *at)
{
    if (at->is_ours) {
        (void)atomic_exchange(at->place, NULL);
    }
    mod_wake(at->place, 1);
}

/* Wait for it. As mod_socket_wait. */
MOD_SELDOM static int
wait_to_own(mod_socket_call *of, ownership *at)
{
    of->may_be_interrupted = mod_wait_begin(&of->waiting);
    if (!of->may_be_interrupted) {
        return MOD_SOCKET_ORIGINAL;
    }
    of->waits = true;
    int result = mod_wait_in_lot(&of->waiting, at->place, try_to_own, at, of->deadline);
    switch (result) {
    case MOD_WAIT_OFF:
        return MOD_SOCKET_ORIGINAL;
    case 0:
        return raise_late(of);
    case 1:
        return MOD_SOCKET_AGAIN;
    default:
        return MOD_SOCKET_FAILED;
    }
}

/* 1: the original was called, its result is in `*result`. 0: it would have to wait. -1 with an
   exception set. */
static int
call_as_owner(const mod_call *call, mod_socket_call *of, PyObject **result)
{
    ownership at = place_of_owner(of->socket);
    if (!try_to_own(&at)) {
        int status = wait_to_own(of, &at);
        if (status == MOD_SOCKET_ORIGINAL) {
            *result = mod_call_original(call);
            return 1;
        }
        if (status != MOD_SOCKET_AGAIN) {
            return -1;
        }
    }
    bool ready = is_socket_ready(of);
    if (ready) {
        *result = mod_call_original(call);
    }
    give_up_place(&at);
    return ready;
}

void
mod_socket_forget_owners(void)
{
    for (int i = 0; i < PLACES; i++) {
        atomic_store(&owners[i], NULL);
    }
}

PyObject *
mod_socket_when_ready(const mod_call *call, mod_socket_call *of)
{
    for (;;) {
        PyObject *result = NULL;
        bool sends = of->events & POLLOUT;
        if (sends && is_socket_ready(of)) {
            return mod_call_original(call);
        }
        if (!sends && call_as_owner(call, of, &result) != 0) {
            return result;
        }
        switch (mod_socket_wait(of)) {
        case MOD_SOCKET_ORIGINAL:
            return mod_call_original(call);
        case MOD_SOCKET_AGAIN:
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
mod_socket_is_stream(const mod_socket_call *of)
{
    return mod_socket_option(of->fd, SO_TYPE, SOCK_STREAM) == SOCK_STREAM;
}

mod_socket_way
mod_socket_way_in(const mod_socket_call *of, int flags)
{
    int special = flags & ~RECEIVE_FLAGS;
    /* Only a blocking stream waits for all. */
    if ((special & MSG_WAITALL) && !(of->blocking && mod_socket_is_stream(of))) {
        special &= ~MSG_WAITALL;
    }
    if (special == 0) {
        return MOD_SOCKET_DO;
    }
    return of->blocking && (special & NO_WAIT_FLAGS) ? MOD_SOCKET_ASK : MOD_SOCKET_WHEN_READY;
}

mod_socket_way
mod_socket_way_out(const mod_socket_call *of, int flags)
{
    if ((flags & ~SEND_FLAGS) == 0) {
        return MOD_SOCKET_DO;
    }
    return of->blocking && (flags & MSG_DONTWAIT) ? MOD_SOCKET_ASK : MOD_SOCKET_WHEN_READY;
}

PyObject *
mod_socket_go(mod_socket_way how, const mod_call *call, mod_socket_call *of)
{
    return how == MOD_SOCKET_ASK ? mod_call_original(call) : mod_socket_when_ready(call, of);
}

/* Bytes. -----------------------------------------------------------------------------------------
 */

/* The errno says that it would have to wait. */
static bool
would_wait(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* One system call for the rest. -1 with errno set. */
static Py_ssize_t
transfer_rest(const mod_socket_call *of, mod_socket_transfer *what)
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
mod_socket_run(mod_socket_call *of, mod_socket_transfer *what, int progress)
{
    for (;;) {
        Py_ssize_t count = transfer_rest(of, what);
        if (count < 0 && !would_wait(errno)) {
            if (of->progress == MOD_SOCKET_RESULT) {
                return MOD_SOCKET_END;
            }
            (void)PyErr_SetFromErrno(PyExc_OSError);
            return MOD_SOCKET_FAILED;
        }
        if (count >= 0) {
            what->done += count;
            of->spurious = false;
            bool end = count == 0 && (of->events & POLLIN);
            if (end || progress == MOD_SOCKET_NOTHING || what->done >= what->length) {
                return MOD_SOCKET_END;
            }
        }
        if (what->done > 0) {
            of->progress = progress;
        }
        if (progress == MOD_SOCKET_LOST && count >= 0 &&
            (PyErr_CheckSignals() < 0 || check_time(of) < 0)) {
            return MOD_SOCKET_FAILED;
        }
        int status = mod_socket_wait(of);
        if (status != MOD_SOCKET_AGAIN) {
            return status;
        }
    }
}
