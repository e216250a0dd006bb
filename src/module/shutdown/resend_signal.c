/*
 * See resend_signal.h. `nudged` is written by the main thread before the handler in C of that
 * signal is in place, and read by that handler, in whatever thread it runs; but for what is said
 * there.
 */
#include "shutdown/resend_signal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shutdown/watchdog.h"

#if defined(__linux__) && !defined(sigev_notify_thread_id)
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
    /* After the signal, in milliseconds. Nearly all signals are seen long before. */
    FIRST_PAUSE = 10,
    /* Each pause is twice the one before. Whoever is not back after this one is in a call that
       nothing breaks off. */
    LAST_PAUSE = 1280,
};

static struct {
    struct sigaction below; /* where it goes on to: CPython's handler, or a library's */
    bool foreign;           /* it is a library's */
    _Atomic bool outside;   /* it has come from somewhere since it was last seen to */
    _Atomic bool inside;    /* the process has raised it itself, since. Both atomic: relaxed, Python
                               looks when it has been told */
#ifdef __linux__
    timer_t timer;
    pid_t process;     /* that the timer is of: a child of a fork has none; 0: there is none */
    _Atomic int pause; /* atomic: relaxed, it is a number and nothing else */
    _Atomic bool due;  /* the next nudge is for Python. The same */
#endif
} nudged[NSIG];

/* May not return: a library's handler jumps to where its own code goes on. */
static void
go_on(int number, siginfo_t *info, void *context)
{
    const struct sigaction *below = &nudged[number].below;
    if (below->sa_flags & SA_SIGINFO) {
        below->sa_sigaction(number, info, context);
    }
    else {
        below->sa_handler(number);
    }
}

/* Python may never hear of a signal that a library has: its handler may jump out of C code
   (cysignals), or do all there is to do (libev). So it is left word by a signal that nobody sends,
   whose handler in Python is ours. 0: there is none. atomic: relaxed, a number and nothing else */
static _Atomic int word_for_python;

/* Nudges. -------------------------------------------------------------------------------------- */

#ifdef __linux__

/* One nudge after so many milliseconds; with 0, none. Async-signal-safe. */
static void
set_nudge_timer(int number, int pause)
{
    if (nudged[number].process == getpid()) {
        const struct itimerspec times = {
            .it_value = {.tv_sec = pause / 1000, .tv_nsec = pause % 1000 * 1000000L}};
        atomic_store_explicit(&nudged[number].pause, pause, memory_order_relaxed);
        (void)timer_settime(nudged[number].timer, 0, &times, NULL);
    }
}

/* Whether it is a nudge; then the next is on its way. Async-signal-safe. */
static bool
is_nudge(int number, siginfo_t *info)
{
    if (info->si_code != SI_TIMER || info->si_value.sival_ptr != &nudged[number]) {
        return false;
    }
    if (atomic_exchange_explicit(&nudged[number].due, false, memory_order_relaxed)) {
        go_on(number, info, NULL);
    }
    int pause = atomic_load_explicit(&nudged[number].pause, memory_order_relaxed);
    if (pause > 0 && pause < LAST_PAUSE) {
        set_nudge_timer(number, 2 * pause);
    }
    return true;
}

/* Its timer, made once a process. Without one it works, but for the moment that resend_signal.h
 * tells of.
 */
static void
make_timer(int number)
{
    if (nudged[number].process == getpid()) {
        return;
    }
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = number,
                             .sigev_value.sival_ptr = &nudged[number]};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &nudged[number].timer) == 0) {
        nudged[number].process = getpid();
    }
}

static bool
is_sent_later(int number)
{
    if (nudged[number].process != getpid()) {
        return false;
    }
    atomic_store_explicit(&nudged[number].due, true, memory_order_relaxed);
    set_nudge_timer(number, FIRST_PAUSE);
    return true;
}

#else

static bool
is_sent_later(int number)
{
    (void)number;
    return false;
}

static void
set_nudge_timer(int number, int pause)
{
    (void)number;
    (void)pause;
}

static bool
is_nudge(int number, siginfo_t *info)
{
    (void)number;
    (void)info;
    return false;
}

static void
make_timer(int number)
{
    (void)number;
}

#endif

/* The handler. --------------------------------------------------------------------------------- */

static bool
is_raised_by_ourselves(const siginfo_t *info)
{
#ifdef SI_TKILL
    return info->si_code == SI_TKILL && info->si_pid == getpid();
#else
    (void)info;
    return false;
#endif
}

static void
on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    if (!interruption_signal_is_the_watchdogs(info) && !is_nudge(number, info)) {
        interruption_signal_came(number);
        bool inside = is_raised_by_ourselves(info);
        atomic_store_explicit(inside ? &nudged[number].inside : &nudged[number].outside, true,
                              memory_order_relaxed);
        set_nudge_timer(number, FIRST_PAUSE);
        int word = atomic_load_explicit(&word_for_python, memory_order_relaxed);
        if (nudged[number].foreign && word != 0) {
            (void)PyErr_SetInterruptEx(word);
        }
        errno = saved;
        go_on(number, info, context);
    }
    errno = saved;
}

void
interruption_look_after_signal(int number, const struct sigaction *below, bool foreign)
{
    struct sigaction action = *below;
    nudged[number].below = action;
    nudged[number].foreign = foreign;
    make_timer(number);
    action.sa_sigaction = on_signal;
    action.sa_flags |= SA_SIGINFO;
    (void)sigaction(number, &action, NULL);
}

void
interruption_leave_word_by(int number)
{
    atomic_store_explicit(&word_for_python, number, memory_order_relaxed);
}

bool
interruption_handler_below(int number, const struct sigaction *action, struct sigaction *below)
{
    if (!(action->sa_flags & SA_SIGINFO) || action->sa_sigaction != on_signal) {
        return false;
    }
    *below = nudged[number].below;
    return true;
}

int
interruption_as_signal(PyObject *number)
{
    long value = PyLong_AsLong(number);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (value <= 0 || value >= NSIG) {
        PyErr_Format(PyExc_ValueError, "%ld is no signal of this system", value);
        return -1;
    }
    return (int)value;
}

PyObject *
interruption_signal_is_seen(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *object;
    int first;
    if (!PyArg_ParseTuple(args, "Op:_signal_is_seen", &object, &first)) {
        return NULL;
    }
    int number = interruption_as_signal(object);
    if (number < 0) {
        return NULL;
    }
    set_nudge_timer(number, 0);
    bool foreign = nudged[number].foreign;
    bool inside = atomic_exchange_explicit(&nudged[number].inside, false, memory_order_relaxed);
    bool outside = atomic_exchange_explicit(&nudged[number].outside, false, memory_order_relaxed);
    bool counts = outside || (inside ? first : !foreign);
    return Py_BuildValue("(NN)", PyBool_FromLong(counts), PyBool_FromLong(foreign));
}

PyObject *
interruption_signal_later(PyObject *Py_UNUSED(module), PyObject *object)
{
    int number = interruption_as_signal(object);
    if (number < 0) {
        return NULL;
    }
    if (!is_sent_later(number)) {
        (void)raise(number);
    }
    Py_RETURN_NONE;
}

PyObject *
interruption_foreign_signals(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    PyObject *all = PyList_New(0);
    for (int number = 1; number < NSIG && all != NULL; number++) {
        if (!nudged[number].foreign ||
            !(atomic_load_explicit(&nudged[number].inside, memory_order_relaxed) ||
              atomic_load_explicit(&nudged[number].outside, memory_order_relaxed))) {
            continue;
        }
        PyObject *one = PyLong_FromLong(number);
        if (one == NULL || PyList_Append(all, one) < 0) {
            Py_CLEAR(all);
        }
        Py_XDECREF(one);
    }
    return all;
}
