/*
 * See watchdog.h. `came` and `watched_signals` are written by the main thread attached, and by
 * handlers in C of whatever thread; `guard` is guarded by its mutex, which no handler in C takes.
 */
#include "shutdown/watchdog.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "itr_background.h"
#include "itr_clock.h"
#include "itr_parker.h"
#include "shutdown/last_words.h"
#include "shutdown/pulse.h"

#define SECOND INT64_C(1000000000)

enum {
    GIVE_UP = 3,             /* what the third signal means */
    STACK_SIZE = 256 * 1024, /* of the guard; last words are a few kilobytes */
};

/* So long after the third signal a handler in Python must have run. */
static const int64_t ANSWERS_WITHIN = SECOND;

/* What has come since somebody answered last, or since all was forgotten. All atomic: relaxed; they
   are numbers, and nothing else hangs on them. */
static struct {
    _Atomic int count;      /* of signals, answered or not */
    _Atomic int unanswered; /* of signals */
    _Atomic int64_t since;  /* when the first of these came */
} came;

/* Unanswered. ---------------------------------------------------------------------------------- */

static struct {
    _Atomic pid_t process;    /* that watches that signal: not a child of its. 0: nobody does */
    _Atomic bool fatal;       /* without us it would end the process at once */
    _Atomic int64_t grace[2]; /* until when it may go unanswered, from then on; or ITR_NEVER. The
                                 second, if it is fatal */
    _Atomic int64_t due;      /* when the timer rings; ITR_NEVER: it does not */
} watched_signals[NSIG];

static int64_t
grace_of(int number)
{
    bool fatal = atomic_load_explicit(&watched_signals[number].fatal, memory_order_relaxed);
    return atomic_load_explicit(&watched_signals[number].grace[fatal], memory_order_relaxed);
}

static bool
is_watched(int number)
{
    return number > 0 && number < NSIG &&
           atomic_load_explicit(&watched_signals[number].process, memory_order_relaxed) == getpid();
}

#ifdef __linux__

static struct {
    timer_t timer; /* written by the main thread before the handler in C can be called */
    pid_t process; /* that the timer is of: a child of a fork has none */
} timers[NSIG];

static bool
have_timer(int number)
{
    if (timers[number].process == getpid()) {
        return true;
    }
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
                             .sigev_signo = number,
                             .sigev_value.sival_ptr = &watched_signals[number]};
    if (timer_create(CLOCK_MONOTONIC, &event, &timers[number].timer) != 0) {
        return false;
    }
    timers[number].process = getpid();
    return true;
}

static void
set_end_timer(int number, int64_t due)
{
    if (timers[number].process == getpid()) {
        struct itimerspec at = {.it_value = {0, 0}};
        if (due != ITR_NEVER) {
            at.it_value = (struct timespec){.tv_sec = due / SECOND, .tv_nsec = due % SECOND};
        }
        (void)timer_settime(timers[number].timer, TIMER_ABSTIME, &at, NULL);
    }
}

bool
interruption_signal_is_the_watchdogs(const siginfo_t *info)
{
    int number = info->si_signo;
    if (info->si_code != SI_TIMER || !is_watched(number) ||
        info->si_value.sival_ptr != &watched_signals[number]) {
        return false;
    }
    /* It may have been answered while the signal was on its way. */
    if (itr_now() >= atomic_load_explicit(&watched_signals[number].due, memory_order_relaxed)) {
        interruption_end_process(number, 0,
                                 atomic_load_explicit(&came.since, memory_order_relaxed));
    }
    return true;
}

#else

static bool
have_timer(int number)
{
    (void)number;
    return true;
}

static void
set_end_timer(int number, int64_t due)
{
    (void)number;
    (void)due;
}

bool
interruption_signal_is_the_watchdogs(const siginfo_t *info)
{
    (void)info;
    return false;
}

#endif

/* Let the timer ring then, if it does not ring before. */
static void
ring_at(int number, int64_t due)
{
    if (due < atomic_load_explicit(&watched_signals[number].due, memory_order_relaxed)) {
        atomic_store_explicit(&watched_signals[number].due, due, memory_order_relaxed);
        set_end_timer(number, due);
    }
}

/* A child of a fork has no part in what its parent has installed, but has the handler in C until
   Python is through with the fork, and for good if a library in C has forked. It ends there and
   then, as it would without us. */
static void
end_child(int number)
{
    pid_t process =
        number > 0 && number < NSIG
            ? atomic_load_explicit(&watched_signals[number].process, memory_order_relaxed)
            : 0;
    if (process != 0 && process != getpid() &&
        atomic_load_explicit(&watched_signals[number].fatal, memory_order_relaxed)) {
        interruption_kill_by(number);
    }
}

void
interruption_signal_came(int number)
{
    if (!is_watched(number)) {
        end_child(number);
        return;
    }
    int64_t now = itr_now();
    int count = atomic_fetch_add_explicit(&came.count, 1, memory_order_relaxed) + 1;
    int unanswered = atomic_fetch_add_explicit(&came.unanswered, 1, memory_order_relaxed) + 1;
    if (unanswered == 1) {
        atomic_store_explicit(&came.since, now, memory_order_relaxed);
    }
    int64_t since = atomic_load_explicit(&came.since, memory_order_relaxed);
    int64_t grace = grace_of(number);
    if (grace != ITR_NEVER && since <= ITR_NEVER - grace) {
        ring_at(number, since + grace);
    }
    if (count >= GIVE_UP) {
        if (unanswered >= GIVE_UP && now - since >= ANSWERS_WITHIN) {
            interruption_end_process(number, 0, since);
        }
        ring_at(number, (unanswered >= GIVE_UP ? since : now) + ANSWERS_WITHIN);
    }
}

/* Seconds, or None: in nanoseconds, ITR_NEVER. -1 with an exception set. */
static int64_t
nanoseconds_of(PyObject *seconds)
{
    if (seconds == Py_None) {
        return ITR_NEVER;
    }
    double value = PyFloat_AsDouble(seconds);
    if (value == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    return value < 1e9 ? (int64_t)((value > 0 ? value : 0) * 1e9) : ITR_NEVER;
}

PyObject *
interruption_watch_signal(PyObject *Py_UNUSED(module), PyObject *args)
{
    int number;
    PyObject *seconds, *seconds_if_fatal;
    if (!PyArg_ParseTuple(args, "iOO:_watch_signal", &number, &seconds, &seconds_if_fatal)) {
        return NULL;
    }
    int64_t grace = nanoseconds_of(seconds);
    int64_t grace_if_fatal = grace < 0 ? -1 : nanoseconds_of(seconds_if_fatal);
    if (grace_if_fatal < 0) {
        return NULL;
    }
    if (number <= 0 || number >= NSIG) {
        PyErr_Format(PyExc_ValueError, "%d is no signal of this system", number);
        return NULL;
    }
    interruption_prepare_last_words();
    (void)have_timer(number); /* without, the third signal ends the process all the same */
    atomic_store_explicit(&watched_signals[number].due, ITR_NEVER, memory_order_relaxed);
    atomic_store_explicit(&watched_signals[number].grace[false], grace, memory_order_relaxed);
    atomic_store_explicit(&watched_signals[number].grace[true], grace_if_fatal,
                          memory_order_relaxed);
    atomic_store_explicit(&watched_signals[number].process, getpid(), memory_order_relaxed);
    Py_RETURN_NONE;
}

void
interruption_watchdog_is_fatal(int number, bool fatal)
{
    atomic_store_explicit(&watched_signals[number].fatal, fatal, memory_order_relaxed);
}

/* Answered. ------------------------------------------------------------------------------------ */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct {
    bool running;      /* there is a thread; it ends when nothing is due */
    itr_parker parker; /* the thread's; its own when it runs, and then unparked under the mutex */
    int64_t due;       /* ITR_NEVER: never */
    int64_t patience;  /* for so long nobody may be able to run; ITR_NEVER: that does not matter */
    int number;
    int status;
    int64_t since;
} guard = {.due = ITR_NEVER, .patience = ITR_NEVER};

/* Under the mutex. */
static bool
is_on_guard(void)
{
    return guard.due != ITR_NEVER || guard.patience != ITR_NEVER;
}

/* For how long nobody could run, as one sees it who looks now and then. While the process is
   stopped itself (SIGSTOP) nobody looks: that is no such time. */
typedef struct {
    int64_t looked; /* when */
    int64_t within; /* when to look again, from then on */
    int64_t still;
} standstill;

/* Returns when to look again. */
static int64_t
look_for_standstill(standstill *at)
{
    int64_t now = itr_now(), passed = now - at->looked;
    at->still += passed < 2 * at->within ? passed : 2 * at->within;
    at->looked = now;
    if (interruption_pulse_is_felt(&at->within)) {
        at->still = 0;
    }
    return now + at->within;
}

/* Runs no Python, and is never attached: it goes on when nothing else does. */
static void *
watch(void *unused)
{
    standstill at = {0, 0, 0};
    (void)pthread_mutex_lock(&mutex);
    while (is_on_guard()) {
        int64_t due = guard.due, patience = guard.patience;
        if (itr_now() >= due || at.still >= patience) {
            interruption_end_process(guard.number, guard.status, guard.since);
        }
        (void)pthread_mutex_unlock(&mutex);
        int64_t next = patience == ITR_NEVER ? ITR_NEVER : look_for_standstill(&at);
        (void)itr_park(&guard.parker, next < due ? next : due);
        (void)pthread_mutex_lock(&mutex);
    }
    itr_parker_destroy(&guard.parker);
    guard.running = false;
    (void)pthread_mutex_unlock(&mutex);
    return unused;
}

/* Under the mutex. False: the system has no thread left. */
static bool
start_guard(void)
{
    itr_parker_init(&guard.parker);
    guard.running = itr_start_background(watch, NULL, STACK_SIZE) == 0;
    return guard.running;
}

/* Under the mutex. False: nobody is there. */
static bool
wake_guard(void)
{
    if (guard.running) {
        itr_unpark(&guard.parker);
    }
    return guard.running || start_guard();
}

/* By the main thread, attached: let nobody hold up all others for so long from now on. */
static void
stay_on_guard(int number, int64_t patience)
{
    if (patience == ITR_NEVER || !interruption_pulse_begin()) {
        return;
    }
    (void)pthread_mutex_lock(&mutex);
    if (!is_on_guard()) {
        guard.number = number;
        guard.since = atomic_load_explicit(&came.since, memory_order_relaxed);
    }
    guard.patience = patience < guard.patience ? patience : guard.patience;
    if (!wake_guard()) {
        guard.patience = ITR_NEVER;
    }
    (void)pthread_mutex_unlock(&mutex);
}

/* What has come has been seen to. What would have ended the process is to end it still. */
static void
be_answered(bool to_end)
{
    atomic_store_explicit(&came.unanswered, 0, memory_order_relaxed);
    for (int number = 1; number < NSIG; number++) {
        if (is_watched(number) &&
            atomic_load_explicit(&watched_signals[number].due, memory_order_relaxed) != ITR_NEVER) {
            if (to_end) {
                interruption_watchdog_stays(number);
            }
            atomic_store_explicit(&watched_signals[number].due, ITR_NEVER, memory_order_relaxed);
            set_end_timer(number, ITR_NEVER);
        }
    }
}

void
interruption_watchdog_answered(void)
{
    be_answered(true);
}

void
interruption_watchdog_stays(int number)
{
    if (is_watched(number) &&
        atomic_load_explicit(&watched_signals[number].fatal, memory_order_relaxed)) {
        stay_on_guard(number, grace_of(number));
    }
}

/* Nothing is due any more. */
static void
forget_due(void)
{
    (void)pthread_mutex_lock(&mutex);
    guard.due = guard.patience = ITR_NEVER;
    if (guard.running) {
        itr_unpark(&guard.parker);
    }
    (void)pthread_mutex_unlock(&mutex);
    interruption_pulse_end();
    be_answered(false);
    atomic_store_explicit(&came.count, 0, memory_order_relaxed);
}

void
interruption_watchdog_python_has_gone(void)
{
    (void)pthread_mutex_lock(&mutex);
    guard.patience = ITR_NEVER;
    (void)pthread_mutex_unlock(&mutex);
}

PyObject *
interruption_end_within(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *seconds;
    int number = 0, status = 1;
    if (!PyArg_ParseTuple(args, "O|ii:_end_within", &seconds, &number, &status)) {
        return NULL;
    }
    int64_t within = nanoseconds_of(seconds);
    if (within < 0) {
        return NULL;
    }
    if (within == ITR_NEVER) {
        forget_due();
        Py_RETURN_NONE;
    }
    interruption_prepare_last_words();
    (void)pthread_mutex_lock(&mutex);
    guard.since = is_on_guard() ? guard.since : itr_now();
    guard.due = itr_deadline_after(within);
    guard.number = number;
    guard.status = status;
    bool there = wake_guard();
    if (!there) {
        guard.due = ITR_NEVER;
    }
    (void)pthread_mutex_unlock(&mutex);
    return PyBool_FromLong(there);
}

void
interruption_watchdog_before_fork(void)
{
    (void)pthread_mutex_lock(&mutex);
}

void
interruption_watchdog_after_fork_parent(void)
{
    (void)pthread_mutex_unlock(&mutex);
}

void
interruption_watchdog_after_fork_child(void)
{
    (void)pthread_mutex_unlock(&mutex);
    guard.running = false;
    guard.due = guard.patience = ITR_NEVER;
    atomic_store_explicit(&came.count, 0, memory_order_relaxed);
    atomic_store_explicit(&came.unanswered, 0, memory_order_relaxed);
}
