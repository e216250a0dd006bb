/*
 * See tls_section.h. The timeout is a number in the socket object. It is changed in place: the
 * socket's own settimeout lets go of the GIL, and so others would see it half changed. Where it is
 * in there is found out on a socket that we make, by what settimeout changes.
 *
 * Sections are short, as nobody waits in them for the peer; so who has to wait for one sleeps a
 * little and looks again. That way it hangs on nobody: not on a thread that was killed in its
 * section, at the interpreter's exit, nor on one whose signal handler waits for this one.
 */
#include "blocking/net/tls_section.h"

#include <stdatomic.h>
#include <sys/ioctl.h>
#include <time.h>

#include "blocking/interposed.h"
#include "cpython/compat.h"
#include "interpose/originals.h"

enum {
    BUCKETS = 64,         /* a power of 2 */
    FIRST_SLEEP = 20000,  /* ns */
    LAST_SLEEP = 1000000, /* ns */
    PATIENCE = 1000000000 /* ns; no section takes so long, but for callbacks of Python's */
};

MOD_ORIGINAL(socket_fileno);

/* By the object's address; guarded by the mutex. */
static mod_tls_calls *tls_buckets[BUCKETS];

/* How many sections there are. atomic: written under the mutex, relaxed: who begins one sees to it
   that its effect is not seen by others before this is, by the mutex or the GIL. */
static _Atomic size_t sections;

/* Written by find_timeout before anything is interposed. */
static Py_ssize_t timeout_offset;
static PyTypeObject *socket_type; /* a reference, for as long as the process lives */

/* Where the timeout is. ----------------------------------------------------------------------- */

static int64_t *
place_of_timeout(PyObject *socket, Py_ssize_t offset)
{
    return (int64_t *)((char *)socket + offset);
}

static bool
set_probe(PyObject *probe, PyObject *seconds)
{
    PyObject *result = PyObject_CallMethod(probe, "settimeout", "O", seconds);
    Py_XDECREF(result);
    return result != NULL;
}

/* Where such a number is in the socket; 0: nowhere, or in more than one place. */
static Py_ssize_t
find_in_socket(PyObject *probe, Py_ssize_t size, int64_t number)
{
    const Py_ssize_t step = (Py_ssize_t)sizeof(int64_t);
    Py_ssize_t found = 0;
    for (Py_ssize_t at = (Py_ssize_t)sizeof(PyObject); at + step <= size; at += step) {
        if (*place_of_timeout(probe, at) == number) {
            if (found != 0) {
                return 0;
            }
            found = at;
        }
    }
    return found;
}

/* The place that follows what is set; 0: there is none, or there was an exception, which is set. */
static Py_ssize_t
find_timeout_place(PyObject *probe, Py_ssize_t size)
{
    PyObject *unusual = PyFloat_FromDouble(86399.5);
    Py_ssize_t place = 0;
    if (unusual != NULL && set_probe(probe, unusual)) {
        place = find_in_socket(probe, size, INT64_C(86399500000000));
    }
    Py_XDECREF(unusual);
    return place != 0 && set_probe(probe, Py_None) && *place_of_timeout(probe, place) < 0 ? place
                                                                                          : 0;
}

/* Whatever exception is set. */
static void
close_probe(PyObject *probe)
{
    mod_raised raised = mod_put_aside();
    PyObject *closed = PyObject_CallMethod(probe, "close", NULL);
    Py_XDECREF(closed);
    PyErr_Clear();
    mod_put_back(raised);
    Py_DECREF(probe);
}

static bool
find_timeout(void)
{
    PyTypeObject *type = mod_find_type(&(mod_row){"_socket", "socket", NULL, NULL, false});
    PyObject *probe = type == NULL ? NULL : PyObject_CallNoArgs((PyObject *)type);
    if (probe == NULL) {
        Py_XDECREF(type);
        return false;
    }
    Py_ssize_t place = find_timeout_place(probe, type->tp_basicsize);
    close_probe(probe);
    if (place != 0) {
        timeout_offset = place;
        Py_XSETREF(socket_type, (PyTypeObject *)Py_NewRef(type));
    }
    else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "a socket's timeout is not found");
    }
    Py_DECREF(type);
    return !PyErr_Occurred();
}

bool
mod_tls_sections_work(void)
{
    return timeout_offset != 0;
}

bool
mod_tls_is_socket(PyObject *object)
{
    return PyObject_TypeCheck(object, socket_type);
}

int
mod_tls_descriptor(PyObject *socket)
{
    return mod_descriptor_of(&socket_fileno, socket);
}

/* Relaxed: CPython's own accesses are plain. */
static int64_t
timeout_now(PyObject *socket)
{
    return __atomic_load_n(place_of_timeout(socket, timeout_offset), __ATOMIC_RELAXED);
}

static void
set_timeout_now(PyObject *socket, int64_t timeout)
{
    __atomic_store_n(place_of_timeout(socket, timeout_offset), timeout, __ATOMIC_RELAXED);
}

/* The descriptor cannot be closed meanwhile with a GIL, as the socket forgets it before it closes
   it and lets go of the GIL. */
static void
set_blocking(PyObject *socket, bool blocking)
{
    int fd = mod_tls_descriptor(socket), non_blocking = !blocking;
    if (fd >= 0) {
        (void)ioctl(fd, FIONBIO, &non_blocking);
    }
}

/* Calls. -------------------------------------------------------------------------------------- */

/* Under the mutex. The link to the object's, or to the NULL at the end. */
static mod_tls_calls **
find_calls(PyObject *object)
{
    mod_tls_calls **link = &tls_buckets[(uintptr_t)object / 64 % BUCKETS];
    while (*link != NULL && (*link)->object != object) {
        link = &(*link)->next;
    }
    return link;
}

mod_tls_calls *
mod_tls_enter(PyObject *object, bool reads, bool in_sections, bool *others_read)
{
    mod_mutex_lock(&mod_mutexes.tls);
    mod_tls_calls **link = find_calls(object);
    if (*link == NULL) {
        *link = PyMem_RawMalloc(sizeof(**link));
        if (*link != NULL) {
            **link = (mod_tls_calls){.object = object, .sections = in_sections};
        }
    }
    mod_tls_calls *calls = *link;
    if (calls != NULL) {
        *others_read = calls->readers > 0;
        calls->users++;
        calls->readers += reads;
    }
    mod_mutex_unlock(&mod_mutexes.tls);
    return calls;
}

void
mod_tls_leave(mod_tls_calls *calls, bool reads)
{
    mod_mutex_lock(&mod_mutexes.tls);
    calls->readers -= reads;
    bool last = --calls->users == 0;
    mod_tls_calls **link = find_calls(calls->object);
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
open_section(mod_tls_calls *calls, PyObject *socket, unsigned long self)
{
    int64_t timeout = timeout_now(socket);
    if (calls->owner == 0) {
        (void)atomic_fetch_add_explicit(&sections, 1, memory_order_relaxed);
    }
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
close_section(mod_tls_calls *calls)
{
    calls->owner = 0;
    (void)atomic_fetch_sub_explicit(&sections, 1, memory_order_relaxed);
    if (timeout_now(calls->socket) != 0) {
        return; /* somebody has set it meanwhile */
    }
    set_timeout_now(calls->socket, calls->timeout);
    if (calls->timeout < 0) {
        set_blocking(calls->socket, true);
    }
}

/* Who was in one: 0, nobody. It is ours now if so, or if we have waited too long. */
static unsigned long
try_to_open(mod_tls_calls *calls, PyObject *socket, unsigned long self, bool too_long)
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

bool
mod_tls_begin_section(mod_tls_calls *calls, PyObject *socket)
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

void
mod_tls_end_section(mod_tls_calls *calls)
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
        for (mod_tls_calls *of = tls_buckets[i]; of != NULL; of = of->next) {
            if (of->owner != 0 && timeout_now(of->socket) == 0) {
                set_timeout_now(of->socket, of->timeout);
            }
            of->owner = 0;
        }
        tls_buckets[i] = NULL;
    }
    atomic_store_explicit(&sections, 0, memory_order_relaxed);
}

/* What must not see them. --------------------------------------------------------------------- */

/* Under the mutex. The calls that have a section of it, or NULL. */
static mod_tls_calls *
find_section(PyObject *socket)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (mod_tls_calls *of = tls_buckets[i]; of != NULL; of = of->next) {
            if (of->owner != 0 && of->socket == socket) {
                return of;
            }
        }
    }
    return NULL;
}

int64_t
mod_tls_timeout(PyObject *socket)
{
    mod_mutex_lock(&mod_mutexes.tls);
    int64_t timeout = timeout_now(socket);
    const mod_tls_calls *of = timeout == 0 ? find_section(socket) : NULL;
    if (of != NULL) {
        timeout = of->timeout;
    }
    mod_mutex_unlock(&mod_mutexes.tls);
    return timeout;
}

static bool
is_any_open(PyObject *Py_UNUSED(socket))
{
    return atomic_load_explicit(&sections, memory_order_relaxed) != 0;
}

static PyObject *
get_timeout(const mod_call *call)
{
    int64_t timeout = mod_tls_timeout(call->self);
    if (timeout == 0 || timeout_now(call->self) != 0) {
        return mod_call_original(call);
    }
    return timeout < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)timeout / 1e9);
}

static PyObject *
get_blocking(const mod_call *call)
{
    return PyBool_FromLong(mod_tls_timeout(call->self) != 0);
}

/* What is set is what the socket has from then on. That it is not 0 is seen when the section ends.
 */
static PyObject *
set_timeout(const mod_call *call)
{
    PyObject *result = mod_call_original(call);
    PyObject *wanted = mod_call_argument(call, 0, NULL);
    if (result == NULL || wanted == NULL || wanted == Py_None || PyObject_IsTrue(wanted) != 0) {
        return result;
    }
    mod_mutex_lock(&mod_mutexes.tls);
    mod_tls_calls *of = find_section(call->self);
    if (of != NULL) {
        of->timeout = 0;
    }
    mod_mutex_unlock(&mod_mutexes.tls);
    return result;
}

MOD_REPLACEMENT(socket_gettimeout, is_any_open, get_timeout);
MOD_REPLACEMENT(socket_getblocking, is_any_open, get_blocking);
MOD_REPLACEMENT(socket_settimeout, is_any_open, set_timeout);
MOD_REPLACEMENT(socket_setblocking, is_any_open, set_timeout);

static const mod_row section_rows[] = {
    {"_socket", "socket", "fileno", &socket_fileno, false},
    {"_socket", "socket", "gettimeout", &socket_gettimeout, false},
    {"_socket", "socket", "getblocking", &socket_getblocking, false},
    {"_socket", "socket", "settimeout", &socket_settimeout, false},
    {"_socket", "socket", "setblocking", &socket_setblocking, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_tls_sections = {
    .name = "timeouts of TLS", .rows = section_rows, .check = find_timeout};
