/* See wait.h. */
#include "blocking/wait.h"

#include <errno.h>
#include <math.h>
#include <time.h>

#include "delivery/arming.h"
#include "blocking/numbers.h"

#define NANOSECONDS_PER_SECOND 1000000000

/* How a fallback looks: soon at first, then ever less often. */
static const int64_t FIRST_SLICE = 100000;

/* While the thread is detached here, whoever asks it need not do more than wake it. -------------
 */

static PyThreadState *
detach(const mod_waiting *waiting)
{
    (void)itr_begin_wait(waiting->record);
    return PyEval_SaveThread();
}

static void
attach(const mod_waiting *waiting, PyThreadState *tstate)
{
    PyEval_RestoreThread(tstate);
    (void)itr_end_wait(waiting->record);
}

void
mod_wait_over(const mod_waiting *waiting)
{
    uint32_t flags = itr_flags(waiting->record);
    if ((flags & (ITR_PENDING | ITR_CANCELABLE | ITR_ARMED)) == (ITR_PENDING | ITR_CANCELABLE)) {
        mod_stop_where_it_is(waiting->state, waiting->record);
    }
}

static int
finish_wait(const mod_waiting *waiting, int result)
{
    if (!waiting->quiet) {
        mod_wait_over(waiting);
    }
    return result;
}

/* The lot. ------------------------------------------------------------------------------------ */

static bool
is_off(const mod_waiting *waiting)
{
    return atomic_load(&mod_wait_generation) != waiting->generation;
}

/* Detached. Sleep until woken, asked, switched off, the deadline, or a signal. */
static itr_park_result
park(const mod_waiting *waiting, const itr_waiter *waiter, itr_deadline deadline)
{
    itr_park_result result = ITR_PARK_PERMIT;
    while (result == ITR_PARK_PERMIT && !itr_lot_woken(waiter) && !mod_wait_asked(waiting) &&
           !is_off(waiting)) {
        result = itr_park(&waiting->record->parker, deadline);
    }
    return result;
}

static void
count_waiter(const void *address, uint64_t one)
{
    (void)mod_add(&mod_slot_of(address)->waiters, one);
}

/* One stay in the lot. The lot is left before the thread attaches again: it may be killed there, at
   the interpreter's exit, with its stack. Returns what `attempt` said if it was asked again. */
static int
stay_in_lot(const mod_waiting *waiting, const void *address, mod_try attempt, void *arg,
            itr_deadline deadline, bool *woken)
{
    itr_waiter waiter;
    count_waiter(address, 1);
    itr_lot_enter(&waiter, address, waiting->record, *woken);
    /* Without a GIL it may have changed between the look and the entry. */
    int result = MOD_FREE_THREADED ? attempt(arg) : 0;
    itr_park_result parked = ITR_PARK_PERMIT;
    if (result == 0) {
        PyThreadState *self = detach(waiting);
        parked = park(waiting, &waiter, deadline);
        *woken = itr_lot_leave(&waiter);
        attach(waiting, self);
    }
    else {
        *woken = itr_lot_leave(&waiter);
    }
    count_waiter(address, (uint64_t)-1);
    if (result == 0 && parked == ITR_PARK_ERROR) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
        result = -1;
    }
    if (result == 0 && parked == ITR_PARK_SIGNAL) {
        result = PyErr_CheckSignals();
    }
    return result;
}

/* What was asked is to be raised: 0, and the request stays, if the result is there after all. */
static int
leave_wait(const mod_waiting *waiting, void *arg)
{
    if (!mod_wait_asked(waiting) || (waiting->may_leave != NULL && !waiting->may_leave(arg))) {
        return 0;
    }
    return mod_wait_check(waiting);
}

static int
wait_in_lot(const mod_waiting *waiting, const void *address, mod_try attempt, void *arg,
            itr_deadline deadline)
{
    bool woken = false; /* a wake-up has reached us, and we have not passed it on */
    for (;;) {
        /* If it fails though we were woken, somebody has it who will wake the next one. */
        int result = attempt(arg);
        if (result == 0 && mod_wait_asked(waiting)) {
            result = leave_wait(waiting, arg);
            if (result == 0) {
                continue;
            }
        }
        if (result == 0 && is_off(waiting)) {
            return MOD_WAIT_OFF;
        }
        if (result == 0 && deadline != ITR_NEVER && itr_now() >= deadline) {
            return 0;
        }
        if (result == 0) {
            result = stay_in_lot(waiting, address, attempt, arg, deadline, &woken);
        }
        if (result < 0 && woken) {
            mod_wake(address, 1);
        }
        if (result != 0) {
            return result;
        }
    }
}

int
mod_wait_in_lot(const mod_waiting *waiting, const void *address, mod_try attempt, void *arg,
                itr_deadline deadline)
{
    return finish_wait(waiting, wait_in_lot(waiting, address, attempt, arg, deadline));
}

/* Descriptors. -------------------------------------------------------------------------------- */

/* Detached. As poll(), until the deadline. */
static int
poll_until_deadline(struct pollfd *fds, nfds_t count, itr_deadline deadline)
{
    if (deadline == ITR_NEVER) {
        return poll(fds, count, -1);
    }
    itr_deadline left = deadline - itr_now();
    if (left < 0) {
        left = 0;
    }
#ifdef __linux__
    struct timespec timeout = {.tv_sec = (time_t)(left / NANOSECONDS_PER_SECOND),
                               .tv_nsec = (long)(left % NANOSECONDS_PER_SECOND)};
    return ppoll(fds, count, &timeout, NULL);
#else
    int64_t milliseconds = (left + 999999) / 1000000;
    return poll(fds, count, milliseconds < INT_MAX ? (int)milliseconds : INT_MAX);
#endif
}

/* As mod_wait_for_fds; ASKED if the end has been asked for, and nothing is ready. */
enum { ASKED = 2 };

static int
wait_for_fds(const mod_waiting *waiting, struct pollfd *fds, nfds_t count, itr_deadline deadline)
{
    for (;;) {
        if (waiting->own != NULL && !itr_own_fd_is_ours(waiting->own)) {
            fds[0].revents = POLLNVAL;
            return 1;
        }
        /* Made unreadable before we look whether we are asked, so nothing falls between. Without it
           (no descriptor is left) we look from time to time. */
        int wake_fd = itr_poll_fd(waiting->record);
        fds[count] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
        itr_deadline until = deadline;
        if (wake_fd < 0 && until > itr_deadline_after(MOD_LONGEST_SLICE)) {
            until = itr_deadline_after(MOD_LONGEST_SLICE);
        }
        if (mod_wait_asked(waiting)) {
            return ASKED;
        }
        int ready, error;
        PyThreadState *self = detach(waiting);
        ready = poll_until_deadline(fds, count + 1, until);
        error = errno;
        attach(waiting, self);
        /* Ours is ready, too, when the program has closed it: then there is another next time. */
        if (ready > (fds[count].revents != 0)) {
            return 1;
        }
        if (ready < 0 && error != EINTR) {
            errno = error;
            (void)PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (mod_wait_asked(waiting)) {
            return ASKED;
        }
        /* Also at the end of a slice: a signal may have come while we waited for the GIL. */
        if (ready <= 0 && PyErr_CheckSignals() < 0) {
            return -1;
        }
        if (ready == 0 && deadline != ITR_NEVER && itr_now() >= deadline) {
            return 0;
        }
    }
}

int
mod_wait_for_fds(const mod_waiting *waiting, struct pollfd *fds, nfds_t count,
                 itr_deadline deadline)
{
    int result;
    do {
        result = wait_for_fds(waiting, fds, count, deadline);
        if (result == ASKED && waiting->quiet) {
            result = 1;
        }
        else if (result == ASKED && mod_wait_check(waiting) < 0) {
            result = -1;
        }
    } while (result == ASKED);
    return finish_wait(waiting, result);
}

int
mod_wait_for_fd(const mod_waiting *waiting, int fd, short events, itr_deadline deadline)
{
    struct pollfd fds[2] = {{.fd = fd, .events = events}};
    return mod_wait_for_fds(waiting, fds, 1, deadline);
}

int
mod_wait_uninterrupted(int fd, short events, itr_deadline deadline)
{
    for (;;) {
        struct pollfd fds = {.fd = fd, .events = events};
        int ready, error;
        Py_BEGIN_ALLOW_THREADS
        ready = poll_until_deadline(&fds, 1, deadline);
        error = errno;
        Py_END_ALLOW_THREADS
        if (ready > 0 || (ready == 0 && itr_now() >= deadline)) {
            return ready;
        }
        if (ready < 0 && error != EINTR) {
            errno = error;
            (void)PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
    }
}

int
mod_wait_begin_call(const mod_waiting *waiting)
{
    int fd = itr_poll_fd(waiting->record);
    if (fd >= 0) {
        (void)itr_begin_wait(waiting->record);
    }
    return fd;
}

void
mod_wait_end_call(const mod_waiting *waiting)
{
    (void)itr_end_wait(waiting->record);
    mod_wait_over(waiting);
}

/* Time. --------------------------------------------------------------------------------------- */

/* Sleep until then, a signal, or, if it is heeded, the asking. OSError is set if it says so. */
static itr_park_result
rest(const mod_waiting *waiting, bool heed, itr_deadline until)
{
    itr_park_result result = ITR_PARK_PERMIT;
    PyThreadState *self = detach(waiting);
    while (result == ITR_PARK_PERMIT && !(heed && mod_wait_asked(waiting))) {
        result = itr_park(&waiting->record->parker, until);
    }
    attach(waiting, self);
    if (result == ITR_PARK_ERROR) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
    }
    return result;
}

static int
park_until(const mod_waiting *waiting, itr_deadline deadline)
{
    for (;;) {
        if (waiting->quiet && mod_wait_asked(waiting)) {
            return 0;
        }
        if (mod_wait_check(waiting) < 0) {
            return -1;
        }
        itr_park_result result = rest(waiting, true, deadline);
        if (result == ITR_PARK_TIMEOUT) {
            return 0;
        }
        if (result == ITR_PARK_ERROR || (result == ITR_PARK_SIGNAL && PyErr_CheckSignals() < 0)) {
            return -1;
        }
    }
}

int
mod_wait_until(const mod_waiting *waiting, itr_deadline deadline)
{
    return finish_wait(waiting, park_until(waiting, deadline));
}

itr_deadline
mod_next_slice(int64_t *slice)
{
    *slice = *slice == 0                      ? FIRST_SLICE
             : 2 * *slice < MOD_LONGEST_SLICE ? 2 * *slice
                                              : MOD_LONGEST_SLICE;
    return itr_deadline_after(*slice);
}

int
mod_wait_slice(const mod_waiting *waiting, int64_t *slice, itr_deadline deadline)
{
    itr_deadline until = mod_next_slice(slice);
    bool last = until >= deadline;
    if (mod_wait_until(waiting, last ? deadline : until) < 0) {
        return -1;
    }
    /* A signal may have come between two slices. */
    return PyErr_CheckSignals() < 0 ? -1 : !last;
}

/* One stay between two tries: 0, or -1 with an exception set. */
static int
wait_for_next_try(const mod_waiting *waiting, int fd, bool asked, itr_deadline until)
{
    if (fd >= 0) {
        return mod_wait_for_fd(waiting, fd, POLLIN, until) < 0 ? -1 : 0;
    }
    /* If it could not be raised, it is known already. Whatever ended the sleep: a signal may have
       come between two of them. */
    return rest(waiting, !asked, until) == ITR_PARK_ERROR ? -1 : PyErr_CheckSignals();
}

static int
wait_trying(const mod_waiting *waiting, mod_try attempt, void *arg, itr_deadline deadline)
{
    int64_t slice = 0;
    for (;;) {
        int result = attempt(arg);
        bool asked = result == 0 && mod_wait_asked(waiting);
        if (asked) {
            result = leave_wait(waiting, arg);
        }
        if (result != 0 || (deadline != ITR_NEVER && itr_now() >= deadline)) {
            return result;
        }
        int fd = waiting->own == NULL ? -1 : waiting->own->fd;
        itr_deadline until = fd >= 0 ? ITR_NEVER : mod_next_slice(&slice);
        if (wait_for_next_try(waiting, fd, asked, until < deadline ? until : deadline) < 0) {
            return -1;
        }
    }
}

int
mod_wait_trying(mod_waiting *waiting, mod_try attempt, void *arg, itr_deadline deadline)
{
    waiting->quiet = true;
    int result = wait_trying(waiting, attempt, arg, deadline);
    mod_wait_over(waiting);
    return result;
}

bool
mod_deadline_of(PyObject *timeout, mod_ever ever, itr_deadline *deadline)
{
    *deadline = ITR_NEVER;
    if (timeout == NULL || (ever == MOD_NONE_IS_EVER && timeout == Py_None)) {
        return true;
    }
    double seconds = PyFloat_Check(timeout)  ? PyFloat_AS_DOUBLE(timeout)
                     : PyLong_Check(timeout) ? PyLong_AsDouble(timeout)
                                             : 0;
    if (seconds == -1 && PyErr_Occurred()) {
        PyErr_Clear(); /* an int that is too large for a double */
        return false;
    }
    if (seconds == -1 && ever == MOD_MINUS_ONE_IS_EVER) {
        return true;
    }
    if (!(seconds > 0 && seconds <= (double)PY_TIMEOUT_MAX / 1e6)) {
        return false;
    }
    double nanoseconds = ceil(seconds * 1e9);
    if (nanoseconds < (double)INT64_MAX) {
        *deadline = itr_deadline_after((int64_t)nanoseconds);
    }
    return true;
}

/* Does it wait? `*timeout` (borrowed) is NULL if it was not given. */
static bool
call_waits(const mod_call *call, const char *flag, PyObject **timeout)
{
    PyObject *waits = mod_call_argument(call, 0, flag);
    *timeout = mod_call_argument(call, 1, "timeout");
    if (mod_call_count(call) != (waits != NULL) + (*timeout != NULL)) {
        return false;
    }
    int number = 0;
    return waits == NULL || waits == Py_True || (mod_int_of(waits, &number) && number != 0);
}

bool
mod_call_deadline(const mod_call *call, const char *flag, mod_ever ever, itr_deadline *deadline)
{
    PyObject *timeout;
    return call_waits(call, flag, &timeout) && mod_deadline_of(timeout, ever, deadline);
}

PyObject *
mod_wait_in_original(const mod_call *call, bool flag, itr_deadline deadline)
{
    if (deadline == ITR_NEVER) {
        return mod_call_again(call, NULL, 0);
    }
    itr_deadline left = deadline - itr_now();
    PyObject *arguments[] = {Py_True, PyFloat_FromDouble(left < 0 ? 0 : (double)left / 1e9)};
    if (arguments[1] == NULL) {
        return NULL;
    }
    PyObject *result =
        flag ? mod_call_again(call, arguments, 2) : mod_call_again(call, &arguments[1], 1);
    Py_DECREF(arguments[1]);
    return result;
}
