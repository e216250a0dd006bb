/*
 * What _ssl does on a blocking socket, one call or many of the system, cannot be told
 * beforehand: a record comes in parts, some are not for the program, a handshake goes to and fro.
 * So the original is called in a non-blocking section: the socket's timeout is 0 there and its
 * descriptor non-blocking, and _ssl raises SSLWantReadError or SSLWantWriteError where it would
 * wait. Then we wait, and call it again with the same arguments, as OpenSSL wants it. The socket's
 * timeout is for all of it.
 *
 * A read that was interrupted has lost nothing: the parts are kept by OpenSSL for the next one. A
 * write waits for room before it begins; interrupted then, nothing was written. After a write
 * that was interrupted in its midst, as after one that has timed out, OpenSSL goes on only
 * with the same data: the connection is good for being closed. A handshake and a shutdown may be
 * called again.
 *
 * A section has an owner, who is alone in OpenSSL. That is not made for two at a time in one
 * object; CPython lets them, and gets errors of it at times. Whoever comes first to an object
 * (_ssl._SSLSocket) decides how its calls are made until nobody is in one: a thread in a region, in
 * sections, and others that come do likewise, though nobody interrupts those outside of regions;
 * any other, as CPython makes them, and they may block in OpenSSL, so nobody has a section
 * meanwhile. A call that was under way when calls were interposed is not known here: one without a
 * timeout goes round and round in a section.
 */
#include "blocking/interposed.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "cpython/compat.h"
#include "blocking/wait.h"
#include "interpose/originals.h"

enum {
    BUCKETS = 64,         /* a power of 2 */
    FIRST_SLEEP = 20000,  /* ns */
    LAST_SLEEP = 1000000, /* ns */
    PATIENCE = 1000000000 /* ns; no section takes so long, but for callbacks of Python's */
};

/* The socket. --------------------------------------------------------------------------------- */

/* How a socket begins, as in Modules/socketmodule.h. Its timeout is changed in place: settimeout()
   lets go of the GIL, which may take long to come back, and so others would see it half changed. */
typedef struct {
    PyObject_HEAD int fd; /* -1: it is closed */
    int family, type, protocol;
    PyObject *(*fail)(void);
    int64_t timeout; /* ns; below 0: there is none, 0: not to wait */
} tls_socket;

/* _socket.socket: a reference, for as long as the process lives. Written by find_socket_type before
   anything is interposed. */
static PyTypeObject *socket_type;

/* Is that what a socket looks like? As one does that has not been opened yet. */
static bool
find_socket_type(void)
{
    PyTypeObject *type = mod_find_type(&(mod_row){"_socket", "socket", NULL, NULL, false});
    if (type == NULL) {
        return false;
    }
    PyObject *made = PyObject_CallMethod((PyObject *)type, "__new__", "O", type);
    const tls_socket *new = (const tls_socket *)made;
    if (made != NULL && type->tp_basicsize >= (Py_ssize_t)sizeof(*new) && new->fd == -1 &&
        new->timeout == -INT64_C(1000000000)) {
        Py_XSETREF(socket_type, (PyTypeObject *)Py_NewRef(type));
    }
    else if (made != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a socket's timeout is not found");
    }
    Py_XDECREF(made);
    Py_DECREF(type);
    return !PyErr_Occurred();
}

/* Relaxed: CPython's own accesses are plain. */
static int
descriptor_now(const tls_socket *socket)
{
    return __atomic_load_n(&socket->fd, __ATOMIC_RELAXED);
}

static int64_t
timeout_now(const tls_socket *socket)
{
    return __atomic_load_n(&socket->timeout, __ATOMIC_RELAXED);
}

static void
set_timeout_now(tls_socket *socket, int64_t timeout)
{
    __atomic_store_n(&socket->timeout, timeout, __ATOMIC_RELAXED);
}

/* The descriptor cannot be closed meanwhile with a GIL, as the socket forgets it before it closes
   it and lets go of the GIL. */
static void
set_blocking(const tls_socket *socket, bool blocking)
{
    int fd = descriptor_now(socket), non_blocking = !blocking;
    if (fd >= 0) {
        (void)ioctl(fd, FIONBIO, &non_blocking);
    }
}

/* The calls of one object. -------------------------------------------------------------------- */

/* What is known of one object while there are calls of it. */
typedef struct tls_calls {
    struct tls_calls *next; /* guarded by the mutex */
    PyObject *object;       /* constant; held by those who call */
    unsigned users;         /* guarded by the mutex */
    unsigned readers;       /* guarded by the mutex: those of them who read */
    unsigned long owner;    /* guarded by the mutex: who is in a section, or 0 */
    tls_socket *socket;     /* guarded by the mutex: while there is an owner, its */
    int64_t timeout;        /* guarded by the mutex: that the socket has otherwise */
    bool sections;          /* constant: how the calls are made */
} tls_calls;

/* By the object's address; guarded by the mutex. */
static tls_calls *tls_buckets[BUCKETS];

/* Under the mutex. The link to the object's, or to the NULL at the end. */
static tls_calls **
find_calls(PyObject *object)
{
    tls_calls **link = &tls_buckets[(uintptr_t)object / 64 % BUCKETS];
    while (*link != NULL && (*link)->object != object) {
        link = &(*link)->next;
    }
    return link;
}

static tls_calls *
enter_calls(PyObject *object, bool reads, bool in_sections, bool *others_read)
{
    mod_mutex_lock(&mod_mutexes.tls);
    tls_calls **link = find_calls(object);
    if (*link == NULL) {
        *link = PyMem_RawMalloc(sizeof(**link));
        if (*link != NULL) {
            **link = (tls_calls){.object = object, .sections = in_sections};
        }
    }
    tls_calls *calls = *link;
    if (calls != NULL) {
        *others_read = calls->readers > 0;
        calls->users++;
        calls->readers += reads;
    }
    mod_mutex_unlock(&mod_mutexes.tls);
    return calls;
}

static void
leave_calls(tls_calls *calls, bool reads)
{
    mod_mutex_lock(&mod_mutexes.tls);
    calls->readers -= reads;
    bool last = --calls->users == 0;
    tls_calls **link = find_calls(calls->object);
    if (last && *link == calls) { /* not in the child of a fork that was made in it */
        *link = calls->next;
    }
    mod_mutex_unlock(&mod_mutexes.tls);
    if (last) {
        PyMem_RawFree(calls);
    }
}

/* Sections. ----------------------------------------------------------------------------------- */

/* Under the mutex. */
static void
open_section(tls_calls *calls, tls_socket *socket, unsigned long self)
{
    int64_t timeout = timeout_now(socket);
    if (calls->owner == 0 || timeout != 0) { /* else it is taken over as it is */
        calls->timeout = timeout;
        set_timeout_now(socket, 0);
        if (timeout < 0) {
            set_blocking(socket, false);
        }
    }
    calls->socket = socket;
    calls->owner = self;
}

/* Under the mutex. */
static void
close_section(tls_calls *calls)
{
    calls->owner = 0;
    if (timeout_now(calls->socket) != 0) {
        return; /* somebody has set it meanwhile */
    }
    set_timeout_now(calls->socket, calls->timeout);
    if (calls->timeout < 0) {
        set_blocking(calls->socket, true);
    }
}

/* The timeout that it has outside of sections. */
static int64_t
timeout_outside(PyObject *object, const tls_socket *socket)
{
    mod_mutex_lock(&mod_mutexes.tls);
    const tls_calls *calls = *find_calls(object);
    int64_t timeout = timeout_now(socket);
    if (timeout == 0 && calls != NULL && calls->owner != 0) {
        timeout = calls->timeout;
    }
    mod_mutex_unlock(&mod_mutexes.tls);
    return timeout;
}

/* Who was in one: 0, nobody. It is ours now if so, or if we have waited too long. */
static unsigned long
try_to_open(tls_calls *calls, tls_socket *socket, unsigned long self, bool too_long)
{
    mod_mutex_lock(&mod_mutexes.tls);
    unsigned long owner = calls->owner;
    if (owner == 0 || (too_long && owner != self)) {
        open_section(calls, socket, self);
        owner = 0;
    }
    mod_mutex_unlock(&mod_mutexes.tls);
    return owner;
}

static bool
begin_section(tls_calls *calls, tls_socket *socket)
{
    unsigned long self = PyThread_get_thread_ident();
    long slept = 0, duration = FIRST_SLEEP;
    for (;;) {
        unsigned long owner = try_to_open(calls, socket, self, slept >= PATIENCE);
        if (owner == 0 || owner == self) {
            return owner == 0;
        }
        struct timespec time = {.tv_nsec = duration};
        Py_BEGIN_ALLOW_THREADS(void)
        nanosleep(&time, NULL);
        Py_END_ALLOW_THREADS
        slept += duration;
        duration = duration < LAST_SLEEP / 2 ? 2 * duration : LAST_SLEEP;
    }
}

static void
end_section(tls_calls *calls)
{
    mod_mutex_lock(&mod_mutexes.tls);
    if (calls->owner == PyThread_get_thread_ident()) {
        close_section(calls);
    }
    mod_mutex_unlock(&mod_mutexes.tls);
}

/* The other threads are not there; one that has forked in a signal handler finds its section
   closed, and leaves its call. What the others had is lost. Whether a descriptor blocks is the
   parent's, who shares it. */
void
mod_tls_forget_calls(void)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (tls_calls *of = tls_buckets[i]; of != NULL; of = of->next) {
            if (of->owner != 0 && timeout_now(of->socket) == 0) {
                set_timeout_now(of->socket, of->timeout);
            }
            of->owner = 0;
        }
        tls_buckets[i] = NULL;
    }
}

/* What must not see them. --------------------------------------------------------------------- */

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
    tls_socket *socket; /* a reference */
    int fd;
    tls_calls *calls;
    bool others_read;        /* when it joined them */
    bool has_begun;          /* to wait */
    bool may_be_interrupted; /* when it has begun */
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
static tls_socket *
socket_of(PyObject *self)
{
    PyObject *owner = PyObject_GetAttrString(self, "owner");
    PyObject *back = NULL;
    if (owner != NULL && PyObject_TypeCheck(owner, socket_type)) {
        back = PyObject_GetAttrString(owner, "_sslobj");
    }
    Py_XDECREF(back);
    PyErr_Clear();
    if (back != self) {
        Py_CLEAR(owner);
    }
    return (tls_socket *)owner;
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
    int64_t timeout = timeout_outside(call->self, of->socket);
    of->fd = descriptor_now(of->socket);
    if (timeout == 0 || of->fd < 0) {
        Py_CLEAR(of->socket);
        return false;
    }
    if (timeout > 0) {
        of->deadline = itr_deadline_after(timeout);
    }
    return true;
}

/* The original, which does not wait. */
static PyObject *
call_in_section(const tls_call *of)
{
    bool ours = begin_section(of->calls, of->socket);
    PyObject *result = mod_call_original(of->call);
    if (ours) {
        mod_raised raised = mod_put_aside();
        end_section(of->calls);
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
    if (status > 0 && descriptor_now(of->socket) != of->fd) {
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
join_calls(tls_call *of)
{
    of->calls = enter_calls(of->call->self, of->what->takes, true, &of->others_read);
    if (of->calls == NULL) {
        (void)PyErr_NoMemory();
    }
    return of->calls != NULL;
}

/* Join when it can go on. Where others are in OpenSSL as CPython makes their calls, that is when it
   has what it needs. With two who read, OpenSSL would crash sooner or later: those who read already
   go first. To those who write a reader gives a little time, but no more: one of them may wait for
   it to read. False: an exception is set. */
static bool
join_when_ready(tls_call *of)
{
    int64_t slice = 0;
    for (unsigned tries = of->what->takes ? 3 : 0; join_calls(of); tries -= tries > 0) {
        bool in_sections = of->calls->sections;
        short events = in_sections ? 0 : wanted_before(of);
        bool gives_way = !in_sections && of->what->takes && (of->others_read || tries > 0);
        if ((events == 0 && !gives_way) || !may_be_interrupted(of)) {
            return true;
        }
        leave_calls(of->calls, of->what->takes); /* so as not to be one of the users */
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
    if (join_when_ready(&of)) {
        result = of.calls->sections ? try_until_done(&of, needs_room(&of) ? POLLOUT : 0)
                                    : mod_call_original(call);
        leave_calls(of.calls, what->takes);
    }
    Py_DECREF(of.socket);
    return result;
}

/* A call that is not interrupted. */
static PyObject *
call_outside(const mod_call *call, const operation *what)
{
    bool others_read;
    tls_calls *calls = enter_calls(call->self, what->takes, false, &others_read);
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
    leave_calls(calls, what->takes);
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

mod_family mod_tls = {.name = "TLS", .rows = tls_rows, .check = find_socket_type};
