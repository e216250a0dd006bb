/*
 * The signals of a set that are blocked, as they have to be for these calls, make a
 * signalfd readable while they are pending for the thread that polls, or the process; they are then
 * taken by the original, told not to wait. A set with a signal that is not blocked is left to the
 * original, which is not interrupted.
 */
#include "blocking/interposed.h"

#ifdef __linux__

#include <signal.h>
#include <sys/signalfd.h>

#include "blocking/numbers.h"
#include "blocking/wait.h"

static PyObject *take_info(const mod_call *call);
static PyObject *take_number(const mod_call *call);

MOD_REPLACEMENT(signal_sigwait, mod_called_inside, take_number);
MOD_REPLACEMENT(signal_sigwaitinfo, mod_called_inside, take_info);
MOD_REPLACEMENT(signal_sigtimedwait, mod_called_inside, take_info);

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
        good = mod_int_of(PyTuple_GET_ITEM(tuple, i), &number) && sigaddset(signals, number) == 0;
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
take_pending(const mod_call *call)
{
    PyObject *zero = PyLong_FromLong(0);
    PyObject *arguments[] = {mod_call_argument(call, 0, NULL), zero};
    PyObject *info = NULL;
    if (zero != NULL) {
        info = mod_call_method(&signal_sigtimedwait, call->self, arguments, 2);
    }
    Py_XDECREF(zero);
    if (info == Py_None) {
        Py_CLEAR(info);
    }
    return info;
}

/* One wait. */
typedef struct {
    const mod_call *call;
    sigset_t signals;
    itr_deadline deadline;
    itr_own_fd own; /* a signalfd, or none */
    PyObject *info; /* of the signal that was taken */
} signal_wait;

/* See mod_try. The signalfd is opened before the look so that nothing is missed. Another,
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
wait_for_signal(mod_waiting *waiting, signal_wait *of)
{
    waiting->own = &of->own;
    (void)mod_wait_trying(waiting, try_to_take, of, of->deadline);
    itr_own_fd_close(&of->own);
    return of->info;
}

static bool
find_signal_arguments(const mod_call *call, signal_wait *of)
{
    PyObject *timeout = mod_call_argument(call, 1, NULL);
    if (mod_call_count(call) != 1 + (call->method == &signal_sigtimedwait) ||
        !signals_of(mod_call_argument(call, 0, NULL), &of->signals) || !all_blocked(&of->signals)) {
        return false;
    }
    return mod_deadline_of(timeout, MOD_NOTHING_IS_EVER, &of->deadline);
}

/* The first that comes, as its information or its number; None if the time is over before. */
static PyObject *
take_signal(const mod_call *call, bool number)
{
    /* With a timeout of 0 it only looks (S10b). */
    PyObject *timeout = mod_call_argument(call, 1, NULL);
    bool looks = timeout != NULL && mod_is_no_time(timeout);
    if (!looks && mod_wait_entry() < 0) {
        return NULL;
    }
    signal_wait of = {.call = call, .own = ITR_NO_FD};
    mod_waiting waiting;
    if (!find_signal_arguments(call, &of)) {
        return mod_call_original(call);
    }
    PyObject *info = take_pending(call);
    if (info == NULL && !PyErr_Occurred()) {
        if (!mod_wait_begin(&waiting)) {
            return mod_call_original(call);
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
take_info(const mod_call *call)
{
    return take_signal(call, false);
}

static PyObject *
take_number(const mod_call *call)
{
    return take_signal(call, true);
}

static const mod_row signal_rows[] = {
    {"_signal", NULL, "sigwait", &signal_sigwait, false},
    {"_signal", NULL, "sigwaitinfo", &signal_sigwaitinfo, false},
    {"_signal", NULL, "sigtimedwait", &signal_sigtimedwait, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_signals = {.name = "signals", .rows = signal_rows};

#endif
