/* See polling.h. The first two functions are the library's hot path: a thread that has not been
   asked pays a thread-local load, a load and a branch. */
#include "api/polling.h"

#include "api/scope_state.h"
#include "cpython/seconds.h"
#include "thread/current.h"
#include "thread/payload.h"
#include "delivery/raise.h"
#include "thread/thread.h"

/* The calling thread's record, which knows from now on that the thread polls. */
static itr_record *
current_that_polls(mod_state *state)
{
    itr_record *record = mod_current(state);
    if (record != NULL) {
        atomic_store_explicit(&record->polls, true, memory_order_relaxed);
    }
    return record;
}

PyObject *
mod_requested(PyObject *module, PyObject *Py_UNUSED(unused))
{
    if (mod_nothing_asked()) {
        Py_RETURN_FALSE;
    }
    itr_record *record = current_that_polls(mod_get_state(module));
    return record == NULL ? NULL : PyBool_FromLong(itr_requested(record));
}

/* Of the levels that have been asked, the outermost that no shield is inside of (S5, S24). */
static bool
find_unshielded(mod_level *level)
{
    *level = MOD_THREAD_LEVEL;
    mod_thread *thread = mod_thread_self;
    if (!mod_is_thread_of_now(thread)) {
        return true;
    }
    do {
        mod_view view;
        if (mod_level_flags(&thread->blocks, thread->record, *level) & ITR_REQUESTED) {
            mod_view_level(thread->tstate, &thread->blocks, *level, &view);
            if (view.shields == 0) {
                return true;
            }
        }
    } while (mod_next_level(thread->tstate, &thread->blocks, level));
    return false;
}

int
mod_check(mod_state *state)
{
    if (mod_nothing_asked()) {
        return 0;
    }
    itr_record *record = current_that_polls(state);
    if (record == NULL) {
        return -1;
    }
    mod_level level;
    return find_unshielded(&level) ? mod_raise_request(state, record, level) : 0;
}

PyObject *
mod_check_interrupt(PyObject *module, PyObject *Py_UNUSED(unused))
{
    /* Here, and again in mod_check, which the C API calls: before the state is fetched. */
    if (mod_nothing_asked()) {
        Py_RETURN_NONE;
    }
    if (mod_check(mod_get_state(module)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
mod_clear_interrupt(PyObject *module, PyObject *Py_UNUSED(unused))
{
    itr_record *record = mod_current(mod_get_state(module));
    if (record == NULL) {
        return NULL;
    }
    itr_payload *dropped = NULL;
    bool has_blocks = mod_is_thread_of_now(mod_thread_self);
    if (has_blocks) {
        mod_visit_scopes(&mod_thread_self->blocks, mod_scope_note_expired, record->thread_id);
    }
    bool requested = itr_clear(record, &dropped);
    if (has_blocks) {
        mod_forget_passed(&mod_thread_self->blocks);
    }
    mod_nothing_waits(record);
    mod_payload_drop(dropped);
    return PyBool_FromLong(requested);
}

/* The deadline that a `timeout` argument means. 0, or -1 with an exception set. */
static int
deadline_after(PyObject *timeout, itr_deadline *deadline)
{
    double seconds;
    if (mod_seconds(timeout, "timeout", &seconds) < 0) {
        return -1;
    }
    *deadline = itr_deadline_after(mod_nanoseconds_up(seconds)); /* never shorter than asked for */
    return 0;
}

/* Wait until `deadline`, running signal handlers. 1, 0 on timeout, -1 with an exception set. */
static int
wait_for_request(itr_record *record, itr_deadline deadline)
{
    for (;;) {
        itr_wait_result result;
        Py_BEGIN_ALLOW_THREADS
        result = itr_wait(record, deadline);
        Py_END_ALLOW_THREADS
        switch (result) {
        case ITR_WAIT_REQUESTED:
            return 1;
        case ITR_WAIT_TIMEOUT:
            return 0;
        case ITR_WAIT_SIGNAL:
            if (PyErr_CheckSignals() < 0) {
                return -1;
            }
            break;
        case ITR_WAIT_ERROR:
            (void)PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
    }
}

PyObject *
mod_wait(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = NULL;
    itr_deadline deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:wait_for_interruption", names, &timeout) ||
        deadline_after(timeout, &deadline) < 0) {
        return NULL;
    }
    itr_record *record = current_that_polls(mod_get_state(module));
    if (record == NULL) {
        return NULL;
    }
    if (itr_requested(record)) {
        Py_RETURN_TRUE;
    }
    int requested = wait_for_request(record, deadline);
    return requested < 0 ? NULL : PyBool_FromLong(requested);
}

PyObject *
mod_fd(PyObject *module, PyObject *Py_UNUSED(unused))
{
    itr_record *record = current_that_polls(mod_get_state(module));
    if (record == NULL) {
        return NULL;
    }
    int fd = itr_wait_fd(record);
    return fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(fd);
}
