/* See requests.h. Everything is checked before anything is asked, so an error changes nothing. */
#include "requests.h"

#include "arguments.h"
#include "compat.h"
#include "delivery.h"
#include "payload.h"
#include "second_look.h"
#include "thread_exit.h"

int
interruption_check_request(interruption_state *state, PyObject **exc_type, PyObject **reason)
{
    if (*reason == Py_None) {
        *reason = NULL;
    }
    if (*reason != NULL && !PyUnicode_Check(*reason)) {
        PyErr_Format(PyExc_TypeError, "reason must be a str or None, not %.200s",
                     Py_TYPE(*reason)->tp_name);
        return -1;
    }
    if (*exc_type == (PyObject *)state->thread_exit) {
        *exc_type = NULL;
    }
    return *exc_type == NULL ? 0 : interruption_check_exc_type(state, *exc_type, *reason);
}

/* The thread was asked inside a region: it is to be stopped where it is. Also when a request waited
   already, for the caller may insist because nothing happens. Takes the reference. */
static void
stop_open(interruption_state *state, itr_record *open)
{
    if (open != NULL) {
        interruption_stop_where_it_is(state, open);
        itr_release(open);
    }
}

int
interruption_ask(interruption_state *state, interruption_target *target, PyObject *exc_type,
                 PyObject *reason)
{
    itr_payload *payload;
    if (interruption_payload_new(exc_type, reason, &payload) < 0) {
        interruption_release_target(target);
        return -1;
    }
    itr_record *open;
    itr_answer answer = interruption_ask_target(target, payload, &open);
    interruption_release_target(target);
    stop_open(state, open);
    if (answer != ITR_NEW) {
        interruption_payload_drop(payload);
    }
    interruption_payload_drop_orphans();
    if (answer == ITR_NO_MEMORY) {
        PyErr_NoMemory();
        return -1;
    }
    return answer == ITR_NEW;
}

PyObject *
interruption_interrupt(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"thread", "exc_type", "reason", NULL};
    static const interruption_signature signature = {"interrupt", names, .required = 1,
                                                     .positional = 2};
    interruption_state *state = interruption_get_state(module);
    PyObject *places[3];
    if (interruption_sort_arguments(&signature, args, nargs, kwnames, places) < 0) {
        return NULL;
    }
    PyObject *thread = places[0], *exc_type = places[1], *reason = places[2];
    if (interruption_check_request(state, &exc_type, &reason) < 0) {
        return NULL;
    }
    interruption_target target;
    switch (interruption_find_target(state, thread, &target)) {
    case INTERRUPTION_TARGET_ERROR:
        return NULL;
    case INTERRUPTION_TARGET_FINISHED:
        Py_RETURN_FALSE;
    case INTERRUPTION_TARGET_LIVE:
        break;
    }
    int asked = interruption_ask(state, &target, exc_type, reason);
    return asked < 0 ? NULL : PyBool_FromLong(asked);
}

/* Ask every thread of the list but the caller. How many were asked, or -1 with MemoryError set. */
static Py_ssize_t
ask_others(interruption_state *state, const itr_thread *threads, size_t count, PyObject *reason)
{
    uint64_t self = interruption_self().serial;
    uintptr_t looker = interruption_looker();
    Py_ssize_t asked = 0;
    for (size_t i = 0; i < count; i++) {
        if (threads[i].serial == self || (looker != 0 && threads[i].thread_id == looker)) {
            continue;
        }
        itr_payload *payload;
        if (interruption_payload_new(NULL, reason, &payload) < 0) {
            return -1;
        }
        itr_record *open;
        itr_answer answer = itr_ask(threads[i], payload, &open);
        stop_open(state, open);
        if (answer != ITR_NEW) {
            interruption_payload_drop(payload);
        }
        if (answer == ITR_NO_MEMORY) {
            PyErr_NoMemory();
            return -1;
        }
        asked += answer != ITR_FINISHED;
    }
    return asked;
}

PyObject *
interruption_interrupt_all_threads(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames)
{
    static const char *const names[] = {"reason", NULL};
    static const interruption_signature signature = {"interrupt_all_threads", names,
                                                     .positional = 1};
    interruption_state *state = interruption_get_state(module);
    PyObject *reason, *exc_type = NULL;
    if (interruption_sort_arguments(&signature, args, nargs, kwnames, &reason) < 0 ||
        interruption_check_request(state, &exc_type, &reason) < 0) {
        return NULL;
    }
    uint64_t epoch = itr_sweep_begin();
    itr_thread *threads;
    size_t count;
    if (interruption_list_threads(&threads, &count) < 0) {
        return NULL;
    }
    Py_ssize_t asked = ask_others(state, threads, count, reason);
    itr_sweep(epoch, threads, count);
    PyMem_RawFree(threads);
    interruption_payload_drop_orphans();
    return asked < 0 ? NULL : PyLong_FromSsize_t(asked);
}

PyObject *
interruption_requested_of(PyObject *module, PyObject *thread)
{
    interruption_target target;
    switch (interruption_find_target(interruption_get_state(module), thread, &target)) {
    case INTERRUPTION_TARGET_ERROR:
        return NULL;
    case INTERRUPTION_TARGET_FINISHED:
        Py_RETURN_FALSE;
    case INTERRUPTION_TARGET_LIVE:
        break;
    }
    bool requested =
        target.record != NULL ? itr_requested(target.record) : itr_asked(target.thread);
    interruption_release_target(&target);
    return PyBool_FromLong(requested);
}
