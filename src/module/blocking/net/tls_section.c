/*
 * See tls_window.h. The timeout is a number in the socket object. It is changed in place: the
 * socket's own settimeout lets go of the GIL, and so others would see it half changed. Where it is
 * in there is found out on a socket that we make, by what settimeout changes.
 *
 * A window stays open for good if its thread is killed in it, at the interpreter's exit.
 */
#include "blocking/net/tls_window.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "cpython/compat.h"
#include "interpose/originals.h"

typedef struct window {
    struct window *next; /* guarded by the mutex */
    PyObject *socket;    /* constant; held by those who use it */
    int64_t timeout;     /* guarded by the mutex: what it has otherwise */
    unsigned users;      /* guarded by the mutex */
} window;

INTERRUPTION_ORIGINAL(socket_fileno);

static window *windows; /* guarded by the mutex */
static interruption_mutex windows_mutex = INTERRUPTION_MUTEX_INIT;

/* How many there are. atomic: written under the mutex, relaxed: who opens one sees to it that its
   effect is not seen by others before this is, by the mutex or the GIL. */
static _Atomic size_t open_windows;

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

/* Take out of `*places`, a set of bits, those where there is another number. */
static void
keep(uint64_t *places, PyObject *probe, Py_ssize_t size, bool none, int64_t expected)
{
    for (unsigned i = 0; i < 64; i++) {
        Py_ssize_t offset = (Py_ssize_t)(i * sizeof(int64_t));
        bool fits =
            offset >= (Py_ssize_t)sizeof(PyObject) && offset + (Py_ssize_t)sizeof(int64_t) <= size;
        int64_t number = fits ? *place_of_timeout(probe, offset) : 0;
        if (!fits || !(none ? number < 0 : number == expected)) {
            *places &= ~(UINT64_C(1) << i);
        }
    }
}

/* The places that follow what is set, as bits; 0 if there was an exception, which is set. */
static uint64_t
find_places(PyObject *probe, Py_ssize_t size)
{
    static const double tried[] = {86399.5, 0.25, 0};
    uint64_t places = ~UINT64_C(0);
    for (size_t i = 0; i <= sizeof(tried) / sizeof(*tried); i++) {
        bool none = i == sizeof(tried) / sizeof(*tried);
        PyObject *seconds = none ? Py_NewRef(Py_None) : PyFloat_FromDouble(tried[i]);
        bool set = seconds != NULL && set_probe(probe, seconds);
        Py_XDECREF(seconds);
        if (!set) {
            return 0;
        }
        keep(&places, probe, size, none, none ? 0 : (int64_t)(tried[i] * 1e9));
    }
    return places;
}

/* Whatever exception is set. */
static void
close_probe(PyObject *probe)
{
    interruption_raised raised = interruption_put_aside();
    PyObject *closed = PyObject_CallMethod(probe, "close", NULL);
    Py_XDECREF(closed);
    PyErr_Clear();
    interruption_put_back(raised);
    Py_DECREF(probe);
}

static bool
find_timeout(void)
{
    PyTypeObject *type =
        interruption_find_type(&(interruption_row){"_socket", "socket", NULL, NULL, false});
    PyObject *probe = type == NULL ? NULL : PyObject_CallNoArgs((PyObject *)type);
    if (probe == NULL) {
        Py_XDECREF(type);
        return false;
    }
    uint64_t places = find_places(probe, type->tp_basicsize);
    close_probe(probe);
    if (places != 0 && (places & (places - 1)) == 0) {
        timeout_offset = __builtin_ctzll(places) * (Py_ssize_t)sizeof(int64_t);
        Py_XSETREF(socket_type, (PyTypeObject *)Py_NewRef(type));
    }
    else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "a socket's timeout is not found");
    }
    Py_DECREF(type);
    return !PyErr_Occurred();
}

bool
interruption_tls_windows_work(void)
{
    return timeout_offset != 0;
}

bool
interruption_tls_is_socket(PyObject *object)
{
    return PyObject_TypeCheck(object, socket_type);
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

/* Windows. ------------------------------------------------------------------------------------ */

/* Under the mutex. */
static window *
find_window(PyObject *socket)
{
    window *found = windows;
    while (found != NULL && found->socket != socket) {
        found = found->next;
    }
    return found;
}

int
interruption_tls_descriptor(PyObject *socket)
{
    PyObject *number = interruption_original(&socket_fileno)(socket, NULL);
    int overflow;
    long fd = number == NULL ? -1 : PyLong_AsLongAndOverflow(number, &overflow);
    Py_XDECREF(number);
    PyErr_Clear();
    return fd < 0 || fd > INT_MAX ? -1 : (int)fd;
}

/* The descriptor cannot be closed meanwhile with a GIL, as the socket forgets it before it closes
   it and lets go of the GIL. */
static void
set_blocking(PyObject *socket, bool blocking)
{
    int fd = interruption_tls_descriptor(socket), non_blocking = !blocking;
    if (fd >= 0) {
        (void)ioctl(fd, FIONBIO, &non_blocking);
    }
}

int64_t
interruption_tls_timeout(PyObject *socket)
{
    interruption_mutex_lock(&windows_mutex);
    int64_t timeout = timeout_now(socket);
    const window *of = timeout == 0 ? find_window(socket) : NULL;
    if (of != NULL) {
        timeout = of->timeout;
    }
    interruption_mutex_unlock(&windows_mutex);
    return timeout;
}

bool
interruption_tls_open_window(PyObject *socket)
{
    window *made = PyMem_RawMalloc(sizeof(*made));
    if (made == NULL) {
        return false;
    }
    interruption_mutex_lock(&windows_mutex);
    int64_t timeout = timeout_now(socket);
    window *of = find_window(socket);
    if (of == NULL) {
        of = made;
        *of = (window){.next = windows, .socket = socket, .timeout = timeout};
        windows = of;
        made = NULL;
        (void)atomic_fetch_add_explicit(&open_windows, 1, memory_order_relaxed);
    }
    else if (timeout != 0) {
        of->timeout = timeout; /* somebody has set it meanwhile */
    }
    of->users++;
    set_timeout_now(socket, 0);
    if (of->timeout < 0) {
        set_blocking(socket, false);
    }
    interruption_mutex_unlock(&windows_mutex);
    PyMem_RawFree(made);
    return true;
}

/* Under the mutex: its last user has gone. */
static void
unlink_window(window *of)
{
    window **link = &windows;
    while (*link != of) {
        link = &(*link)->next;
    }
    *link = of->next;
    (void)atomic_fetch_sub_explicit(&open_windows, 1, memory_order_relaxed);
    if (timeout_now(of->socket) != 0) {
        return; /* somebody has set it meanwhile */
    }
    set_timeout_now(of->socket, of->timeout);
    if (of->timeout < 0) {
        set_blocking(of->socket, true);
    }
}

void
interruption_tls_close_window(PyObject *socket)
{
    interruption_mutex_lock(&windows_mutex);
    window *of = find_window(socket); /* NULL in the child of a fork that was made in it */
    if (of != NULL && --of->users == 0) {
        unlink_window(of);
    }
    else {
        of = NULL;
    }
    interruption_mutex_unlock(&windows_mutex);
    PyMem_RawFree(of);
}

bool
interruption_tls_end_time(PyObject *socket, int64_t *before)
{
    interruption_mutex_lock(&windows_mutex);
    bool alone = find_window(socket) == NULL;
    if (alone) {
        *before = timeout_now(socket);
        set_timeout_now(socket, 1);
    }
    interruption_mutex_unlock(&windows_mutex);
    return alone;
}

void
interruption_tls_restore_time(PyObject *socket, int64_t before)
{
    interruption_mutex_lock(&windows_mutex);
    window *of = find_window(socket);
    if (of != NULL && of->timeout == 1) {
        of->timeout = before;
    }
    if (timeout_now(socket) == 1) {
        set_timeout_now(socket, before);
    }
    interruption_mutex_unlock(&windows_mutex);
}

void
interruption_free_tls_windows_mutex(void)
{
    interruption_mutex_reset(&windows_mutex);
}

/* The threads that had them are not there, but for one which has forked in a signal handler: it
   finds its window closed. Whether the descriptor blocks is the parent's, who shares it. */
void
interruption_tls_forget_windows(void)
{
    while (windows != NULL) {
        window *of = windows;
        windows = of->next;
        if (timeout_now(of->socket) == 0) {
            set_timeout_now(of->socket, of->timeout);
        }
        PyMem_RawFree(of);
    }
    atomic_store_explicit(&open_windows, 0, memory_order_relaxed);
}

/* What must not see them. --------------------------------------------------------------------- */

static bool
is_any_open(PyObject *Py_UNUSED(socket))
{
    return atomic_load_explicit(&open_windows, memory_order_relaxed) != 0;
}

static PyObject *
get_timeout(const interruption_call *call)
{
    int64_t timeout = interruption_tls_timeout(call->self);
    if (timeout == 0 || timeout_now(call->self) != 0) {
        return interruption_call_original(call);
    }
    return timeout < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)timeout / 1e9);
}

static PyObject *
get_blocking(const interruption_call *call)
{
    return PyBool_FromLong(interruption_tls_timeout(call->self) != 0);
}

/* What is set is what the socket has from then on. That it is not 0 is seen when the window closes.
 */
static PyObject *
set_window_timeout(const interruption_call *call)
{
    PyObject *result = interruption_call_original(call);
    PyObject *wanted = interruption_call_argument(call, 0, NULL);
    if (result == NULL || wanted == NULL || wanted == Py_None || PyObject_IsTrue(wanted) != 0) {
        return result;
    }
    interruption_mutex_lock(&windows_mutex);
    window *of = find_window(call->self);
    if (of != NULL) {
        of->timeout = 0;
    }
    interruption_mutex_unlock(&windows_mutex);
    return result;
}

INTERRUPTION_REPLACEMENT(socket_gettimeout, is_any_open, get_timeout);
INTERRUPTION_REPLACEMENT(socket_getblocking, is_any_open, get_blocking);
INTERRUPTION_REPLACEMENT(window_settimeout, is_any_open, set_window_timeout);
INTERRUPTION_REPLACEMENT(socket_setblocking, is_any_open, set_window_timeout);

static const interruption_row window_rows[] = {
    {"_socket", "socket", "fileno", &socket_fileno, false},
    {"_socket", "socket", "gettimeout", &socket_gettimeout, false},
    {"_socket", "socket", "getblocking", &socket_getblocking, false},
    {"_socket", "socket", "settimeout", &window_settimeout, false},
    {"_socket", "socket", "setblocking", &socket_setblocking, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_tls_windows = {
    .name = "timeouts of TLS", .rows = window_rows, .check = find_timeout};
