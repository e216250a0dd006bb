/*
 * The kernel tells nobody when a lock may be had, so who may be interrupted tries
 * from time to time, with LOCK_NB. Such a lock is a mutex: it is not given up in cleanup by one
 * request (S10c).
 */
#include "blocking/interposed.h"

#include <sys/file.h>

#include "blocking/numbers.h"
#include "blocking/wait.h"

enum { MOST_ARGUMENTS = 5 };

/* One wait. */
typedef struct {
    const mod_call *call;
    PyObject *operation; /* that does not wait */
    PyObject *result;
} lock_wait;

/* See mod_try. */
static int
try_file_lock(void *arg)
{
    lock_wait *of = arg;
    PyObject *arguments[MOST_ARGUMENTS];
    Py_ssize_t count = mod_call_count(of->call);
    for (Py_ssize_t i = 0; i < count; i++) {
        arguments[i] = mod_call_argument(of->call, i, NULL);
    }
    arguments[1] = of->operation;
    of->result = mod_call_again(of->call, arguments, count);
    if (of->result != NULL) {
        return 1;
    }
    /* lockf says EACCES on some systems. */
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
        PyErr_ExceptionMatches(PyExc_PermissionError)) {
        PyErr_Clear();
        return 0;
    }
    return -1;
}

static PyObject *
wait_for_file_lock(lock_wait *of)
{
    mod_waiting waiting;
    mod_wait_view view;
    if (try_file_lock(of) != 0) {
        return of->result;
    }
    if (!mod_wait_look(&waiting, &view)) {
        return mod_call_original(of->call);
    }
    if (view.cleanup) {
        mod_wait_in_cleanup(&waiting);
    }
    (void)mod_wait_trying(&waiting, try_file_lock, of, ITR_NEVER);
    return of->result;
}

static PyObject *
lock_file(const mod_call *call)
{
    int operation;
    Py_ssize_t count = mod_call_count(call);
    if (count < 2 || count > MOST_ARGUMENTS ||
        !mod_int_of(mod_call_argument(call, 1, NULL), &operation) ||
        (operation != LOCK_SH && operation != LOCK_EX)) {
        return mod_call_original(call);
    }
    PyObject *without_waiting = PyLong_FromLong(operation | LOCK_NB);
    if (without_waiting == NULL) {
        return NULL;
    }
    lock_wait of = {.call = call, .operation = without_waiting};
    PyObject *result = wait_for_file_lock(&of);
    Py_DECREF(without_waiting);
    return result;
}

MOD_REPLACEMENT(fcntl_flock, mod_called_inside, lock_file);
MOD_REPLACEMENT(fcntl_lockf, mod_called_inside, lock_file);

static const mod_row file_lock_rows[] = {
    {"fcntl", NULL, "flock", &fcntl_flock, false},
    {"fcntl", NULL, "lockf", &fcntl_lockf, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_file_locks = {.name = "file locks", .rows = file_lock_rows};
