/* See newborn.h. `now` is guarded by the mutex, but for what is said at its members. */
#include "newborn.h"

#include "compat.h"
#include "payload.h"

static interruption_mutex mutex = INTERRUPTION_MUTEX_INIT;

static struct {
    _Atomic uint64_t youngest; /* UINT64_MAX: nobody is born asked. Written under the mutex; atomic:
                                  relaxed, for whom it lets in looks again under the mutex */
    size_t shutdowns;
    PyObject *reason; /* strong, or NULL */
} now = {.youngest = UINT64_MAX};

void
interruption_begin_asking_newborn(uint64_t youngest, PyObject *reason)
{
    interruption_mutex_lock(&mutex);
    if (now.shutdowns++ == 0) {
        now.reason = Py_XNewRef(reason);
        atomic_store_explicit(&now.youngest, youngest, memory_order_relaxed);
    }
    interruption_mutex_unlock(&mutex);
}

void
interruption_end_asking_newborn(void)
{
    PyObject *reason = NULL;
    interruption_mutex_lock(&mutex);
    if (now.shutdowns > 0 && --now.shutdowns == 0) {
        atomic_store_explicit(&now.youngest, UINT64_MAX, memory_order_relaxed);
        reason = now.reason;
        now.reason = NULL;
    }
    interruption_mutex_unlock(&mutex);
    Py_XDECREF(reason);
}

/* Is the thread to be born asked? With the reason, a new reference or NULL. */
static bool
is_newborn(const itr_record *record, PyObject **reason)
{
    if (record->serial <= atomic_load_explicit(&now.youngest, memory_order_relaxed)) {
        return false;
    }
    interruption_mutex_lock(&mutex);
    bool newborn = record->serial > atomic_load_explicit(&now.youngest, memory_order_relaxed);
    *reason = newborn ? Py_XNewRef(now.reason) : NULL;
    interruption_mutex_unlock(&mutex);
    return newborn;
}

void
interruption_ask_newborn(itr_record *record)
{
    PyObject *reason;
    if (!is_newborn(record, &reason)) {
        return;
    }
    itr_payload *payload;
    if (interruption_payload_new(NULL, reason, &payload) < 0) {
        PyErr_Clear(); /* asked without the reason is better than not asked */
    }
    Py_XDECREF(reason);
    if (itr_request(record, payload) != ITR_NEW) {
        interruption_payload_drop(payload); /* somebody has asked it before it looked */
    }
}

void
interruption_newborn_after_fork_child(void)
{
    interruption_mutex_reset(&mutex);
    now.shutdowns = 0;
    atomic_store_explicit(&now.youngest, UINT64_MAX, memory_order_relaxed);
    Py_CLEAR(now.reason);
}
