/*
 * Waits for many descriptors. The original looks first, with a timeout of 0; what it finds is the
 * result, so it is the original that words results and errors. Only what there is to wait for
 * differs:
 *
 * - select: the descriptors of its lists, in poll(), because ours may be too large for select().
 * - epoll: its own descriptor, which is readable when there are events.
 * - poll: its descriptors are known to the object alone, so ours is registered with it for the time
 *   of the wait, and taken out of the result.
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

/* A call of the original that does not wait. */
typedef struct {
    const mod_call *call;
    PyObject *const *arguments;
    Py_ssize_t count;
    bool (*is_empty)(PyObject *result);
} question;

static PyObject *
look_once(const question *of)
{
    return mod_call_again(of->call, of->arguments, of->count);
}

/* Wait for one of the descriptors until the original finds something, or the deadline. There is
   room for one more behind them. */
static PyObject *
wait_and_look(const question *of, const mod_waiting *waiting, struct pollfd *fds, nfds_t count,
              itr_deadline deadline)
{
    int64_t slice = 0;
    bool spurious = false; /* poll() has said that one is ready, the original has found nothing */
    for (;;) {
        int status;
        if (spurious && poll(fds, count, 0) != 0) {
            /* It may say so for ever: select() is not told of all that poll() is. */
            status = mod_wait_slice(waiting, &slice, deadline);
        }
        else {
            slice = 0;
            status = mod_wait_for_fds(waiting, fds, count, deadline);
        }
        if (status < 0) {
            return NULL;
        }
        PyObject *result = look_once(of);
        if (result == NULL || status == 0 || !of->is_empty(result)) {
            return result;
        }
        Py_DECREF(result);
        spurious = true;
    }
}

/* select. ------------------------------------------------------------------------------------- */

static const short LIST_EVENTS[3] = {POLLIN, POLLOUT, POLLPRI};

/* What select() waits for, for poll(): each descriptor once. */
typedef struct {
    int count;
    short place[FD_SETSIZE]; /* of a descriptor among the others, counted from 1; 0: it is not */
    struct pollfd fds[FD_SETSIZE + 1];
} many;

static bool
add_descriptor(many *all, PyObject *object, short events)
{
    int fd = PyObject_AsFileDescriptor(object);
    if (fd < 0 || fd >= FD_SETSIZE) {
        return false;
    }
    if (all->place[fd] == 0) {
        all->fds[all->count] = (struct pollfd){.fd = fd};
        all->place[fd] = (short)++all->count;
    }
    all->fds[all->place[fd] - 1].events |= events;
    return true;
}

/* False: something is wrong with them; with an exception set, unless it is for the original to say.
   The lists may change meanwhile: fileno() is Python code. */
static bool
add_descriptors(many *all, PyObject *const *lists)
{
    for (int i = 0; i < 3; i++) {
        for (Py_ssize_t j = 0; j < PySequence_Fast_GET_SIZE(lists[i]); j++) {
            PyObject *object = Py_NewRef(PySequence_Fast_GET_ITEM(lists[i], j));
            bool added = add_descriptor(all, object, LIST_EVENTS[i]);
            Py_DECREF(object);
            if (!added) {
                return false;
            }
        }
    }
    return true;
}

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

/* Let the original wait. */
static PyObject *
select_in_original(const question *of, PyObject *timeout)
{
    PyObject *const *lists = of->arguments;
    PyObject *arguments[] = {lists[0], lists[1], lists[2], timeout};
    return mod_call_again(of->call, arguments, 4);
}

static PyObject *
wait_for_lists(const question *of, PyObject *timeout, itr_deadline deadline)
{
    mod_waiting waiting;
    if (!mod_wait_begin(&waiting)) {
        return select_in_original(of, timeout);
    }
    many *all = PyMem_Calloc(1, sizeof(*all));
    if (all == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *result = add_descriptors(all, of->arguments)
                           ? wait_and_look(of, &waiting, all->fds, (nfds_t)all->count, deadline)
                       : PyErr_Occurred() != NULL ? NULL
                                                  : select_in_original(of, timeout);
    PyMem_Free(all);
    return result;
}

/* With lists that can be looked at more than once. */
static PyObject *
select_lists(const mod_call *call, PyObject *const *lists, PyObject *timeout, itr_deadline deadline)
{
    PyObject *arguments[] = {lists[0], lists[1], lists[2], PyLong_FromLong(0)};
    question of = {call, arguments, 4, are_empty};
    PyObject *result = look_once(&of);
    if (result != NULL && are_empty(result)) {
        Py_DECREF(result);
        result = wait_for_lists(&of, timeout, deadline);
    }
    Py_DECREF(arguments[3]);
    return result;
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
        result = select_lists(call, lists, timeout == NULL ? Py_None : timeout, deadline);
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

static PyObject *
wait_for_epoll(const question *of, itr_deadline deadline)
{
    mod_waiting waiting;
    if (!mod_wait_begin(&waiting)) {
        return mod_call_original(of->call);
    }
    PyObject *number = mod_original(&epoll_fileno)(of->call->self, NULL);
    if (number == NULL) {
        PyErr_Clear(); /* closed meanwhile */
        return mod_call_original(of->call);
    }
    struct pollfd fds[2] = {{.fd = (int)PyLong_AsLong(number), .events = POLLIN}};
    Py_DECREF(number);
    return wait_and_look(of, &waiting, fds, 1, deadline);
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
    question of = {call, arguments, 1 + (most != NULL), is_empty};
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

/* Take our descriptor out of the result. 0, or -1 with an exception set. */
static int
take_out_descriptor(PyObject *result, int fd)
{
    for (Py_ssize_t i = PyList_GET_SIZE(result); i > 0; i--) {
        PyObject *number = PyTuple_GET_ITEM(PyList_GET_ITEM(result, i - 1), 0);
        if (PyLong_AsLong(number) == fd) {
            return PyList_SetSlice(result, i - 1, i, NULL);
        }
    }
    return 0;
}

/* The original, until the deadline. */
static PyObject *
select_until(const question *of, itr_deadline deadline)
{
    PyObject *timeout = Py_NewRef(Py_None);
    if (deadline != ITR_NEVER) {
        itr_deadline left = deadline - itr_now();
        Py_SETREF(timeout, PyFloat_FromDouble(left < 0 ? 0 : (double)left / 1e6));
    }
    if (timeout == NULL) {
        return NULL;
    }
    PyObject *result = mod_call_again(of->call, &timeout, 1);
    Py_DECREF(timeout);
    return result;
}

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

/* The same, with our descriptor. */
static PyObject *
poll_with(const question *of, int fd, itr_deadline deadline)
{
    PyObject *self = of->call->self;
    PyObject *arguments[] = {PyLong_FromLong(fd), PyLong_FromLong(POLLIN)};
    PyObject *done = NULL;
    if (arguments[0] != NULL && arguments[1] != NULL) {
        done = mod_call_method(&poll_register, self, arguments, 2);
    }
    PyObject *result = NULL;
    if (done != NULL) {
        result = select_until(of, deadline);
        unregister(self, arguments[0]);
    }
    Py_XDECREF(done);
    Py_XDECREF(arguments[0]);
    Py_XDECREF(arguments[1]);
    if (result != NULL && take_out_descriptor(result, fd) < 0) {
        Py_CLEAR(result);
    }
    return result;
}

/* One wait; what it has found, perhaps nothing. */
static PyObject *
poll_once(const question *of, const mod_waiting *waiting, int64_t *slice, itr_deadline deadline)
{
    int fd = mod_wait_begin_call(waiting);
    if (fd < 0) {
        return mod_wait_slice(waiting, slice, deadline) < 0 ? NULL : look_once(of);
    }
    PyObject *result = NULL;
    if (mod_wait_check(waiting) == 0) {
        result = poll_with(of, fd, deadline);
        if (result != NULL && is_empty(result) && mod_wait_check(waiting) < 0) {
            Py_CLEAR(result);
        }
    }
    mod_wait_end_call(waiting);
    return result;
}

static PyObject *
wait_for_poll(const question *of, itr_deadline deadline)
{
    mod_waiting waiting;
    if (!mod_wait_begin(&waiting)) {
        return mod_call_original(of->call);
    }
    int64_t slice = 0;
    for (;;) {
        PyObject *result = poll_once(of, &waiting, &slice, deadline);
        if (result == NULL || !is_empty(result) ||
            (deadline != ITR_NEVER && itr_now() >= deadline)) {
            return result;
        }
        Py_DECREF(result);
    }
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
    question of = {call, &zero, 1, is_empty};
    PyObject *result = look_once(&of);
    if (result != NULL && is_empty(result)) {
        Py_DECREF(result);
        result = wait_for_poll(&of, deadline);
    }
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
