/*
 * See children.h. Each call is the original with WNOHANG, repeated when something may have changed:
 * so it is the original that reaps, once, and tells how, and that says that there is no such child.
 * The end of one child makes its pidfd readable; any other change is told by child_watch.h. Where
 * neither can be had, the original is asked from time to time.
 *
 * A child that another thread reaps meanwhile is gone, as it is for the original.
 */
#include "blocking/process/children.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blocking/process/child_watch.h"
#include "blocking/numbers.h"
#include "blocking/wait.h"

enum { MOST_ARGUMENTS = 3 };

/* One wait. */
typedef struct {
    interruption_children children;
    const interruption_call *call;
    const interruption_method *method; /* what is called, with WNOHANG: */
    PyObject *arguments[MOST_ARGUMENTS];
    Py_ssize_t count;
} child_wait;

/* Looking. ------------------------------------------------------------------------------------ */

/* Does the answer say that nothing has changed? */
static bool
is_nothing(PyObject *answer)
{
    if (!PyTuple_Check(answer)) {
        return answer == Py_None; /* of waitid */
    }
    PyObject *pid = PyTuple_GET_ITEM(answer, 0);
    return Py_TYPE(answer) == &PyTuple_Type && PyLong_Check(pid) && !PyObject_IsTrue(pid);
}

/* The result; NULL with an exception set; or NULL with nothing set: not yet. */
static PyObject *
look_for_child(const child_wait *of)
{
    PyObject *answer =
        interruption_call_method(of->method, of->call->self, of->arguments, of->count);
    if (answer != NULL && is_nothing(answer)) {
        Py_CLEAR(answer);
    }
    return answer;
}

static bool
is_child_there(PyObject *answer)
{
    return answer != NULL || PyErr_Occurred() != NULL;
}

/* Waiting. ------------------------------------------------------------------------------------ */

/* Something that turns readable when something changes. */
typedef struct {
    itr_own_fd pidfd; /* ours, or none */
    interruption_child_watch *watch;
    int theirs; /* the program's pidfd; -1: it has given none */
} source;

static void
open_pidfd(pid_t pid, itr_own_fd *pidfd)
{
#ifdef SYS_pidfd_open
    (void)itr_own_fd_take(pidfd, (int)syscall(SYS_pidfd_open, pid, 0));
#else
    (void)pid;
    *pidfd = ITR_NO_FD;
#endif
}

/* Only how a child ends is told by a pidfd. */
static source
open_source(const interruption_children *children)
{
    source opened = {.pidfd = ITR_NO_FD, .theirs = -1};
    bool plain = children->options == WEXITED;
    if (plain && children->type == P_PID) {
        open_pidfd((pid_t)children->id, &opened.pidfd);
    }
#ifdef P_PIDFD
    else if (plain && children->type == P_PIDFD) {
        opened.theirs = (int)children->id;
    }
#endif
    if (opened.pidfd.fd < 0 && opened.theirs < 0) {
        opened.watch = interruption_child_watch_begin(children);
    }
    return opened;
}

static void
close_source(source *opened)
{
    itr_own_fd_close(&opened->pidfd);
    if (opened->watch != NULL) {
        interruption_child_watch_end(opened->watch);
    }
}

/* Until something may have changed, or the wait's end is asked for. 1, or -1 with an exception set.
 */
static int
wait_once(interruption_waiting *waiting, const source *opened, int64_t *slice)
{
    int fd = opened->theirs;
    waiting->own = opened->watch != NULL   ? interruption_child_watch_fd(opened->watch)
                   : opened->pidfd.fd >= 0 ? &opened->pidfd
                                           : NULL;
    if (waiting->own != NULL) {
        fd = waiting->own->fd;
    }
    int ready = fd < 0 ? interruption_wait_slice(waiting, slice, ITR_NEVER)
                       : interruption_wait_for_fd(waiting, fd, POLLIN, ITR_NEVER);
    waiting->own = NULL;
    return ready;
}

/* The source is opened before a look, so that nothing is missed. One that has told is good for no
   more, nor one that the program has closed. */
static PyObject *
wait_until_there(interruption_waiting *waiting, const child_wait *of)
{
    int64_t slice = 0;
    for (;;) {
        source opened = open_source(&of->children);
        PyObject *answer = look_for_child(of);
        int ready = is_child_there(answer) ? 1 : interruption_wait_check(waiting);
        if (!is_child_there(answer) && ready == 0) {
            ready = wait_once(waiting, &opened, &slice);
        }
        close_source(&opened);
        if (is_child_there(answer) || ready < 0) {
            return answer;
        }
    }
}

static PyObject *
wait_for_child(const child_wait *of)
{
    PyObject *answer = look_for_child(of);
    if (is_child_there(answer)) {
        return answer;
    }
    interruption_waiting waiting;
    if (!interruption_wait_begin(&waiting)) {
        return interruption_call_original(of->call);
    }
    waiting.quiet = true;
    answer = wait_until_there(&waiting, of);
    interruption_wait_over(&waiting);
    return answer;
}

/* With `options` in the place that is theirs. */
static PyObject *
wait_with_options(child_wait *of, int place, int options)
{
    of->arguments[place] = PyLong_FromLong(options | WNOHANG);
    if (of->arguments[place] == NULL) {
        return NULL;
    }
    PyObject *answer = wait_for_child(of);
    Py_DECREF(of->arguments[place]);
    return answer;
}

/* The calls. ---------------------------------------------------------------------------------- */

/* What waitpid(pid, options) waits for; false: leave it to the original. */
static bool
children_of(int pid, int options, interruption_children *children)
{
    if ((options & ~(WUNTRACED | WCONTINUED)) != 0) {
        return false;
    }
    children->options = WEXITED | ((options & WUNTRACED) ? WSTOPPED : 0) | (options & WCONTINUED);
    children->type = pid > 0 ? P_PID : pid == -1 ? P_ALL : P_PGID;
    children->id = (id_t)(pid > 0 ? pid : pid == 0 ? getpgrp() : pid == -1 ? 0 : -(int64_t)pid);
    return true;
}

/* Does the call only look, by its options? Then it is no place to be stopped at (S10b). */
static int
enter_child_wait(PyObject *options)
{
    int bits;
    bool looks = interruption_int_of(options, &bits) && (bits & WNOHANG);
    return looks ? 0 : interruption_wait_entry();
}

static PyObject *
wait_for_pid(const interruption_call *call)
{
    int pid, options;
    if (enter_child_wait(interruption_call_argument(call, 1, "options")) < 0) {
        return NULL;
    }
    child_wait of = {.call = call, .method = call->method, .count = 2};
    of.arguments[0] = interruption_call_argument(call, 0, "pid");
    if (interruption_call_count(call) != 2 || !interruption_int_of(of.arguments[0], &pid) ||
        !interruption_int_of(interruption_call_argument(call, 1, "options"), &options) ||
        !children_of(pid, options, &of.children)) {
        return interruption_call_original(call);
    }
    return wait_with_options(&of, 1, options);
}

static PyObject *
wait_for_any(const interruption_call *call)
{
    int options;
    if (enter_child_wait(interruption_call_argument(call, 0, "options")) < 0) {
        return NULL;
    }
    child_wait of = {.call = call, .method = call->method, .count = 1};
    if (interruption_call_count(call) != 1 ||
        !interruption_int_of(interruption_call_argument(call, 0, "options"), &options) ||
        !children_of(-1, options, &of.children)) {
        return interruption_call_original(call);
    }
    return wait_with_options(&of, 0, options);
}

static PyObject *wait_plainly(const interruption_call *call);

INTERRUPTION_REPLACEMENT(os_waitpid, interruption_called_inside, wait_for_pid);
INTERRUPTION_REPLACEMENT(os_wait, interruption_called_inside, wait_plainly);
INTERRUPTION_REPLACEMENT(os_wait3, interruption_called_inside, wait_for_any);
INTERRUPTION_REPLACEMENT(os_wait4, interruption_called_inside, wait_for_pid);

/* It takes no options, so it is waitpid(-1). */
static PyObject *
wait_plainly(const interruption_call *call)
{
    if (interruption_wait_entry() < 0) {
        return NULL;
    }
    child_wait of = {.call = call, .method = &os_waitpid, .count = 2};
    (void)children_of(-1, 0, &of.children);
    of.arguments[0] = PyLong_FromLong(-1);
    if (of.arguments[0] == NULL) {
        return NULL;
    }
    PyObject *answer = wait_with_options(&of, 1, 0);
    Py_DECREF(of.arguments[0]);
    return answer;
}

#ifdef WNOWAIT

static PyObject *
wait_for_id(const interruption_call *call)
{
    int type, id, options;
    if (enter_child_wait(interruption_call_argument(call, 2, NULL)) < 0) {
        return NULL;
    }
    child_wait of = {.call = call, .method = call->method, .count = 3};
    of.arguments[0] = interruption_call_argument(call, 0, NULL);
    of.arguments[1] = interruption_call_argument(call, 1, NULL);
    if (interruption_call_count(call) != 3 || !interruption_int_of(of.arguments[0], &type) ||
        !interruption_int_of(of.arguments[1], &id) || id < 0 ||
        !interruption_int_of(interruption_call_argument(call, 2, NULL), &options) ||
        (options & ~(WEXITED | WSTOPPED | WCONTINUED | WNOWAIT)) != 0) {
        return interruption_call_original(call);
    }
    of.children = (interruption_children){
        .type = (idtype_t)type, .id = (id_t)id, .options = options & ~WNOWAIT};
    return wait_with_options(&of, 2, options);
}

INTERRUPTION_REPLACEMENT(os_waitid, interruption_called_inside, wait_for_id);

#endif

static const interruption_row child_rows[] = {
    {"posix", NULL, "waitpid", &os_waitpid, false},
    {"posix", NULL, "wait", &os_wait, false},
    {"posix", NULL, "wait3", &os_wait3, true},
    {"posix", NULL, "wait4", &os_wait4, true},
#ifdef WNOWAIT
    {"posix", NULL, "waitid", &os_waitid, true},
#endif
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_child_waits = {.name = "children", .rows = child_rows};
