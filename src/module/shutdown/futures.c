/* See futures.h. `cancelled` is written before the method is exchanged, and never again. */
#include "shutdown/futures.h"

#include <stdbool.h>

#include "interpose/interpose.h"

static PyObject *cancelled; /* asyncio.CancelledError; strong, for good */

static bool
always_looked_at(PyObject *Py_UNUSED(self))
{
    return true;
}

static PyObject *
set_exception(const interruption_call *call)
{
    const interruption_state *state =
        atomic_load_explicit(&interruption_state_now, memory_order_acquire);
    PyObject *exception = interruption_call_argument(call, 0, "exception");
    if (state == NULL || state->thread_exit == NULL || exception == NULL ||
        interruption_call_count(call) != 1 || !PyObject_TypeCheck(exception, state->thread_exit)) {
        return interruption_call_original(call);
    }
    PyObject *args = PyObject_GetAttrString(exception, "args");
    PyObject *instead = args == NULL ? NULL : PyObject_CallObject(cancelled, args);
    Py_XDECREF(args);
    if (instead == NULL) {
        return NULL;
    }
    PyObject *result = interruption_call_again(call, &instead, 1);
    Py_DECREF(instead);
    return result;
}

INTERRUPTION_REPLACEMENT(future_set_exception, always_looked_at, set_exception);

static const interruption_row future_rows[] = {
    {"_asyncio", "Future", "set_exception", &future_set_exception, false},
    {NULL, NULL, NULL, NULL, false},
};

static interruption_family futures_family = {.name = "futures of asyncio", .rows = future_rows};

PyObject *
interruption_cancel_futures(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    if (cancelled == NULL) {
        PyObject *asyncio = PyImport_ImportModule("asyncio");
        cancelled = asyncio == NULL ? NULL : PyObject_GetAttrString(asyncio, "CancelledError");
        Py_XDECREF(asyncio);
    }
    if (cancelled == NULL || interruption_family_enable(&futures_family) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
