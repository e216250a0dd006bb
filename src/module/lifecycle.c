/*
 * See lifecycle.h. Two things happen in the child, and it matters which is when.
 *
 * In fork() itself, before anything else: the mutexes are free again, for whoever held them is not
 * there. CPython deletes the other threads' states before it runs any hook of ours, and with each
 * goes its anchor (current.c), which takes the list's mutex. Only what needs no Python is done
 * here.
 *
 * In the hook of Python's, when the interpreter is whole: what the others had is dropped.
 *
 * Of two kinds of mutexes only one is taken before the fork. Those of pthreads are held by threads
 * that nobody stops: they are waited for, so what they guard is whole in the child. The others
 * (interruption_mutex) are held by attached threads only. When the interpreter forks, no other
 * thread is attached, so none is held, with one exception: without a GIL, the list's may be held by
 * a thread that waits for the world to be stopped for it, to set events. It is stopped itself then,
 * and goes on only after the fork: to wait for it would be to wait for ever.
 */
#include "lifecycle.h"

#include <errno.h>
#include <pthread.h>

#include "blocking/child_watch.h"
#include "blocking/families.h"
#include "blocking/socket_call.h"
#include "blocking/tls_turns.h"
#include "blocking/tls_window.h"
#include "code.h"
#include "held.h"
#include "interpose.h"
#include "newborn.h"
#include "payload.h"
#include "second_look.h"
#include "signal_hook.h"
#include "thread.h"
#include "watchdog.h"

/* Around fork(). ------------------------------------------------------------------------------- */

/* None of these is taken while another one of them is held. They are given back in the opposite
   order all the same. */
static void
before_fork(void)
{
    interruption_second_look_before_fork();
    interruption_child_watch_before_fork();
    interruption_watchdog_before_fork();
}

static void
in_parent(void)
{
    interruption_watchdog_after_fork_parent();
    interruption_child_watch_after_fork_parent();
    interruption_second_look_after_fork_parent();
}

static void
in_child(void)
{
    interruption_watchdog_after_fork_child();
    interruption_child_watch_after_fork_child();
    interruption_second_look_after_fork_child();
    interruption_free_threads_mutex();
    interruption_free_code_mutex();
    interruption_free_interpose_mutex();
    interruption_free_families_mutex();
    interruption_free_newborn_mutex();
    interruption_free_signal_hook_mutex();
    interruption_free_tls_turns_mutex();
    interruption_free_tls_windows_mutex();
    interruption_held_after_fork_child();
}

/* The hook of Python's. ------------------------------------------------------------------------ */

static PyObject *
after_fork_in_child(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    interruption_socket_forget_turns();
    interruption_tls_forget_calls();
    interruption_tls_forget_windows();
    interruption_drop_other_threads();
    interruption_newborn_after_fork_child();
    interruption_payload_drop_orphans();
    Py_RETURN_NONE;
}

static PyMethodDef after_fork_method = {"_after_fork_in_child", after_fork_in_child, METH_NOARGS,
                                        NULL};

static int
register_hook(void)
{
    PyObject *os = PyImport_ImportModule("os");
    PyObject *hook = os == NULL ? NULL : PyCFunction_New(&after_fork_method, NULL);
    PyObject *name = hook == NULL ? NULL : PyUnicode_FromString("register_at_fork");
    PyObject *keywords = name == NULL ? NULL : Py_BuildValue("(s)", "after_in_child");
    PyObject *done = NULL;
    if (keywords != NULL) {
        PyObject *arguments[] = {os, hook};
        done = PyObject_VectorcallMethod(name, arguments, 1, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(name);
    Py_XDECREF(hook);
    Py_XDECREF(os);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int watch_error; /* written once, by watch_forks */

/* Once a process: nobody can take it back. */
static void
watch_forks(void)
{
    watch_error = pthread_atfork(before_fork, in_parent, in_child);
}

int
interruption_lifecycle_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    if (watch_error != 0) {
        errno = watch_error;
        (void)PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return register_hook();
}
