/*
 * What _ssl does on a blocking socket, one call or many of the system, cannot be told
 * beforehand: a record comes in parts, some are not for the program, a handshake goes to and fro.
 * So the original is called in a non-blocking section (tls_section.h), and where it would wait we
 * wait, and call it again with the same arguments, as OpenSSL wants it. The socket's timeout is for
 * all of it.
 *
 * A read that was interrupted has lost nothing: the parts are kept by OpenSSL for the next one. A
 * write waits for room before it begins; interrupted then, nothing was written. After a write
 * that was interrupted in its midst, as after one that has timed out, OpenSSL goes on only
 * with the same data: the connection is good for being closed. A handshake and a shutdown may be
 * called again.
 *
 * Threads outside of regions that come to a socket which others have sections of do likewise,
 * though nobody interrupts them.
 */
#include "blocking/interposed.h"

#include <errno.h>
#include <string.h>

#include "cpython/compat.h"
#include "blocking/net/tls_section.h"
#include "blocking/wait.h"

/* What differs between the calls. */
typedef struct {
    bool takes;       /* something in (S10b) */
    bool needs_room;  /* before it begins */
    const char *late; /* what it says when the time is over; NULL: by what it waited for */
} operation;

/* One call, and the socket that it is about. */
typedef struct {
    const mod_call *call;
    const operation *what;
    PyObject *socket; /* a reference */
    int fd;
    mod_tls_calls *calls;
    bool others_read;        /* when it joined them */
    bool has_begun;          /* to wait */
    bool may_be_interrupted; /* when it has begun */
    bool has_timeout;
    itr_deadline deadline;
    mod_waiting waiting;
} tls_call;

/* What would it have to wait for? An event of poll(); 0: it has a result, or failed. */
static short
wanted_by(const PyObject *result)
{
    const PyTypeObject *type = result == NULL ? (PyTypeObject *)PyErr_Occurred() : NULL;
    if (type == NULL) {
        return 0;
    }
    const char *dot = strrchr(type->tp_name, '.');
    const char *name = dot == NULL ? type->tp_name : dot + 1;
    return strcmp(name, "SSLWantReadError") == 0    ? POLLIN
           : strcmp(name, "SSLWantWriteError") == 0 ? POLLOUT
                                                    : 0;
}

/* The socket of an _SSLSocket: its owner, if that is an ssl.SSLSocket. NULL: another shape, or none
   (ssl.SSLObject never waits). */
static PyObject *
socket_of(PyObject *self)
{
    PyObject *owner = PyObject_GetAttrString(self, "owner");
    PyObject *back = NULL;
    if (owner != NULL && mod_tls_is_socket(owner)) {
        back = PyObject_GetAttrString(owner, "_sslobj");
    }
    Py_XDECREF(back);
    PyErr_Clear();
    if (back != self) {
        Py_CLEAR(owner);
    }
    return owner;
}

/* False: it never waits, or we do not know it; that is the original's. */
static bool
begin_tls_call(tls_call *of, const mod_call *call, const operation *what)
{
    *of = (tls_call){.call = call, .what = what, .deadline = ITR_NEVER};
    of->socket = socket_of(call->self);
    if (of->socket == NULL) {
        return false;
    }
    int64_t timeout = mod_tls_timeout(of->socket);
    of->fd = mod_tls_descriptor(of->socket);
    if (timeout == 0 || of->fd < 0) {
        Py_CLEAR(of->socket);
        return false;
    }
    of->has_timeout = timeout > 0;
    if (of->has_timeout) {
        of->deadline = itr_deadline_after(timeout);
    }
    return true;
}

/* The original, which does not wait. */
static PyObject *
call_in_section(const tls_call *of)
{
    bool ours = mod_tls_begin_section(of->calls, of->socket);
    PyObject *result = mod_call_original(of->call);
    if (ours) {
        mod_raised raised = mod_put_aside();
        mod_tls_end_section(of->calls);
        mod_put_back(raised);
    }
    return result;
}

/* Waiting. ------------------------------------------------------------------------------------ */

/* The time is over. What the original says then, but for the line of _ssl.c that some of it names.
 */
static void
fail_late(const tls_call *of, short events)
{
    const char *late = of->what->late;
    if (late == NULL) {
        late = events == POLLOUT ? "The write operation timed out" : "The read operation timed out";
    }
    PyErr_SetString(PyExc_TimeoutError, late);
}

static bool
may_be_interrupted(tls_call *of)
{
    if (!of->has_begun) {
        of->has_begun = true;
        of->may_be_interrupted = mod_wait_begin(&of->waiting);
    }
    return of->may_be_interrupted;
}

/* Wait until the descriptor is ready: then the original is to be called again. False: an exception
   is set. */
static bool
wait_for_tls(tls_call *of, short events)
{
    int status = may_be_interrupted(of)
                     ? mod_wait_for_fd(&of->waiting, of->fd, events, of->deadline)
                     : mod_wait_uninterrupted(of->fd, events, of->deadline);
    if (status == 0) {
        fail_late(of, events);
    }
    /* OpenSSL would go on using the number. */
    if (status > 0 && mod_tls_descriptor(of->socket) != of->fd) {
        errno = EBADF;
        (void)PyErr_SetFromErrno(PyExc_OSError);
        status = -1;
    }
    return status > 0;
}

/* Is there something to write, and no room? What is no data is for the original to refuse. */
static bool
needs_room(const tls_call *of)
{
    PyObject *data = of->what->needs_room ? mod_call_argument(of->call, 0, NULL) : NULL;
    if (data == NULL || !PyObject_CheckBuffer(data)) {
        return false;
    }
    Py_ssize_t length = PyObject_Size(data);
    if (length <= 0) {
        PyErr_Clear();
        return false;
    }
    return !mod_is_ready(of->fd, POLLOUT);
}

/* `events`: what to wait for before the first attempt, or 0. */
static PyObject *
try_until_done(tls_call *of, short events)
{
    while (events == 0 || wait_for_tls(of, events)) {
        PyObject *result = call_in_section(of);
        events = wanted_by(result);
        if (events == 0) {
            return result;
        }
        PyErr_Clear();
    }
    return NULL;
}

/* Beside others, who may be in OpenSSL and block there. --------------------------------------- */

/* What has to be there before the original can go on at all; 0: nothing, or it is not known. */
static short
wanted_before(const tls_call *of)
{
    if (!of->what->takes) {
        return needs_room(of) ? POLLOUT : 0;
    }
    PyObject *pending = PyObject_CallMethod(of->call->self, "pending", NULL);
    bool none = pending != NULL && PyObject_Not(pending) == 1;
    Py_XDECREF(pending);
    PyErr_Clear();
    return none && !mod_is_ready(of->fd, POLLIN) ? POLLIN : 0;
}

static bool
join_tls_call(tls_call *of)
{
    of->calls = mod_tls_enter(of->call->self, of->what->takes, true, &of->others_read);
    if (of->calls == NULL) {
        (void)PyErr_NoMemory();
    }
    return of->calls != NULL;
}

static void
leave_tls_call(const tls_call *of)
{
    mod_tls_leave(of->calls, of->what->takes);
}

/* Join when it can go on. Where others are in OpenSSL as CPython makes their calls, that is when it
   has what it needs. With two who read, OpenSSL would crash sooner or later: those who read already
   go first. To those who write a reader gives a little time, but no more: one of them may wait for
   it to read. False: an exception is set. */
static bool
join_when_ready(tls_call *of)
{
    int64_t slice = 0;
    for (unsigned tries = of->what->takes ? 3 : 0; join_tls_call(of); tries -= tries > 0) {
        bool in_sections = of->calls->sections;
        short events = in_sections ? 0 : wanted_before(of);
        bool gives_way = !in_sections && of->what->takes && (of->others_read || tries > 0);
        if ((events == 0 && !gives_way) || !may_be_interrupted(of)) {
            return true;
        }
        leave_tls_call(of); /* so as not to be one of the users */
        if ((events != 0 && !wait_for_tls(of, events)) ||
            (gives_way && mod_wait_slice(&of->waiting, &slice, ITR_NEVER) < 0)) {
            break;
        }
    }
    return false;
}

/* Calls in and outside of regions. ------------------------------------------------------------ */

static PyObject *
call_inside(const mod_call *call, const operation *what)
{
    tls_call of;
    if (!begin_tls_call(&of, call, what)) {
        return mod_call_original(call); /* it only looks: no place to be stopped (S10b) */
    }
    if (what->takes && mod_wait_entry() < 0) {
        Py_DECREF(of.socket);
        return NULL;
    }
    PyObject *result = NULL;
    /* With a timeout nobody blocks in OpenSSL, the descriptor being non-blocking: then ours may be
       in sections beside others, as well as those are there beside each other. */
    if (of.has_timeout ? join_tls_call(&of) : join_when_ready(&of)) {
        result = of.calls->sections || of.has_timeout
                     ? try_until_done(&of, needs_room(&of) ? POLLOUT : 0)
                     : mod_call_original(call);
        leave_tls_call(&of);
    }
    Py_DECREF(of.socket);
    return result;
}

/* A call that is not interrupted. */
static PyObject *
call_outside(const mod_call *call, const operation *what)
{
    bool others_read;
    mod_tls_calls *calls = mod_tls_enter(call->self, what->takes, false, &others_read);
    if (calls == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *result;
    tls_call of;
    if (!calls->sections || !begin_tls_call(&of, call, what)) {
        result = mod_call_original(call);
    }
    else {
        of.calls = calls;
        of.has_begun = true;
        result = try_until_done(&of, 0);
        Py_DECREF(of.socket);
    }
    mod_tls_leave(calls, what->takes);
    return result;
}

static PyObject *
call_operation(const mod_call *call, const operation *what)
{
    return mod_is_inside() ? call_inside(call, what) : call_outside(call, what);
}

/* The calls. ---------------------------------------------------------------------------------- */

static PyObject *
do_handshake(const mod_call *call)
{
    static const operation handshake = {.late = "The handshake operation timed out"};
    return call_operation(call, &handshake);
}

static PyObject *
do_read(const mod_call *call)
{
    static const operation read = {.takes = true, .late = "The read operation timed out"};
    return call_operation(call, &read);
}

static PyObject *
do_write(const mod_call *call)
{
    static const operation write = {.needs_room = true, .late = "The write operation timed out"};
    return call_operation(call, &write);
}

static PyObject *
do_shutdown(const mod_call *call)
{
    static const operation shutdown = {.late = NULL};
    return call_operation(call, &shutdown);
}

MOD_REPLACEMENT(tls_handshake, mod_called_always, do_handshake);
MOD_REPLACEMENT(tls_read, mod_called_always, do_read);
MOD_REPLACEMENT(tls_write, mod_called_always, do_write);
MOD_REPLACEMENT(tls_shutdown, mod_called_always, do_shutdown);
MOD_REPLACEMENT(tls_sendfile, mod_called_always, do_write);

static const mod_row tls_rows[] = {
    {"_ssl", "_SSLSocket", "do_handshake", &tls_handshake, false},
    {"_ssl", "_SSLSocket", "read", &tls_read, false},
    {"_ssl", "_SSLSocket", "write", &tls_write, false},
    {"_ssl", "_SSLSocket", "shutdown", &tls_shutdown, false},
    {"_ssl", "_SSLSocket", "sendfile", &tls_sendfile, true},
    {NULL, NULL, NULL, NULL, false},
};

static bool
find_sections(void)
{
    if (!mod_tls_sections_work()) {
        PyErr_SetString(PyExc_RuntimeError, "a socket's timeout is not found");
        return false;
    }
    return true;
}

mod_family mod_tls = {.name = "TLS", .rows = tls_rows, .check = find_sections};
