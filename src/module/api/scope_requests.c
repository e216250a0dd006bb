/* See scope_requests.h. Everything is checked before anything is asked, so an error changes
 * nothing.
 */
#include "api/scope_requests.h"

#include <math.h>

#include "api/requests.h"
#include "api/scope.h"
#include "api/scope_state.h"
#include "cpython/fastcall.h"
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

PyObject *
mod_scope_interrupt(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"exc_type", "reason", NULL};
    static const mod_signature signature = {"interrupt", names, .positional = 1};
    mod_scope *of = (mod_scope *)self;
    mod_state *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *places[2];
    if (mod_sort_arguments(&signature, args, nargs, kwnames, places) < 0) {
        return NULL;
    }
    PyObject *exc_type = places[0] == Py_None ? NULL : places[0], *reason = places[1];
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
    for (size_t i = 0; i < count && reached >= 0; i++) {
        if (mod_ask_scope(state, threads[i], of->number, exc_type, reason, first) < 0) {
            reached = -1;
        }
    }
    PyMem_RawFree(threads);
    return reached < 0 ? NULL : PyBool_FromLong(reached);
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

/* Under the mutex. Returns what it was. */
static limit
exchange_limit(mod_scope *of, limit to)
{
    const limit before = {of->delay, mod_scope_is_limited(of) ? mod_scope_moment(of) : Py_HUGE_VAL,
                          of->deadline};
    of->delay = to.delay;
    mod_scope_set_deadline(of, to.when, to.deadline);
    return before;
}

/* 1; 0: the thread is not in it any more, or the deadline has expired. -1 with an exception set. */
static int
reschedule_in(mod_state *state, uintptr_t thread_id, uint64_t number, itr_deadline deadline)
{
    itr_record *record = itr_find(thread_id);
    if (record == NULL) {
        return 0;
    }
    bool still = itr_reschedule(record, number, deadline), expired = false;
    int error = still ? itr_watch_deadline(record, deadline, &expired) : 0;
    if (expired) {
        mod_finish_request(state, record);
    }
    else {
        itr_release(record);
    }
    return error != 0 ? mod_complain_about_timer(error) : still;
}

/* In all threads that are in it. As above. */
static int
reschedule_all(PyObject *self, const uintptr_t *threads, size_t count, itr_deadline deadline)
{
    int moved = 0;
    for (size_t i = 0; i < count && moved >= 0; i++) {
        int status = reschedule_in(PyType_GetModuleState(Py_TYPE(self)), threads[i],
                                   ((mod_scope *)self)->number, deadline);
        moved = status < 0 ? -1 : moved | status;
    }
    return moved;
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
    uint32_t seen = of->seen;
    int moved = mod_scope_copy_threads(of, &threads, &count);
    /* Where nobody is in it, that is for those that will be. */
    bool over = of->expired || (of->was_entered && of->kind != MOD_SCOPE_PLAIN);
    bool changes = moved == 0 && (count > 0 || !over);
    limit before = changes ? exchange_limit(of, to) : to;
    mod_scope_unlock(of);
    if (moved < 0) {
        return PyErr_NoMemory();
    }
    moved = count > 0 ? reschedule_all(self, threads, count, to.deadline) : changes;
    PyMem_RawFree(threads);
    if (changes && moved <= 0) { /* it had expired, or been left: as it was, unless */
        mod_scope_lock(of);
        if (moved == 0 && (of->entering > 0 || of->seen != seen)) {
            moved = 1; /* somebody has entered it with that, or is about to */
        }
        else {
            (void)exchange_limit(of, before);
        }
        mod_scope_unlock(of);
    }
    return moved < 0 ? NULL : PyBool_FromLong(moved);
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
    if (isinf(when)) {
        return when;
    }
    mod_view view;
    mod_view_level(thread->tstate, &thread->blocks, level, &view);
    uint32_t flags = mod_level_flags(&thread->blocks, thread->record, level);
    bool over = (flags & ITR_REQUESTED) && !(flags & ITR_PENDING);
    return view.shields > 0 || over ? Py_HUGE_VAL : when;
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
