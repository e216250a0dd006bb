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
set_exception(const mod_call *call)
{
    const mod_state *state = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    PyObject *exception = mod_call_argument(call, 0, "exception");
    if (state == NULL || state->thread_exit == NULL || exception == NULL ||
        mod_call_count(call) != 1 || !PyObject_TypeCheck(exception, state->thread_exit)) {
        return mod_call_original(call);
    }
    PyObject *args = PyObject_GetAttrString(exception, "args");
    PyObject *instead = args == NULL ? NULL : PyObject_CallObject(cancelled, args);
    Py_XDECREF(args);
    if (instead == NULL) {
        return NULL;
    }
    PyObject *result = mod_call_again(call, &instead, 1);
    Py_DECREF(instead);
    return result;
}

MOD_REPLACEMENT(future_set_exception, always_looked_at, set_exception);

static const mod_row future_rows[] = {
    {"_asyncio", "Future", "set_exception", &future_set_exception, false},
    {NULL, NULL, NULL, NULL, false},
};

static mod_family futures_family = {.name = "futures of asyncio", .rows = future_rows};

PyObject *
mod_cancel_futures(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    if (cancelled == NULL) {
        PyObject *asyncio = PyImport_ImportModule("asyncio");
        cancelled = asyncio == NULL ? NULL : PyObject_GetAttrString(asyncio, "CancelledError");
        Py_XDECREF(asyncio);
    }
    if (cancelled == NULL || mod_family_enable(&futures_family) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
