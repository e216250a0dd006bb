/* See requests.h. Everything is checked before anything is asked, so an error changes nothing. */
#include "api/requests.h"

#include <sched.h>

#include "delivery/arming.h"
#include "api/on_interrupt.h"
#include "cpython/compat.h"
#include "shutdown/late_threads.h"
#include "thread/payload.h"
#include "shutdown/watchdog.h"
#include "delivery/rearm.h"
#include "delivery/thread_exit.h"

int
mod_check_request(mod_state *state, PyObject **exc_type, PyObject **reason)
{
    if (*reason == Py_None) {
        *reason = NULL;
    }
    if (*reason != NULL && mod_check_reason(*reason) < 0) {
        return -1;
    }
    if (*exc_type == (PyObject *)state->thread_exit) {
        *exc_type = NULL;
    }
    return *exc_type == NULL ? 0 : mod_check_exc_type(*exc_type, *reason);
}

PyObject *
mod_check_request_method(PyObject *module, PyObject *args)
{
    PyObject *exc_type, *reason;
    if (!PyArg_ParseTuple(args, "OO:_check_request", &exc_type, &reason)) {
        return NULL;
    }
    if (exc_type == Py_None) {
        exc_type = NULL;
    }
    if (mod_check_request(mod_get_state(module), &exc_type, &reason) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The thread was asked inside a region: it is to be stopped where it is. Also when a request waited
   already, for the caller may ask again because nothing happens. Takes the reference. Returns what
   is to be run when nothing else is left to do: in there the process may fork. */
static mod_callback *
stop_where_it_is(mod_state *state, itr_record *record)
{
    if (record == NULL) {
        return NULL;
    }
    if (itr_runs_cancelable(record)) {
        mod_stop_where_it_is(state, record);
    }
    mod_callback *claimed = itr_flags(record) & ITR_CALLS ? mod_claim_callbacks(record) : NULL;
    itr_release(record);
    return claimed;
}

int
mod_finish_request(mod_state *state, itr_record *record)
{
    return mod_run_callbacks(stop_where_it_is(state, record));
}

/* Takes the payload, and releases the target; as mod_ask. */
static int
ask_with(mod_state *state, mod_target *target, itr_payload *payload)
{
    itr_record *more;
    itr_answer answer = mod_ask_target(target, payload, &more);
    mod_release_target(target);
    mod_callback *claimed = stop_where_it_is(state, more);
    if (answer != ITR_NEW) {
        mod_payload_drop(payload);
    }
    int status = mod_run_callbacks(claimed);
    mod_payload_drop_orphans();
    if (answer == ITR_NO_MEMORY) {
        PyErr_NoMemory();
        return -1;
    }
    return status < 0 ? -1 : answer == ITR_NEW;
}

int
mod_ask(mod_state *state, mod_target *target, PyObject *exc_type, PyObject *reason)
{
    itr_payload *payload;
    if (mod_payload_from(0, exc_type, reason, &payload) < 0) {
        mod_release_target(target);
        return -1;
    }
    return ask_with(state, target, payload);
}

int
mod_ask_scope(mod_state *state, uintptr_t thread_id, uint64_t scope, PyObject *exc_type,
              PyObject *reason, bool once)
{
    itr_payload *payload;
    if (mod_payload_from(0, exc_type, reason, &payload) < 0) {
        return -1;
    }
    itr_record *record = itr_find(thread_id);
    if (record == NULL) {
        mod_payload_drop(payload);
        return 0;
    }
    itr_answer answer = itr_request_level(record, scope, payload, once);
    if (answer != ITR_NEW) {
        mod_payload_drop(payload);
    }
    if (answer != ITR_FINISHED && itr_needs_more(record)) {
        return mod_finish_request(state, record) < 0 ? -1 : 1;
    }
    itr_release(record);
    return answer != ITR_FINISHED;
}

PyObject *
mod_interrupt(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"thread", "exc_type", "reason", NULL};
    mod_state *state = mod_get_state(module);
    PyObject *thread, *exc_type = NULL, *reason = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O$O:interrupt", names, &thread, &exc_type,
                                     &reason) ||
        mod_check_request(state, &exc_type, &reason) < 0) {
        return NULL;
    }
    mod_target target;
    PyObject *otherwise;
    if (!mod_find_live(state, thread, &target, Py_False, &otherwise)) {
        return otherwise;
    }
    int asked = mod_ask(state, &target, exc_type, reason);
    return asked < 0 ? NULL : PyBool_FromLong(asked);
}

/* What all are asked with. */
typedef struct {
    PyObject *reason; /* borrowed; or NULL */
    uint64_t origin;
    bool once; /* who has been asked already is not asked again */
} asked_with;

/* One of many that are asked. */
typedef struct {
    itr_thread thread;
    itr_payload *payload;
    itr_record *more;
    itr_answer answer;
    mod_callback *claimed;
} asking;

/* Is it one of those in C that attach now and then? */
static bool
is_of_ours(uintptr_t thread_id)
{
    return thread_id != 0 && (thread_id == mod_rearm_thread() || thread_id == mod_watchdog_probe());
}

/* Those of the list that are to be asked, the caller not among them. Fewer, with MemoryError set,
   if there is no memory. */
static size_t
prepare(const itr_thread *threads, size_t count, const asked_with *with, asking *all)
{
    uint64_t self = mod_self().serial;
    size_t prepared = 0;
    for (size_t i = 0; i < count; i++) {
        if (threads[i].serial == self || is_of_ours(threads[i].thread_id) ||
            (with->once && itr_asked(threads[i]))) {
            continue;
        }
        all[prepared] = (asking){.thread = threads[i]};
        if (mod_payload_from(with->origin, NULL, with->reason, &all[prepared].payload) < 0) {
            break;
        }
        prepared++;
    }
    return prepared;
}

/* What a request has left to do. Returns whether there was a thread to ask. */
static bool
finish_asking(mod_state *state, asking *of)
{
    of->claimed = stop_where_it_is(state, of->more);
    if (of->answer != ITR_NEW) {
        mod_payload_drop(of->payload);
    }
    if (of->answer == ITR_NO_MEMORY) {
        PyErr_NoMemory();
    }
    return of->answer != ITR_FINISHED;
}

/* How many calls are asking all threads just now. atomic: it is put up before the first of them is
   asked, so who has been asked and finds it down finds that all have been. */
static _Atomic uint32_t asking_all;

PyObject *
mod_until_all_are_asked(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    while (atomic_load(&asking_all) > 0) {
        (void)sched_yield(); /* it takes a moment, for which nobody needs the GIL */
    }
    Py_RETURN_NONE;
}

void
mod_requests_after_fork_child(void)
{
    atomic_store(&asking_all, 0);
}

/*
 * Ask every thread of the list but the caller. How many were asked, or -1 with MemoryError set.
 *
 * Detached: thousands that wake would otherwise all queue for the GIL until the last has been
 * asked, and each look every few milliseconds whether it may have it.
 */
static Py_ssize_t
ask_others(mod_state *state, const itr_thread *threads, size_t count, const asked_with *with)
{
    asking *all = PyMem_RawCalloc(count + 1, sizeof(*all));
    if (all == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    size_t prepared = prepare(threads, count, with, all);
    (void)atomic_fetch_add(&asking_all, 1);
    Py_BEGIN_ALLOW_THREADS
    for (size_t i = 0; i < prepared; i++) {
        all[i].answer = itr_ask(all[i].thread, all[i].payload, &all[i].more);
    }
    /* Before the GIL: who waits for this may have it. */
    (void)atomic_fetch_sub(&asking_all, 1);
    Py_END_ALLOW_THREADS
    Py_ssize_t asked = 0;
    for (size_t i = 0; i < prepared; i++) {
        asked += finish_asking(state, &all[i]);
    }
    for (size_t i = 0; i < prepared; i++) {
        (void)mod_run_callbacks(all[i].claimed);
    }
    PyMem_RawFree(all);
    return PyErr_Occurred() ? -1 : asked;
}

static uint64_t
youngest(const itr_thread *threads, size_t count)
{
    uint64_t serial = 0;
    for (size_t i = 0; i < count; i++) {
        serial = threads[i].serial > serial ? threads[i].serial : serial;
    }
    return serial;
}

/* Ask all threads but the caller; `and_late_threads`: those that will be born, too. How many were
   asked, as an int; or NULL with an exception set. */
static PyObject *
ask_all(mod_state *state, const asked_with *with, bool and_late_threads)
{
    uint64_t epoch = itr_sweep_begin();
    itr_thread *threads;
    size_t count;
    if (mod_list_threads(&threads, &count) < 0) {
        return NULL;
    }
    if (and_late_threads) {
        /* Before the others are asked: who is asked may start a thread. */
        mod_begin_asking_late_threads(state, youngest(threads, count), with->reason, with->origin);
    }
    Py_ssize_t asked = ask_others(state, threads, count, with);
    if (asked < 0 && and_late_threads) {
        mod_end_asking_late_threads();
    }
    itr_sweep(epoch, threads, count);
    PyMem_RawFree(threads);
    mod_payload_drop_orphans();
    return asked < 0 ? NULL : PyLong_FromSsize_t(asked);
}

PyObject *
mod_interrupt_all_threads(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"reason", NULL};
    mod_state *state = mod_get_state(module);
    PyObject *reason = NULL, *exc_type = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:interrupt_all_threads", names, &reason) ||
        mod_check_request(state, &exc_type, &reason) < 0) {
        return NULL;
    }
    return ask_all(state, &(asked_with){.reason = reason}, false);
}

/* (reason, origin, and_late_threads, once) */
PyObject *
mod_begin_shutdown(PyObject *module, PyObject *args)
{
    mod_state *state = mod_get_state(module);
    PyObject *exc_type = NULL, *reason;
    unsigned long long origin;
    int and_late_threads, once;
    if (!PyArg_ParseTuple(args, "OKpp:_begin_shutdown", &reason, &origin, &and_late_threads,
                          &once) ||
        mod_check_request(state, &exc_type, &reason) < 0) {
        return NULL;
    }
    return ask_all(state, &(asked_with){reason, origin, once}, and_late_threads);
}

/* (thread, reason, origin) */
PyObject *
mod_ask_in_shutdown(PyObject *module, PyObject *args)
{
    mod_state *state = mod_get_state(module);
    PyObject *thread, *exc_type = NULL, *reason;
    unsigned long long origin;
    mod_target target;
    PyObject *otherwise;
    itr_payload *payload;
    if (!PyArg_ParseTuple(args, "OOK:_ask", &thread, &reason, &origin) ||
        mod_check_request(state, &exc_type, &reason) < 0) {
        return NULL;
    }
    if (!mod_find_live(state, thread, &target, Py_False, &otherwise)) {
        return otherwise;
    }
    if (mod_payload_from(origin, NULL, reason, &payload) < 0) {
        mod_release_target(&target);
        return NULL;
    }
    int asked = ask_with(state, &target, payload);
    return asked < 0 ? NULL : PyBool_FromLong(asked);
}

/* (thread, origin, also_who_polls) */
PyObject *
mod_take_back(PyObject *module, PyObject *args)
{
    PyObject *thread;
    unsigned long long origin;
    int also_who_polls;
    mod_target target;
    PyObject *otherwise;
    if (!PyArg_ParseTuple(args, "OKp:_take_back", &thread, &origin, &also_who_polls)) {
        return NULL;
    }
    if (!mod_find_live(mod_get_state(module), thread, &target, Py_False, &otherwise)) {
        return otherwise;
    }
    itr_payload *dropped = NULL;
    bool taken = false;
    if (target.record == NULL) {
        taken = itr_ask_no_more(target.thread, origin, &dropped);
    }
    else if (also_who_polls || !atomic_load_explicit(&target.record->polls, memory_order_relaxed)) {
        taken = itr_take_back(target.record, origin, &dropped);
    }
    mod_release_target(&target);
    mod_payload_drop(dropped);
    return PyBool_FromLong(taken);
}

PyObject *
mod_end_shutdown(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    mod_end_asking_late_threads();
    Py_RETURN_NONE;
}

PyObject *
mod_requested_of(PyObject *module, PyObject *thread)
{
    mod_target target;
    PyObject *otherwise;
    if (!mod_find_live(mod_get_state(module), thread, &target, Py_False, &otherwise)) {
        return otherwise;
    }
    bool requested =
        target.record != NULL ? itr_requested(target.record) : itr_asked(target.thread);
    mod_release_target(&target);
    return PyBool_FromLong(requested);
}
