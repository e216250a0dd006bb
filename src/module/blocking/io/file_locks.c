/*
 * See file_locks.h. The kernel tells nobody when a lock may be had, so who may be interrupted tries
 * from time to time, with LOCK_NB. Such a lock is a mutex: it is not given up in cleanup by one
 * request (S10c).
 */
#include "blocking/io/file_locks.h"

#include <sys/file.h>

#include "blocking/numbers.h"
#include "blocking/wait.h"

enum { MOST_ARGUMENTS = 5 };

/* The call with that operation, which does not wait. NULL with nothing set: it would have to. */
static PyObject *
try_with(const interruption_call *call, PyObject *operation)
{
    PyObject *arguments[MOST_ARGUMENTS];
    Py_ssize_t count = interruption_call_count(call);
    for (Py_ssize_t i = 0; i < count; i++) {
        arguments[i] = interruption_call_argument(call, i, NULL);
    }
    arguments[1] = operation;
    PyObject *result = interruption_call_again(call, arguments, count);
    /* lockf says EACCES on some systems. */
    if (result == NULL && (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
                           PyErr_ExceptionMatches(PyExc_PermissionError))) {
        PyErr_Clear();
    }
    return result;
}

static PyObject *
wait_with_operation(const interruption_call *call, PyObject *operation)
{
    interruption_waiting waiting;
    interruption_wait_view view;
    PyObject *result = try_with(call, operation);
    if (result != NULL || PyErr_Occurred()) {
        return result;
    }
    if (!interruption_wait_look(&waiting, &view)) {
        return interruption_call_original(call);
    }
    if (view.cleanup) {
        waiting.needed = ITR_PENDING | ITR_REQUESTED_AGAIN;
    }
    waiting.quiet = true;
    int64_t slice = 0;
    while (result == NULL && !PyErr_Occurred() && interruption_wait_check(&waiting) == 0 &&
           interruption_wait_slice(&waiting, &slice, ITR_NEVER) >= 0) {
        result = try_with(call, operation);
    }
    interruption_wait_over(&waiting);
    return result;
}

static PyObject *
lock_file(const interruption_call *call)
{
    int operation;
    Py_ssize_t count = interruption_call_count(call);
    if (count < 2 || count > MOST_ARGUMENTS ||
        !interruption_int_of(interruption_call_argument(call, 1, NULL), &operation) ||
        (operation != LOCK_SH && operation != LOCK_EX)) {
        return interruption_call_original(call);
    }
    PyObject *without_waiting = PyLong_FromLong(operation | LOCK_NB);
    if (without_waiting == NULL) {
        return NULL;
    }
    PyObject *result = wait_with_operation(call, without_waiting);
    Py_DECREF(without_waiting);
    return result;
}

INTERRUPTION_REPLACEMENT(fcntl_flock, interruption_called_inside, lock_file);
INTERRUPTION_REPLACEMENT(fcntl_lockf, interruption_called_inside, lock_file);

static const interruption_row file_lock_rows[] = {
    {"fcntl", NULL, "flock", &fcntl_flock, false},
    {"fcntl", NULL, "lockf", &fcntl_lockf, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_file_locks = {.name = "file locks", .rows = file_lock_rows};
