/*
 * Waiting for children, and so for subprocess and multiprocessing (S10). Each call is the original
 * with WNOHANG, repeated when something may have changed: so it is the original that reaps, once,
 * and tells how, and that says that there is no such child. The end of one child makes its pidfd
 * readable. Nothing tells of any other change: any child, a group, one that is stopped; then, as
 * where there is no pidfd, the original is asked from time to time.
 *
 * A child that another thread reaps meanwhile is gone, as it is for the original.
 */
#include "blocking/interposed.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blocking/numbers.h"
#include "blocking/wait.h"

/* One wait. */
typedef struct {
    pid_t pid; /* the child, if it is for the end of this one alone; or 0 */
    const mod_call *call;
    const mod_method *method; /* what is called, */
    PyObject *arguments[2];   /* with the pid, and with WNOHANG */
    itr_own_fd own;           /* what turns readable when the child ends; none: nothing does */
    PyObject *answer;         /* the result, at the end */
} child_wait;

/* Looking. ------------------------------------------------------------------------------------ */

/* See mod_try. */
static int
look_for_child(child_wait *of)
{
    of->answer = mod_call_method(of->method, of->call->self, of->arguments, 2);
    if (of->answer == NULL) {
        return -1;
    }
    if (PyObject_Not(PyTuple_GET_ITEM(of->answer, 0)) == 1) {
        Py_CLEAR(of->answer); /* no child: nothing has changed */
    }
    return of->answer != NULL;
}

/* Waiting. ------------------------------------------------------------------------------------ */

/* See mod_try. The pidfd is opened before a look, so that nothing is missed. One that has
   told is good for no more, nor one that the program has closed. */
static int
look_again(void *arg)
{
    child_wait *of = arg;
    itr_own_fd_close(&of->own);
#ifdef SYS_pidfd_open
    if (of->pid > 0) {
        (void)itr_own_fd_take(&of->own, (int)syscall(SYS_pidfd_open, of->pid, 0));
    }
#endif
    return look_for_child(of);
}

static PyObject *
wait_for_child(child_wait *of)
{
    if (look_for_child(of) != 0) {
        return of->answer;
    }
    mod_waiting waiting;
    if (!mod_wait_begin(&waiting)) {
        return mod_call_original(of->call);
    }
    of->own = ITR_NO_FD;
    waiting.own = &of->own;
    (void)mod_wait_trying(&waiting, look_again, of, ITR_NEVER);
    itr_own_fd_close(&of->own);
    return of->answer;
}

static PyObject *
wait_with_options(child_wait *of, int options)
{
    of->arguments[1] = PyLong_FromLong(options | WNOHANG);
    if (of->arguments[1] == NULL) {
        return NULL;
    }
    PyObject *answer = wait_for_child(of);
    Py_DECREF(of->arguments[1]);
    return answer;
}

/* The calls. ---------------------------------------------------------------------------------- */

static PyObject *
wait_for_pid(const mod_call *call)
{
    int pid, options = 0;
    bool plain = mod_int_of(mod_call_argument(call, 1, "options"), &options);
    /* One that only looks is no place to be stopped at (S10b). */
    if (!(options & WNOHANG) && mod_wait_entry() < 0) {
        return NULL;
    }
    child_wait of = {.call = call, .method = call->method};
    of.arguments[0] = mod_call_argument(call, 0, "pid");
    if (!plain || mod_call_count(call) != 2 || !mod_int_of(of.arguments[0], &pid) ||
        (options & WNOHANG)) {
        return mod_call_original(call);
    }
    of.pid = pid > 0 && options == 0 ? pid : 0;
    return wait_with_options(&of, options);
}

static PyObject *wait_plainly(const mod_call *call);

MOD_REPLACEMENT(os_waitpid, mod_called_inside, wait_for_pid);
MOD_REPLACEMENT(os_wait, mod_called_inside, wait_plainly);
MOD_REPLACEMENT(os_wait4, mod_called_inside, wait_for_pid);

/* It takes no options, so it is waitpid(-1). */
static PyObject *
wait_plainly(const mod_call *call)
{
    if (mod_wait_entry() < 0) {
        return NULL;
    }
    child_wait of = {.call = call, .method = &os_waitpid};
    of.arguments[0] = PyLong_FromLong(-1);
    if (of.arguments[0] == NULL) {
        return NULL;
    }
    PyObject *answer = wait_with_options(&of, 0);
    Py_DECREF(of.arguments[0]);
    return answer;
}

static const mod_row child_rows[] = {
    {"posix", NULL, "waitpid", &os_waitpid, false},
    {"posix", NULL, "wait", &os_wait, false},
    {"posix", NULL, "wait4", &os_wait4, true},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_child_waits = {.name = "children", .rows = child_rows};
