/*
 * time.sleep. Inside a region a thread sleeps at its parker. What is not a length of time that
 * the original would sleep for is the original's: it words the errors.
 */
#include "blocking/interposed.h"
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
    bool waits = mod_deadline_of(number, MOD_NOTHING_IS_EVER, deadline);
    Py_DECREF(number);
    return waits;
}

static PyObject *
sleep_until(const mod_waiting *waiting, PyObject *seconds, itr_deadline deadline)
{
    if (mod_audit_sleep(seconds) < 0 || mod_wait_until(waiting, deadline) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *sleep_in_region(const mod_call *call);

MOD_REPLACEMENT(sleep_method, mod_called_inside, sleep_in_region);

static PyObject *
sleep_in_region(const mod_call *call)
{
    if (mod_wait_entry() < 0) {
        return NULL;
    }
    PyObject *seconds = mod_call_argument(call, 0, NULL);
    itr_deadline deadline;
    mod_waiting waiting;
    int waits = mod_call_count(call) == 1 ? ends_at(seconds, &deadline) : 0;
    if (waits > 0 && mod_wait_begin(&waiting)) {
        return sleep_until(&waiting, seconds, deadline);
    }
    return waits < 0 ? NULL : mod_call_original(call);
}

static const mod_row sleep_rows[] = {
    {"time", NULL, "sleep", &sleep_method, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_sleeps = {.name = "sleep", .rows = sleep_rows};
