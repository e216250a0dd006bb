/*
 * See signals.h. The signals of a set that are blocked, as they have to be for these calls, make a
 * signalfd readable while they are pending for the thread that polls, or the process; they are then
 * taken by the original, told not to wait. A set with a signal that is not blocked is left to the
 * original, which is not interrupted.
 */
#include "blocking/process/signals.h"

#include <errno.h>
#include <signal.h>
#ifdef __linux__
#include <sys/signalfd.h>
#endif

#include "blocking/numbers.h"
#include "blocking/wait.h"

/* pause --------------------------------------------------------------------------------------- */

/* Until a handler has run in this thread: only that ends the poll() so. */
static PyObject *
wait_for_handler(const interruption_waiting *waiting)
{
    for (;;) {
        struct pollfd wake = {.fd = itr_poll_fd(waiting->record), .events = POLLIN};
        if (interruption_wait_check(waiting) < 0) {
            return NULL;
        }
        if (wake.fd < 0) {
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        int ready;
        Py_BEGIN_ALLOW_THREADS
        ready = poll(&wake, 1, -1);
        Py_END_ALLOW_THREADS
        if (ready < 0) {
            return PyErr_CheckSignals() < 0 ? NULL : Py_NewRef(Py_None);
        }
    }
}

static PyObject *
pause_here(const interruption_call *call)
{
    interruption_waiting waiting;
    if (interruption_wait_entry() < 0) {
        return NULL;
    }
    if (!interruption_wait_begin(&waiting)) {
        return interruption_call_original(call);
    }
    return wait_for_handler(&waiting);
}

INTERRUPTION_REPLACEMENT(signal_pause, interruption_called_inside, pause_here);

/* sigwait and its like ------------------------------------------------------------------------ */

#ifdef __linux__

static PyObject *take_info(const interruption_call *call);
static PyObject *take_number(const interruption_call *call);

INTERRUPTION_REPLACEMENT(signal_sigwait, interruption_called_inside, take_number);
INTERRUPTION_REPLACEMENT(signal_sigwaitinfo, interruption_called_inside, take_info);
INTERRUPTION_REPLACEMENT(signal_sigtimedwait, interruption_called_inside, take_info);

/* The signals of a set; false, and nothing set: not one that we can go through twice, or empty, or
   with other things in it. */
static bool
signals_of(PyObject *set, sigset_t *signals)
{
    (void)sigemptyset(signals);
    if (set == NULL ||
        !(PyAnySet_CheckExact(set) || PyTuple_CheckExact(set) || PyList_CheckExact(set))) {
        return false;
    }
    PyObject *tuple = PySequence_Tuple(set);
    int number;
    bool good = tuple != NULL && PyTuple_GET_SIZE(tuple) > 0;
    for (Py_ssize_t i = 0; good && i < PyTuple_GET_SIZE(tuple); i++) {
        good = interruption_int_of(PyTuple_GET_ITEM(tuple, i), &number) &&
               sigaddset(signals, number) == 0;
    }
    Py_XDECREF(tuple);
    PyErr_Clear();
    return good;
}

static bool
all_blocked(const sigset_t *signals)
{
    sigset_t blocked;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int number = 1; number < NSIG; number++) {
        if (sigismember(signals, number) == 1 && sigismember(&blocked, number) != 1) {
            return false;
        }
    }
    return true;
}

/* Take one that is pending. NULL with nothing set: none is. */
static PyObject *
take_pending(const interruption_call *call)
{
    PyObject *zero = PyLong_FromLong(0);
    PyObject *arguments[] = {interruption_call_argument(call, 0, NULL), zero};
    PyObject *info = NULL;
    if (zero != NULL) {
        info = interruption_call_method(&signal_sigtimedwait, call->self, arguments, 2);
    }
    Py_XDECREF(zero);
    if (info == Py_None) {
        Py_CLEAR(info);
    }
    return info;
}

/* One wait. */
typedef struct {
    const interruption_call *call;
    sigset_t signals;
    itr_deadline deadline;
    itr_own_fd own; /* a signalfd, or none */
    PyObject *info; /* of the signal that was taken */
} signal_wait;

/* See interruption_try. The signalfd is opened before the look so that nothing is missed. Another,
   if the program has closed ours; none, if the system has none left. */
static int
try_to_take(void *arg)
{
    signal_wait *of = arg;
    if (!itr_own_fd_is_ours(&of->own)) {
        (void)itr_own_fd_take(&of->own, signalfd(-1, &of->signals, SFD_CLOEXEC | SFD_NONBLOCK));
    }
    of->info = take_pending(of->call);
    return of->info != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* Take the first that comes, if it comes in time: else NULL with nothing set. */
static PyObject *
wait_for_signal(interruption_waiting *waiting, signal_wait *of)
{
    waiting->own = &of->own;
    (void)interruption_wait_by_own(waiting, try_to_take, of, false, of->deadline);
    itr_own_fd_close(&of->own);
    return of->info;
}

static bool
find_signal_arguments(const interruption_call *call, signal_wait *of)
{
    PyObject *timeout = interruption_call_argument(call, 1, NULL);
    if (interruption_call_count(call) != 1 + (call->method == &signal_sigtimedwait) ||
        !signals_of(interruption_call_argument(call, 0, NULL), &of->signals) ||
        !all_blocked(&of->signals)) {
        return false;
    }
    return interruption_deadline_of(timeout, INTERRUPTION_NOTHING_IS_EVER, &of->deadline);
}

/* The first that comes, as its information or its number; None if the time is over before. */
static PyObject *
take_signal(const interruption_call *call, bool number)
{
    /* With a timeout of 0 it only looks (S10b). */
    PyObject *timeout = interruption_call_argument(call, 1, NULL);
    bool looks = timeout != NULL && interruption_is_no_time(timeout);
    if (!looks && interruption_wait_entry() < 0) {
        return NULL;
    }
    signal_wait of = {.call = call, .own = ITR_NO_FD};
    interruption_waiting waiting;
    if (!find_signal_arguments(call, &of)) {
        return interruption_call_original(call);
    }
    PyObject *info = take_pending(call);
    if (info == NULL && !PyErr_Occurred()) {
        if (!interruption_wait_begin(&waiting)) {
            return interruption_call_original(call);
        }
        info = wait_for_signal(&waiting, &of);
    }
    if (info == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    if (number) {
        Py_SETREF(info, PyObject_GetAttrString(info, "si_signo"));
    }
    return info;
}

static PyObject *
take_info(const interruption_call *call)
{
    return take_signal(call, false);
}

static PyObject *
take_number(const interruption_call *call)
{
    return take_signal(call, true);
}

#endif

static const interruption_row signal_rows[] = {
    {"_signal", NULL, "pause", &signal_pause, true},
#ifdef __linux__
    {"_signal", NULL, "sigwait", &signal_sigwait, false},
    {"_signal", NULL, "sigwaitinfo", &signal_sigwaitinfo, false},
    {"_signal", NULL, "sigtimedwait", &signal_sigtimedwait, false},
#endif
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_signals = {.name = "signals", .rows = signal_rows};
