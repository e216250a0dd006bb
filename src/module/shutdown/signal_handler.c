/*
 * See signal_handler.h. What is not atomic is written by the main thread before the handler in C of
 * that signal is in place, and read by that handler, in whatever thread it runs. What is atomic is
 * relaxed: these are numbers, and nothing else hangs on them.
 */
#include "shutdown/signal_handler.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "itr_clock.h"
#include "shutdown/last_words.h"
#include "shutdown/watchdog.h"

#if defined(__linux__) && !defined(sigev_notify_thread_id)
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define LOAD(from) atomic_load_explicit(&(from), memory_order_relaxed)
#define STORE(to, value) atomic_store_explicit(&(to), (value), memory_order_relaxed)

enum {
    /* After the signal, in milliseconds. Nearly all signals are seen long before. */
    FIRST_PAUSE = 10,
    /* Each pause is twice the one before. Whoever is not back after this one is in a call that
       nothing breaks off. */
    LAST_PAUSE = 1280,
    GIVE_UP = 3, /* what the third signal means */
};

#define MILLISECOND INT64_C(1000000)
#define SECOND INT64_C(1000000000)

/* So long after the third signal a handler in Python must have run. */
static const int64_t ANSWERS_WITHIN = SECOND;

static struct {
    struct sigaction below;   /* where it goes on to: CPython's handler, or a library's */
    bool foreign;             /* it is a library's */
    _Atomic bool outside;     /* it has come from somewhere since it was last seen to */
    _Atomic bool inside;      /* the process has raised it itself, since */
    _Atomic int pause;        /* until it is sent again, in milliseconds; 0: it is not */
    _Atomic bool later;       /* what is sent next is for Python */
    _Atomic pid_t process;    /* that watches it: not a child of its. 0: nobody does */
    _Atomic bool fatal;       /* without us it would end the process at once */
    _Atomic int64_t grace[2]; /* until when it may go unanswered, from then on; or ITR_NEVER. The
                                 second, if it is fatal */
    _Atomic int64_t due;      /* when it ends the process unless it is answered; or ITR_NEVER */
} heeded[NSIG];

/* What has come since all was forgotten. */
static struct {
    _Atomic int count;        /* of signals, answered or not */
    _Atomic int64_t answered; /* when somebody did, last */
    _Atomic int64_t since;    /* when the first came that was not answered then */
} came;

/* Python may never hear of a signal that a library has: its handler may jump out of C code
   (cysignals), or do all there is to do (libev). So it is left word by a signal that nobody sends,
   whose handler in Python is ours. 0: there is none */
static _Atomic int word_for_python;

/* Timers. -------------------------------------------------------------------------------------- */

enum { RESEND, END, TIMERS };

#ifdef __linux__

static struct {
    timer_t timers[TIMERS];
    pid_t process; /* whose they are: a child of a fork has none; 0: there are none */
} timed[NSIG];

static bool
has_timers(int number)
{
    return timed[number].process == getpid();
}

static bool
make_timer(int number, int which, int notify)
{
    timer_t *timer = &timed[number].timers[which];
    struct sigevent event = {
        .sigev_notify = notify, .sigev_signo = number, .sigev_value.sival_ptr = timer};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid); /* for SIGEV_THREAD_ID */
    return timer_create(CLOCK_MONOTONIC, &event, timer) == 0;
}

/* Once a process. Without them it works, but for the moments that signal_handler.h tells of. */
static void
make_timers(int number)
{
    if (has_timers(number) || !make_timer(number, RESEND, SIGEV_THREAD_ID)) {
        return;
    }
    if (make_timer(number, END, SIGEV_SIGNAL)) {
        timed[number].process = getpid();
    }
    else {
        (void)timer_delete(timed[number].timers[RESEND]);
    }
}

/* Let it ring then; ITR_NEVER: not. Async-signal-safe, as the next one. */
static void
set_timer(int number, int which, int64_t at)
{
    if (has_timers(number)) {
        struct itimerspec once = {.it_value = {0, 0}};
        if (at != ITR_NEVER) {
            once.it_value = (struct timespec){.tv_sec = at / SECOND, .tv_nsec = at % SECOND};
        }
        (void)timer_settime(timed[number].timers[which], TIMER_ABSTIME, &once, NULL);
    }
}

/* The timer that has sent that signal; TIMERS: none of ours. */
static int
timer_of(const siginfo_t *info)
{
    int which = info->si_code == SI_TIMER ? 0 : TIMERS;
    while (which < TIMERS && info->si_value.sival_ptr != &timed[info->si_signo].timers[which]) {
        which++;
    }
    return which;
}

#else

static bool
has_timers(int number)
{
    (void)number;
    return false;
}

static void
make_timers(int number)
{
    (void)number;
}

static void
set_timer(int number, int which, int64_t at)
{
    (void)number;
    (void)which;
    (void)at;
}

static int
timer_of(const siginfo_t *info)
{
    (void)info;
    return TIMERS;
}

#endif

/* Send it to the main thread again after so many milliseconds; 0: not any more. */
static void
resend_after(int number, int pause)
{
    STORE(heeded[number].pause, pause);
    set_timer(number, RESEND, pause == 0 ? ITR_NEVER : itr_now() + pause * MILLISECOND);
}

/* Let it end the process then, if it does not do so before. */
static void
end_at(int number, int64_t due)
{
    if (due < LOAD(heeded[number].due)) {
        STORE(heeded[number].due, due);
        set_timer(number, END, due);
    }
}

/* The handler. All of it is async-signal-safe. ------------------------------------------------- */

/* May not return: a library's handler jumps to where its own code goes on. */
static void
go_on(int number, siginfo_t *info, void *context)
{
    const struct sigaction *below = &heeded[number].below;
    if (below->sa_flags & SA_SIGINFO) {
        below->sa_sigaction(number, info, context);
    }
    else {
        below->sa_handler(number);
    }
}

/* The main thread's call has been broken off by now. */
static void
on_resent(int number, siginfo_t *info)
{
    if (atomic_exchange_explicit(&heeded[number].later, false, memory_order_relaxed)) {
        go_on(number, info, NULL);
    }
    int pause = LOAD(heeded[number].pause);
    if (pause > 0 && pause < LAST_PAUSE) {
        resend_after(number, 2 * pause);
    }
}

/* It may have been answered while the signal was on its way. */
static void
on_end(int number)
{
    if (itr_now() >= LOAD(heeded[number].due)) {
        mod_end_process(number, 0, LOAD(came.since));
    }
}

static bool
is_watched(int number)
{
    return LOAD(heeded[number].process) == getpid();
}

static int64_t
grace_of(int number)
{
    return LOAD(heeded[number].grace[LOAD(heeded[number].fatal)]);
}

/* A child of a fork has no part in what its parent has installed, but has the handler in C until
   Python is through with the fork, and for good if a library in C has forked. It ends there and
   then, as it would without us. */
static void
end_child(int number)
{
    if (LOAD(heeded[number].process) != 0 && LOAD(heeded[number].fatal)) {
        mod_kill_by(number);
    }
}

/* When the first has come that nobody has answered; that is now, unless there is one before. */
static int64_t
since_when(int64_t now)
{
    int64_t since = LOAD(came.since);
    if (since <= LOAD(came.answered) &&
        atomic_compare_exchange_strong_explicit(&came.since, &since, now, memory_order_relaxed,
                                                memory_order_relaxed)) {
        since = now;
    }
    return since; /* or that of another thread's handler, which was quicker */
}

/* May end the process: with the third signal, if nobody has run the handler in Python for a second
   since one before. */
static void
count_signal(int number)
{
    int64_t now = itr_now();
    int count = atomic_fetch_add_explicit(&came.count, 1, memory_order_relaxed) + 1;
    int64_t since = since_when(now), grace = grace_of(number);
    if (grace != ITR_NEVER && since <= ITR_NEVER - grace) {
        end_at(number, since + grace);
    }
    if (count >= GIVE_UP) {
        if (now - since >= ANSWERS_WITHIN) {
            mod_end_process(number, 0, since); /* at once also where there are no timers */
        }
        end_at(number, since + ANSWERS_WITHIN);
    }
}

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
on_sent(int number, const siginfo_t *info)
{
    if (is_watched(number)) {
        count_signal(number);
    }
    else {
        end_child(number);
    }
    bool inside = is_raised_by_ourselves(info);
    STORE(*(inside ? &heeded[number].inside : &heeded[number].outside), true);
    resend_after(number, FIRST_PAUSE);
    int word = LOAD(word_for_python);
    if (heeded[number].foreign && word != 0) {
        (void)PyErr_SetInterruptEx(word);
    }
}

static void
on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    switch (timer_of(info)) {
    case RESEND:
        on_resent(number, info);
        break;
    case END:
        on_end(number);
        break;
    default:
        on_sent(number, info);
        go_on(number, info, context);
    }
    errno = saved;
}

/* By the main thread. -------------------------------------------------------------------------- */

void
mod_look_after_signal(int number, const struct sigaction *below, bool foreign, bool fatal)
{
    struct sigaction action = *below;
    heeded[number].below = action;
    heeded[number].foreign = foreign;
    STORE(heeded[number].fatal, fatal);
    make_timers(number);
    action.sa_sigaction = on_signal;
    action.sa_flags |= SA_SIGINFO;
    (void)sigaction(number, &action, NULL);
}

bool
mod_handler_below(int number, const struct sigaction *action, struct sigaction *below)
{
    if (!(action->sa_flags & SA_SIGINFO) || action->sa_sigaction != on_signal) {
        return false;
    }
    *below = heeded[number].below;
    return true;
}

int
mod_as_signal(PyObject *object, void *number)
{
    long value = PyLong_AsLong(object);
    if (value == -1 && PyErr_Occurred()) {
        return 0;
    }
    if (value <= 0 || value >= NSIG) {
        PyErr_Format(PyExc_ValueError, "%ld is no signal of this system", value);
        return 0;
    }
    *(int *)number = (int)value;
    return 1;
}

PyObject *
mod_watch_signal(PyObject *Py_UNUSED(module), PyObject *args)
{
    int number;
    double seconds, seconds_if_fatal;
    if (!PyArg_ParseTuple(args, "O&dd:_watch_signal", mod_as_signal, &number, &seconds,
                          &seconds_if_fatal)) {
        return NULL;
    }
    mod_prepare_last_words();
    STORE(heeded[number].due, ITR_NEVER);
    STORE(heeded[number].grace[false], mod_nanoseconds(seconds));
    STORE(heeded[number].grace[true], mod_nanoseconds(seconds_if_fatal));
    STORE(heeded[number].process, getpid());
    Py_RETURN_NONE;
}

void
mod_leave_word_by(int number)
{
    STORE(word_for_python, number);
}

PyObject *
mod_foreign_signals(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    PyObject *all = PyList_New(0);
    for (int number = 1; number < NSIG && all != NULL; number++) {
        if (!heeded[number].foreign ||
            !(LOAD(heeded[number].inside) || LOAD(heeded[number].outside))) {
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

PyObject *
mod_signal_is_seen(PyObject *Py_UNUSED(module), PyObject *args)
{
    int number, first;
    if (!PyArg_ParseTuple(args, "O&p:_signal_is_seen", mod_as_signal, &number, &first)) {
        return NULL;
    }
    resend_after(number, 0);
    bool foreign = heeded[number].foreign;
    bool inside = atomic_exchange_explicit(&heeded[number].inside, false, memory_order_relaxed);
    bool outside = atomic_exchange_explicit(&heeded[number].outside, false, memory_order_relaxed);
    bool counts = outside || (inside ? first : !foreign);
    return Py_BuildValue("(NN)", PyBool_FromLong(counts), PyBool_FromLong(foreign));
}

PyObject *
mod_signal_later(PyObject *Py_UNUSED(module), PyObject *object)
{
    int number;
    if (!mod_as_signal(object, &number)) {
        return NULL;
    }
    if (has_timers(number)) {
        STORE(heeded[number].later, true);
        resend_after(number, FIRST_PAUSE);
    }
    else {
        (void)raise(number);
    }
    Py_RETURN_NONE;
}

/* What has come has been seen to. What would have ended the process is to end it still. */
static void
be_answered(bool to_end)
{
    STORE(came.answered, itr_now());
    for (int number = 1; number < NSIG; number++) {
        if (is_watched(number) && LOAD(heeded[number].due) != ITR_NEVER) {
            if (to_end) {
                mod_ends_by_signal(number);
            }
            STORE(heeded[number].due, ITR_NEVER);
            set_timer(number, END, ITR_NEVER);
        }
    }
}

void
mod_signals_answered(void)
{
    be_answered(true);
}

void
mod_signals_forgotten(void)
{
    be_answered(false);
    STORE(came.count, 0);
}

void
mod_ends_by_signal(int number)
{
    if (is_watched(number) && LOAD(heeded[number].fatal)) {
        mod_watchdog_stays(number, grace_of(number), LOAD(came.since));
    }
}

void
mod_signals_after_fork_child(void)
{
    STORE(came.count, 0);
    STORE(came.answered, itr_now());
}
