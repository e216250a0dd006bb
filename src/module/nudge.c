/*
 * See nudge.h. `watched` is written by the main thread before the handler in C of that signal is in
 * place, and read by that handler, in whatever thread it runs.
 */
#define _GNU_SOURCE
#include "nudge.h"

#include <signal.h>

#include "watchdog.h"

#ifdef __linux__

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
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
    timer_t timer;
    pid_t process;       /* that the timer is of: a child of a fork has none; 0: there is none */
    void (*python)(int); /* CPython's handler */
    _Atomic int pause;   /* atomic: relaxed, it is a number and nothing else */
} watched[NSIG];

/* One nudge after so many milliseconds; with 0, none. Async-signal-safe. */
static void
set_timer(int number, int pause)
{
    if (watched[number].process == getpid()) {
        const struct itimerspec times = {
            .it_value = {.tv_sec = pause / 1000, .tv_nsec = pause % 1000 * 1000000L}};
        atomic_store_explicit(&watched[number].pause, pause, memory_order_relaxed);
        (void)timer_settime(watched[number].timer, 0, &times, NULL);
    }
}

static void
on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    if (interruption_signal_is_the_watchdogs(info)) {
        errno = saved;
        return;
    }
    if (info->si_code != SI_TIMER || info->si_value.sival_ptr != &watched[number]) {
        interruption_signal_came(number);
        set_timer(number, FIRST_PAUSE);
        watched[number].python(number);
    }
    else {
        int pause = atomic_load_explicit(&watched[number].pause, memory_order_relaxed);
        if (pause > 0 && pause < LAST_PAUSE) {
            set_timer(number, 2 * pause);
        }
    }
    errno = saved;
}

/* Its timer, made once a process. */
static bool
have_timer(int number)
{
    if (watched[number].process == getpid()) {
        return true;
    }
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = number,
                             .sigev_value.sival_ptr = &watched[number]};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &watched[number].timer) != 0) {
        return false; /* it works without, but for the moment that nudge.h tells of */
    }
    watched[number].process = getpid();
    return true;
}

static void
watch(int number)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) != 0 || (action.sa_flags & SA_SIGINFO) ||
        action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN || !have_timer(number)) {
        return; /* not what signal.signal() sets: it is let alone */
    }
    watched[number].python = action.sa_handler;
    action.sa_sigaction = on_signal;
    action.sa_flags |= SA_SIGINFO;
    (void)sigaction(number, &action, NULL);
}

#else

static void
watch(int number)
{
    (void)number;
}

static void
set_timer(int number, int pause)
{
    (void)number;
    (void)pause;
}

#endif

/* A signal's number, -1 with an exception set if it is none. */
static int
as_signal(PyObject *number)
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
interruption_nudge(PyObject *Py_UNUSED(module), PyObject *number)
{
    int signal_number = as_signal(number);
    if (signal_number < 0) {
        return NULL;
    }
    watch(signal_number);
    Py_RETURN_NONE;
}

PyObject *
interruption_signal_is_seen(PyObject *Py_UNUSED(module), PyObject *number)
{
    int signal_number = as_signal(number);
    if (signal_number < 0) {
        return NULL;
    }
    set_timer(signal_number, 0);
    interruption_watchdog_answered();
    Py_RETURN_NONE;
}
