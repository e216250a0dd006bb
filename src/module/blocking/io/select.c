/*
 * Waits for many descriptors. The original looks first, with a timeout of 0; what it finds is the
 * result, so it is the original that words results and errors. Then it waits, for a descriptor of
 * ours, too, which is taken out of the result: it is the last in the list of select(), and is
 * registered with a poll object for the time of the wait. An epoll object is waited for by its own
 * descriptor, which is readable when there are events.
 *
 * Only int and float timeouts are understood here, the rest is the original's.
 */
#include "blocking/interposed.h"

#include <errno.h>
#include <math.h>
#include <sys/select.h>

#include "cpython/compat.h"
#include "blocking/wait.h"

/* Timeouts. ----------------------------------------------------------------------------------- */

/* How a timeout is counted. */
typedef struct {
    double unit;     /* its unit, in nanoseconds */
    double step;     /* it is rounded up to whole ones of these, in nanoseconds */
    double most;     /* steps; more are an error */
    double for_ever; /* steps; of negative ones, this and less mean for ever */
} scale;

static const scale select_scale = {1e9, 1e3, 9.2e15, -INFINITY},
                   poll_scale = {1e6, 1e6, INT_MAX, 0}, epoll_scale = {1e9, 1e6, INT_MAX, -1};

/* The deadline it means. False: with it the original does not wait, or it is not understood. */
static bool
understand(PyObject *timeout, const scale *by, itr_deadline *deadline)
{
    *deadline = ITR_NEVER;
    if (timeout == NULL || timeout == Py_None) {
        return true;
    }
    double value = PyFloat_Check(timeout)  ? PyFloat_AS_DOUBLE(timeout)
                   : PyLong_Check(timeout) ? PyLong_AsDouble(timeout)
                                           : NAN;
    if (value == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    double steps = value * by->unit / by->step;
    if (value < 0) {
        return steps <= by->for_ever && steps >= -by->most;
    }
    if (!(value > 0) || ceil(steps) > by->most) {
        return false;
    }
    *deadline = itr_deadline_after((int64_t)(ceil(steps) * by->step));
    return true;
}

/* Looking and waiting in turn. ---------------------------------------------------------------- */

/* A call of the original. */
typedef struct question {
    const mod_call *call;
    PyObject *const *arguments; /* with which it does not wait */
    Py_ssize_t count;
    bool (*is_empty)(PyObject *result);
    /* It, until the deadline, with a descriptor of ours among its own, which is not in the result;
       -1: without. */
    PyObject *(*wait_with)(const struct question *of, int fd, itr_deadline deadline);
} question;

static PyObject *
look_once(const question *of)
{
    return mod_call_again(of->call, of->arguments, of->count);
}

/* What the deadline is as a timeout in such units, of so many nanoseconds; NULL with MemoryError
   set. */
static PyObject *
timeout_until(itr_deadline deadline, double unit)
{
    if (deadline == ITR_NEVER) {
        return Py_NewRef(Py_None);
    }
    itr_deadline left = deadline - itr_now();
    return PyFloat_FromDouble(left < 0 ? 0 : (double)left / unit);
}

/* One wait; what it has found, perhaps nothing. */
static PyObject *
wait_once(const question *of, const mod_waiting *waiting, int64_t *slice, itr_deadline deadline)
{
    int fd = mod_wait_begin_call(waiting);
    if (fd < 0) {
        return mod_wait_slice(waiting, slice, deadline) < 0 ? NULL : look_once(of);
    }
    PyObject *result = NULL;
    if (mod_wait_check(waiting) == 0) {
        result = of->wait_with(of, fd, deadline);
        if (result != NULL && of->is_empty(result) && mod_wait_check(waiting) < 0) {
            Py_CLEAR(result);
        }
    }
    mod_wait_end_call(waiting);
    return result;
}

static PyObject *
look_and_wait(const question *of, itr_deadline deadline)
{
    PyObject *result = look_once(of);
    if (result == NULL || !of->is_empty(result)) {
        return result;
    }
    Py_DECREF(result);
    mod_waiting waiting;
    if (!mod_wait_begin(&waiting)) {
        return of->wait_with(of, -1, deadline);
    }
    for (int64_t slice = 0;;) {
        result = wait_once(of, &waiting, &slice, deadline);
        if (result == NULL || !of->is_empty(result) ||
            (deadline != ITR_NEVER && itr_now() >= deadline)) {
            return result;
        }
        Py_DECREF(result);
    }
}

/* A look without a wait is no place to be stopped at (S10b). Event loops look so when they have
   something to do, and any of their tasks may be in the midst of its cleanup, which what is raised
   in the loop would cut short, as CancelledError. */
static int
enter_select(PyObject *timeout)
{
    bool looks = timeout != NULL && (PyLong_CheckExact(timeout) || PyFloat_CheckExact(timeout)) &&
                 !PyObject_IsTrue(timeout);
    return looks ? 0 : mod_wait_entry();
}

/* select. ------------------------------------------------------------------------------------- */

static bool
are_empty(PyObject *result)
{
    for (int i = 0; i < 3; i++) {
        if (PyList_GET_SIZE(PyTuple_GET_ITEM(result, i)) > 0) {
            return false;
        }
    }
    return true;
}

/* See question. A number that is too large for select(), or one more than it takes, is not given to
   it: then it waits only as long as a slice. */
static PyObject *
select_with(const question *of, int fd, itr_deadline deadline)
{
    itr_deadline soon = itr_deadline_after(MOD_LONGEST_SLICE);
    PyObject *ours = PyLong_FromLong(fd);
    PyObject *reads = ours == NULL ? NULL : PySequence_List(of->arguments[0]);
    bool fits = fd >= 0 && fd < FD_SETSIZE && reads != NULL && PyList_GET_SIZE(reads) < FD_SETSIZE;
    PyObject *timeout =
        reads == NULL ? NULL
                      : timeout_until(fits || fd < 0 || deadline < soon ? deadline : soon, 1e9);
    PyObject *arguments[] = {reads, of->arguments[1], of->arguments[2], timeout};
    PyObject *result = NULL;
    if (timeout != NULL && (!fits || PyList_Append(reads, ours) == 0)) {
        result = mod_call_again(of->call, arguments, 4);
    }
    PyObject *ready = result == NULL ? NULL : PyTuple_GET_ITEM(result, 0);
    Py_ssize_t last = ready == NULL || !fits ? 0 : PyList_GET_SIZE(ready);
    if (last > 0 && PyList_GET_ITEM(ready, last - 1) == ours &&
        PyList_SetSlice(ready, last - 1, last, NULL) < 0) {
        Py_CLEAR(result);
    }
    Py_XDECREF(timeout);
    Py_XDECREF(reads);
    Py_XDECREF(ours);
    return result;
}

static PyObject *
wait_in_select(const mod_call *call)
{
    PyObject *timeout = mod_call_argument(call, 3, NULL);
    if (enter_select(timeout) < 0) {
        return NULL;
    }
    Py_ssize_t count = mod_call_count(call);
    itr_deadline deadline;
    bool ours = count >= 3 && count <= 4 && understand(timeout, &select_scale, &deadline);
    for (int i = 0; i < 3 && ours; i++) {
        PyObject *list = mod_call_argument(call, i, NULL);
        ours = Py_TYPE(list)->tp_iter != NULL || PySequence_Check(list);
    }
    if (!ours) {
        return mod_call_original(call);
    }
    PyObject *lists[3];
    PyObject *result = NULL;
    int found = 0;
    for (int i = 0; i < 3; i++) {
        lists[i] =
            PySequence_Fast(mod_call_argument(call, i, NULL), "arguments 1-3 must be sequences");
        if (lists[i] == NULL) {
            break;
        }
        found++;
    }
    if (found == 3) {
        PyObject *arguments[] = {lists[0], lists[1], lists[2], PyLong_FromLong(0)};
        result = look_and_wait(&(question){call, arguments, 4, are_empty, select_with}, deadline);
        Py_DECREF(arguments[3]);
    }
    for (int i = 0; i < found; i++) {
        Py_DECREF(lists[i]);
    }
    return result;
}

MOD_REPLACEMENT(select_select, mod_called_inside, wait_in_select);

static const mod_row select_rows[] = {
    {"select", NULL, "select", &select_select, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_select = {.name = "select", .rows = select_rows};

/* epoll. -------------------------------------------------------------------------------------- */

MOD_ORIGINAL(epoll_fileno);

static bool
is_empty(PyObject *result)
{
    return PyList_GET_SIZE(result) == 0;
}

/* Its own descriptor is waited for: ours does not belong among its others, which are the object's.
 */
static PyObject *
wait_for_epoll(const question *of, itr_deadline deadline)
{
    mod_waiting waiting;
    int fd = mod_descriptor_of(&epoll_fileno, of->call->self);
    if (fd < 0 || !mod_wait_begin(&waiting)) {
        return mod_call_original(of->call);
    }
    PyObject *result = NULL;
    int status;
    do {
        Py_XDECREF(result);
        status = mod_wait_for_fd(&waiting, fd, POLLIN, deadline);
        result = status < 0 ? NULL : look_once(of);
    } while (status > 0 && result != NULL && is_empty(result));
    return result;
}

static PyObject *
wait_in_epoll(const mod_call *call)
{
    PyObject *timeout = mod_call_argument(call, 0, "timeout");
    if (enter_select(timeout) < 0) {
        return NULL;
    }
    PyObject *most = mod_call_argument(call, 1, "maxevents");
    Py_ssize_t given = (timeout != NULL) + (most != NULL);
    itr_deadline deadline;
    if (mod_call_count(call) != given || !understand(timeout, &epoll_scale, &deadline)) {
        return mod_call_original(call);
    }
    PyObject *arguments[] = {PyLong_FromLong(0), most};
    question of = {call, arguments, 1 + (most != NULL), is_empty, NULL};
    PyObject *result = look_once(&of);
    if (result != NULL && is_empty(result)) {
        Py_DECREF(result);
        result = wait_for_epoll(&of, deadline);
    }
    Py_DECREF(arguments[0]);
    return result;
}

MOD_REPLACEMENT(epoll_poll, mod_called_inside, wait_in_epoll);

static const mod_row epoll_rows[] = {
    {"select", "epoll", "fileno", &epoll_fileno, false},
    {"select", "epoll", "poll", &epoll_poll, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_epoll = {.name = "epoll", .rows = epoll_rows};

/* poll. --------------------------------------------------------------------------------------- */

MOD_ORIGINAL(poll_register);
MOD_ORIGINAL(poll_unregister);

/* Where there is no memory for the number, again: what stays registered would be found ready. */
static void
unregister(PyObject *self, PyObject *fd)
{
    enum { TRIES = 5 };
    mod_raised raised = mod_put_aside();
    bool again = true;
    for (int i = 0; again && i < TRIES; i++) {
        PyObject *done = mod_call_method(&poll_unregister, self, &fd, 1);
        again = done == NULL && PyErr_ExceptionMatches(PyExc_MemoryError);
        Py_XDECREF(done);
        PyErr_Clear(); /* somebody else has done it */
    }
    mod_put_back(raised);
}

/* See question. */
static PyObject *
poll_with(const question *of, int fd, itr_deadline deadline)
{
    PyObject *self = of->call->self;
    PyObject *arguments[] = {PyLong_FromLong(fd), PyLong_FromLong(POLLIN)};
    PyObject *timeout = NULL, *result = NULL, *done = NULL;
    if (arguments[0] != NULL && arguments[1] != NULL) {
        timeout = timeout_until(deadline, 1e6);
    }
    if (timeout != NULL && fd >= 0) {
        done = mod_call_method(&poll_register, self, arguments, 2);
    }
    if (timeout != NULL && (fd < 0 || done != NULL)) {
        result = mod_call_again(of->call, &timeout, 1);
    }
    if (done != NULL) {
        unregister(self, arguments[0]);
    }
    Py_ssize_t i = result == NULL || fd < 0 ? 0 : PyList_GET_SIZE(result);
    while (i-- > 0) {
        PyObject *number = PyTuple_GET_ITEM(PyList_GET_ITEM(result, i), 0);
        if (PyLong_AsLong(number) == fd && PyList_SetSlice(result, i, i + 1, NULL) < 0) {
            Py_CLEAR(result);
            break;
        }
    }
    Py_XDECREF(done);
    Py_XDECREF(timeout);
    Py_XDECREF(arguments[0]);
    Py_XDECREF(arguments[1]);
    return result;
}

static PyObject *
wait_in_poll(const mod_call *call)
{
    PyObject *timeout = mod_call_argument(call, 0, NULL);
    if (enter_select(timeout) < 0) {
        return NULL;
    }
    itr_deadline deadline;
    if (mod_call_count(call) > 1 || !understand(timeout, &poll_scale, &deadline)) {
        return mod_call_original(call);
    }
    PyObject *zero = PyLong_FromLong(0);
    PyObject *result = look_and_wait(&(question){call, &zero, 1, is_empty, poll_with}, deadline);
    Py_DECREF(zero);
    return result;
}

MOD_REPLACEMENT(poll_poll, mod_called_inside, wait_in_poll);

static const mod_row poll_rows[] = {
    {"select", "poll", "register", &poll_register, false},
    {"select", "poll", "unregister", &poll_unregister, false},
    {"select", "poll", "poll", &poll_poll, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_poll = {.name = "poll", .rows = poll_rows};
