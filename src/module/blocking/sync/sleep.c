/*
 * See sleep.h. Inside a region a thread sleeps at its parker. What is not a length of time that
 * the original would sleep for is the original's: it words the errors.
 */
#include "blocking/sync/sleep.h"

#include "cpython/compat.h"
#include "blocking/wait.h"

/* The end of a sleep of so many seconds. 1; 0: there is nothing to wait for, or the original
   refuses; -1: with the exception set that the object's `__index__` has raised. */
static int
ends_at(PyObject *seconds, itr_deadline *deadline)
{
    bool other = !PyFloat_Check(seconds) && !PyLong_Check(seconds);
    if (other && !PyIndex_Check(seconds)) {
        return 0;
    }
    PyObject *number = other ? PyNumber_Index(seconds) : Py_NewRef(seconds);
    if (number == NULL) {
        return -1;
    }
    bool waits = interruption_deadline_of(number, INTERRUPTION_NOTHING_IS_EVER, deadline);
    Py_DECREF(number);
    return waits;
}

static PyObject *
sleep_until(const interruption_waiting *waiting, PyObject *seconds, itr_deadline deadline)
{
    if (interruption_audit_sleep(seconds) < 0 || interruption_wait_until(waiting, deadline) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *sleep_in_region(const interruption_call *call);

INTERRUPTION_REPLACEMENT(sleep_method, interruption_called_inside, sleep_in_region);

static PyObject *
sleep_in_region(const interruption_call *call)
{
    if (interruption_wait_entry() < 0) {
        return NULL;
    }
    PyObject *seconds = interruption_call_argument(call, 0, NULL);
    itr_deadline deadline;
    interruption_waiting waiting;
    int waits = interruption_call_count(call) == 1 ? ends_at(seconds, &deadline) : 0;
    if (waits > 0 && interruption_wait_begin(&waiting)) {
        return sleep_until(&waiting, seconds, deadline);
    }
    return waits < 0 ? NULL : interruption_call_original(call);
}

static const interruption_row sleep_rows[] = {
    {"time", NULL, "sleep", &sleep_method, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_sleeps = {.name = "sleep", .rows = sleep_rows};
