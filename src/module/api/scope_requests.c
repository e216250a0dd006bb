/* See scope_requests.h. Everything is checked before anything is asked, so an error changes
 * nothing.
 */
#include "api/scope_requests.h"

#include <math.h>

#include "api/requests.h"
#include "api/scope.h"
#include "api/scope_state.h"
#include "cpython/seconds.h"
#include "itr_timer.h"
#include "thread/thread.h"

/* Note what is asked for; and who is in it. False: all have left it, and nothing has changed. Those
   who are just entering it, or leaving, are in it: what is noted here is so, whoever is found. */
static int
note_asked(mod_scope *of, PyObject *exc_type, PyObject *reason, uintptr_t **threads, size_t *count,
           bool *first)
{
    mod_scope_lock(of);
    *first = !of->asked;
    int status = mod_scope_copy_threads(of, threads, count);
    bool reaches = *count > 0 || !of->was_entered;
    if (status == 0 && !of->asked && reaches) {
        of->asked = true;
        of->exc_type = Py_XNewRef(exc_type);
        of->reason = Py_XNewRef(reason);
        if (exc_type != NULL) {
            PyObject_GC_Track(of); /* it may be in a cycle from here on */
        }
    }
    mod_scope_unlock(of);
    return status < 0 ? -1 : reaches;
}

/* What is raised about one thread: that there is no memory, or what a signal handler has raised
   meanwhile. The others are asked all the same. */
static void
keep_first(mod_raised *error)
{
    if (error->type != NULL) {
        PyErr_Clear();
    }
    else {
        *error = mod_put_aside();
    }
}

/* 0; -1 with an exception set, if there was one. */
static int
raise_first(mod_raised error)
{
    mod_put_back(error);
    return error.type != NULL ? -1 : 0;
}

PyObject *
mod_scope_interrupt(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"exc_type", "reason", NULL};
    mod_scope *of = (mod_scope *)self;
    mod_state *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *exc_type = NULL, *reason = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$O:interrupt", names, &exc_type, &reason)) {
        return NULL;
    }
    exc_type = exc_type == Py_None ? NULL : exc_type;
    if (mod_check_request(state, &exc_type, &reason) < 0) {
        return NULL;
    }
    uintptr_t *threads;
    size_t count;
    bool first; /* then who has left meanwhile, and entered again, has been asked for this there */
    int reached = note_asked(of, exc_type, reason, &threads, &count, &first);
    if (reached < 0) {
        return PyErr_NoMemory();
    }
    mod_raised error = {.type = NULL};
    for (size_t i = 0; i < count; i++) {
        if (mod_ask_scope(state, threads[i], of->number, exc_type, reason, first) < 0) {
            keep_first(&error);
        }
    }
    PyMem_RawFree(threads);
    return raise_first(error) < 0 ? NULL : PyBool_FromLong(reached);
}

/* Deadlines. ----------------------------------------------------------------------------------- */

PyObject *
mod_scope_when(PyObject *self, PyObject *Py_UNUSED(unused))
{
    mod_scope *of = (mod_scope *)self;
    mod_scope_lock(of);
    bool limited = mod_scope_is_limited(of);
    double when = mod_scope_moment(of);
    mod_scope_unlock(of);
    if (!limited) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(when);
}

PyObject *
mod_scope_expired(PyObject *self, PyObject *Py_UNUSED(unused))
{
    mod_scope *of = (mod_scope *)self;
    uintptr_t *threads;
    size_t count;
    mod_scope_lock(of);
    bool expired = of->expired;
    int status = mod_scope_copy_threads(of, &threads, &count);
    mod_scope_unlock(of);
    if (status < 0) {
        return PyErr_NoMemory();
    }
    for (size_t i = 0; i < count && !expired; i++) {
        itr_record *record = itr_find(threads[i]);
        if (record != NULL) {
            expired = itr_has_expired(record, of->number);
            itr_release(record);
        }
    }
    PyMem_RawFree(threads);
    return PyBool_FromLong(expired);
}

/* What of a scope is about its deadline. */
typedef struct {
    double delay, when;
    itr_deadline deadline;
} limit;

/* Under the mutex. */
static limit
limit_of(const mod_scope *of)
{
    bool limited = mod_scope_is_limited(of);
    return (limit){of->delay, limited ? mod_scope_moment(of) : Py_HUGE_VAL, mod_scope_deadline(of)};
}

/* Under the mutex. In all threads that are in it, or will be. Returns whether anybody is told
   anything by that: else it has expired, or been left, and nothing has changed. */
static bool
move_deadline(mod_scope *of, const uintptr_t *threads, size_t count, limit to)
{
    bool moved = of->entering > 0;
    for (size_t i = 0; i < count; i++) {
        itr_record *record = itr_find(threads[i]);
        if (record != NULL) {
            moved |= itr_reschedule(record, of->number, to.deadline);
            itr_release(record);
        }
    }
    /* Where nobody is in it, that is for those that will be. */
    if (count == 0) {
        moved = !of->expired && (!of->was_entered || of->kind == MOD_SCOPE_PLAIN);
    }
    if (moved) {
        of->delay = to.delay;
        mod_scope_set_deadline(of, to.when, to.deadline);
    }
    return moved;
}

/* The thread may have got that deadline. 0, or an errno value. `*raised`: as above. */
static int
watch_in(mod_state *state, uintptr_t thread_id, itr_deadline deadline, mod_raised *raised)
{
    itr_record *record = itr_find(thread_id);
    if (record == NULL) {
        return 0;
    }
    bool expired;
    int error = itr_watch_deadline(record, deadline, &expired);
    if (!expired) {
        itr_release(record);
    }
    else if (mod_finish_request(state, record) < 0) {
        keep_first(raised);
    }
    return error;
}

PyObject *
mod_scope_reschedule(PyObject *self, PyObject *given)
{
    mod_scope *of = (mod_scope *)self;
    limit to = {.delay = Py_HUGE_VAL};
    if (mod_moment_of(given, "when", &to.when) < 0) {
        return NULL;
    }
    to.deadline = mod_nanoseconds_up(to.when);
    uintptr_t *threads;
    size_t count;
    mod_scope_lock(of);
    limit before = limit_of(of);
    int status = mod_scope_copy_threads(of, &threads, &count);
    bool moved = status == 0 && move_deadline(of, threads, count, to);
    mod_scope_unlock(of);
    if (status < 0) {
        return PyErr_NoMemory();
    }
    int error = 0;
    mod_raised raised = {.type = NULL};
    for (size_t i = 0; i < count && moved && error == 0; i++) {
        error = watch_in(PyType_GetModuleState(Py_TYPE(self)), threads[i], to.deadline, &raised);
    }
    if (error != 0) {
        mod_scope_lock(of);
        (void)move_deadline(of, threads, count, before);
        mod_scope_unlock(of);
        (void)mod_complain_about_timer(error);
        keep_first(&raised);
    }
    PyMem_RawFree(threads);
    return raise_first(raised) < 0 ? NULL : PyBool_FromLong(moved);
}

/* The deadline of the level's scope, if it is in force: nothing is inside that keeps it out, and it
   has not stopped its block yet. Else infinity. */
static double
when_in_force(mod_thread *thread, mod_level level)
{
    mod_scope *of = (mod_scope *)mod_scope_of_level(thread->tstate, &thread->blocks, level);
    mod_scope_lock(of);
    double when = mod_scope_is_limited(of) ? mod_scope_moment(of) : Py_HUGE_VAL;
    mod_scope_unlock(of);
    return isinf(when) || mod_scope_is_in_force(thread, level) ? when : Py_HUGE_VAL;
}

PyObject *
mod_current_deadline(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    mod_thread *thread = mod_thread_self;
    double earliest = Py_HUGE_VAL;
    mod_level level = MOD_THREAD_LEVEL;
    while (mod_is_thread_of_now(thread) &&
           mod_next_level(thread->tstate, &thread->blocks, &level)) {
        double when = when_in_force(thread, level);
        earliest = when < earliest ? when : earliest;
    }
    return PyFloat_FromDouble(earliest);
}
