/* See process_end.h. `ending` is written by attached threads, and read when only one is left. */
#include "shutdown/process_end.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cpython/compat.h"
#include "shutdown/last_words.h"
#include "shutdown/signal_handler.h"
#include "shutdown/watchdog.h"

static struct {
    bool registered;    /* written by the main thread only */
    _Atomic int signal; /* 0: the process ends as the program says. atomic: relaxed, it is a number
                           and nothing else */
    _Atomic pid_t process; /* whose end it is: a child of a fork ends in its own way */
} ending;

/* Runs after the interpreter has gone; without it, if the memory ran out before. */
static void
end(void)
{
    mod_watchdog_python_has_gone();
    int number = atomic_load_explicit(&ending.signal, memory_order_relaxed);
    if (number == 0 || atomic_load_explicit(&ending.process, memory_order_relaxed) != getpid()) {
        return;
    }
    (void)fflush(NULL);
    mod_kill_by(number);
}

/* False: CPython has no room for one more that hears of it. */
static bool
hear_of_end(void)
{
    ending.registered = ending.registered || Py_AtExit(end) == 0;
    return ending.registered;
}

PyObject *
mod_end_by_signal(PyObject *Py_UNUSED(module), PyObject *number)
{
    long wanted = PyLong_AsLong(number);
    if (wanted == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (wanted != 0 && !hear_of_end()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the process cannot be ended by a signal: too many libraries have "
                        "functions to be called at its end");
        return NULL;
    }
    atomic_store_explicit(&ending.process, getpid(), memory_order_relaxed);
    atomic_store_explicit(&ending.signal, (int)wanted, memory_order_relaxed);
    if (wanted > 0 && wanted < NSIG) {
        mod_ends_by_signal((int)wanted);
    }
    Py_RETURN_NONE;
}

PyObject *
mod_signal_is_answered(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    (void)hear_of_end();
    mod_signals_answered();
    Py_RETURN_NONE;
}

PyObject *
mod_end_within(PyObject *Py_UNUSED(module), PyObject *args)
{
    double seconds;
    int number = 0, status = 1;
    if (!PyArg_ParseTuple(args, "d|ii:_end_within", &seconds, &number, &status)) {
        return NULL;
    }
    int64_t within = mod_nanoseconds(seconds);
    if (within == ITR_NEVER) {
        mod_watchdog_forget();
        mod_signals_forgotten();
        Py_RETURN_NONE;
    }
    mod_prepare_last_words();
    return PyBool_FromLong(mod_watchdog_ends(within, number, status));
}

/* Owns a reference to the callable. Without memory for a thread state it is called late. */
static void
run_in_thread(void *callable)
{
    while (!mod_attach_thread()) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    PyObject *result = PyObject_CallNoArgs(callable);
    if (result == NULL) {
        PyErr_WriteUnraisable(callable);
    }
    Py_XDECREF(result);
    Py_DECREF((PyObject *)callable);
    mod_detach_thread();
}

PyObject *
mod_start_thread(PyObject *Py_UNUSED(module), PyObject *callable)
{
    if (PyThread_start_new_thread(run_in_thread, Py_NewRef(callable)) ==
        PYTHREAD_INVALID_THREAD_ID) {
        Py_DECREF(callable);
        PyErr_SetString(PyExc_RuntimeError, "the system can start no thread");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
mod_make_daemon(PyObject *Py_UNUSED(module), PyObject *ident)
{
    uintptr_t thread_id = (uintptr_t)PyLong_AsUnsignedLong(ident);
    if (PyErr_Occurred()) {
        return NULL;
    }
    mod_count_as_daemon(thread_id);
    Py_RETURN_NONE;
}
