/* See late_threads.h. `late_now` is guarded by the mutex, but for what is said at its members. */
#include "shutdown/late_threads.h"

#include "cpython/compat.h"
#include "thread/current.h"
#include "cpython/frame.h"
#include "cpython/main_thread.h"
#include "safepoints/protected.h"
#include "interpose/interpose.h"
#include "thread/payload.h"
#include "safepoints/protected.h"
#include "thread/target.h"

static struct {
    _Atomic uint64_t youngest; /* UINT64_MAX: nobody is born asked. Written under the mutex; atomic:
                                  relaxed, for whom it lets in looks again under the mutex */
    size_t shutdowns;
    PyObject *reason;        /* strong, or NULL */
    uint64_t origin;         /* what they are asked with can be taken back by that */
    _Atomic uint32_t helped; /* the number of the last shutdown: helpers, and who asks, have it in
                                their record. Written under the mutex; atomic: relaxed */
} late_now = {.youngest = UINT64_MAX};

static bool
shutdown_is_on(PyObject *Py_UNUSED(self))
{
    return atomic_load_explicit(&late_now.youngest, memory_order_relaxed) != UINT64_MAX;
}

static PyObject *start_told_thread(const mod_call *call);

MOD_REPLACEMENT(start_new_thread, shutdown_is_on, start_told_thread);
MOD_REPLACEMENT(start_new, shutdown_is_on, start_told_thread);
MOD_REPLACEMENT(start_joinable_thread, shutdown_is_on, start_told_thread);

static const mod_row start_rows[] = {
    {"_thread", NULL, "start_new_thread", &start_new_thread, false},
    {"_thread", NULL, "start_new", &start_new, true},
    {"_thread", NULL, "start_joinable_thread", &start_joinable_thread, true},
    {NULL, NULL, NULL, NULL, false},
};

static mod_family starting_family = {.name = "starting threads", .rows = start_rows};

/* Does the thread of that record help with the shutdown that is on? NULL: it does not. */
static bool
is_helper(const itr_record *record)
{
    return shutdown_is_on(NULL) && record != NULL &&
           atomic_load_explicit(&record->helps, memory_order_relaxed) ==
               atomic_load_explicit(&late_now.helped, memory_order_relaxed);
}

/* The calling thread is getting its record as a helper: it is not asked. */
static _Thread_local bool begins_as_helper;

/* The calling thread helps. Without memory for a record it is asked as the others. */
static void
note_helper(mod_state *state)
{
    begins_as_helper = true;
    itr_record *record = state == NULL ? NULL : mod_current(state);
    begins_as_helper = false;
    if (record == NULL) {
        PyErr_Clear();
        return;
    }
    atomic_store_explicit(&record->helps,
                          atomic_load_explicit(&late_now.helped, memory_order_relaxed),
                          memory_order_relaxed);
}

void
mod_begin_asking_late_threads(mod_state *state, uint64_t youngest, PyObject *reason,
                              uint64_t origin)
{
    if (mod_family_enable(&starting_family) < 0) {
        PyErr_Clear(); /* somebody has replaced them: then there are no helpers */
    }
    mod_mutex_lock(&mod_mutexes.late_threads);
    if (late_now.shutdowns++ == 0) {
        late_now.reason = Py_XNewRef(reason);
        late_now.origin = origin;
        (void)atomic_fetch_add_explicit(&late_now.helped, 1, memory_order_relaxed);
        atomic_store_explicit(&late_now.youngest, youngest, memory_order_relaxed);
    }
    mod_mutex_unlock(&mod_mutexes.late_threads);
    note_helper(state);
}

void
mod_end_asking_late_threads(void)
{
    PyObject *reason = NULL;
    mod_mutex_lock(&mod_mutexes.late_threads);
    if (late_now.shutdowns > 0 && --late_now.shutdowns == 0) {
        atomic_store_explicit(&late_now.youngest, UINT64_MAX, memory_order_relaxed);
        reason = late_now.reason;
        late_now.reason = NULL;
    }
    mod_mutex_unlock(&mod_mutexes.late_threads);
    Py_XDECREF(reason);
}

/* Is the thread to be born asked? With the reason, a new reference or NULL, and the origin. */
static bool
is_late_thread(const itr_record *record, PyObject **reason, uint64_t *origin)
{
    if (record->serial <= atomic_load_explicit(&late_now.youngest, memory_order_relaxed) ||
        begins_as_helper) {
        return false;
    }
    mod_mutex_lock(&mod_mutexes.late_threads);
    bool late = record->serial > atomic_load_explicit(&late_now.youngest, memory_order_relaxed);
    *reason = late ? Py_XNewRef(late_now.reason) : NULL;
    *origin = late_now.origin;
    mod_mutex_unlock(&mod_mutexes.late_threads);
    return late;
}

void
mod_ask_late_thread(itr_record *record)
{
    PyObject *reason;
    uint64_t origin;
    if (!is_late_thread(record, &reason, &origin)) {
        return;
    }
    itr_payload *payload;
    if (mod_payload_from(origin, NULL, reason, &payload) < 0) {
        PyErr_Clear(); /* asked without the reason is better than not asked */
    }
    Py_XDECREF(reason);
    if (itr_request(record, payload) != ITR_NEW) {
        mod_payload_drop(payload); /* somebody has asked it before it looked */
    }
}

/* Starting threads. ---------------------------------------------------------------------------- */

/* Is it a frame of `threading`, which starts threads for others? */
static bool
is_of_threading(mod_state *state, PyFrameObject *frame)
{
    PyObject *globals = PyFrame_GetGlobals(frame);
    bool answer = globals == PyModule_GetDict(state->threading);
    Py_XDECREF(globals);
    return answer;
}

/* Whose code starts the thread: the program's? */
static bool
program_starts_it(mod_state *state)
{
    mod_walk walk = mod_walk_begin(PyThreadState_Get());
    while (walk.frame != NULL && is_of_threading(state, walk.frame)) {
        mod_walk_on(&walk);
    }
    bool programs = walk.frame == NULL || mod_is_programs_frame(state, walk.frame, walk.code);
    mod_walk_end(&walk);
    return programs;
}

/* The flags of the calling thread; as if it were still to be told, when they cannot be had. */
static uint32_t
flags_now(mod_state *state)
{
    itr_record *record = state == NULL || state->threading == NULL ? NULL : mod_current(state);
    if (record == NULL) {
        PyErr_Clear();
        return ITR_REQUESTED | ITR_PENDING;
    }
    return itr_level_flags(record, ITR_THREAD);
}

PyObject *
mod_is_told(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const uint32_t asked = ITR_REQUESTED | ITR_PENDING;
    return PyBool_FromLong(shutdown_is_on(NULL) &&
                           (flags_now(mod_get_state(module)) & asked) == ITR_REQUESTED);
}

/* A thread that asks the others, as the main thread for a signal, goes on or cleans up: either way
   what it starts is to run, and what that starts. One that has not been asked yet is about to be.
   One that was asked and told cleans up: that of the program stops, too, or the threads would never
   come to an end; but not a library's, nor in the main thread. */
static bool
starts_helpers(mod_state *state)
{
    uint32_t flags = flags_now(state);
    if (!(flags & ITR_REQUESTED)) {
        return is_helper(itr_current());
    }
    return !(flags & ITR_PENDING) && (mod_is_main_thread(state) || !program_starts_it(state));
}

/* What a helper calls: first this. */
static PyObject *
begin_helper(PyObject *function, PyObject *args, PyObject *kwargs)
{
    note_helper(atomic_load_explicit(&mod_state_now, memory_order_acquire));
    return PyObject_Call(function, args, kwargs);
}

static PyMethodDef helper_method = {"helper", _PyCFunction_CAST(begin_helper),
                                    METH_VARARGS | METH_KEYWORDS, NULL};

/* The positional arguments, with the function that tells in the place of theirs: a new reference,
   or NULL. */
static PyObject *
with_telling_function(PyObject *arguments)
{
    PyObject *telling = PyCFunction_New(&helper_method, PyTuple_GET_ITEM(arguments, 0));
    Py_ssize_t count = PyTuple_GET_SIZE(arguments);
    PyObject *made = telling == NULL ? NULL : PyTuple_New(count);
    if (made == NULL) {
        Py_XDECREF(telling);
        return NULL;
    }
    PyTuple_SET_ITEM(made, 0, telling);
    for (Py_ssize_t i = 1; i < count; i++) {
        PyTuple_SET_ITEM(made, i, Py_NewRef(PyTuple_GET_ITEM(arguments, i)));
    }
    return made;
}

static PyObject *
start_told_thread(const mod_call *call)
{
    mod_state *state = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    PyObject *arguments = call->argument; /* NULL: the shape is one that no version has had */
    if (arguments == NULL || !PyTuple_CheckExact(arguments) || PyTuple_GET_SIZE(arguments) == 0 ||
        !PyCallable_Check(PyTuple_GET_ITEM(arguments, 0)) || !starts_helpers(state)) {
        return mod_call_original(call); /* it has the words, if something is wrong */
    }
    mod_call telling = *call;
    telling.argument = with_telling_function(arguments);
    if (telling.argument == NULL) {
        return NULL;
    }
    PyObject *result = mod_call_original(&telling);
    Py_DECREF(telling.argument);
    return result;
}

PyObject *
mod_is_helper(PyObject *module, PyObject *thread)
{
    mod_target target;
    PyObject *otherwise;
    if (!mod_find_live(mod_get_state(module), thread, &target, Py_False, &otherwise)) {
        return otherwise;
    }
    bool helper = is_helper(target.record);
    mod_release_target(&target);
    return PyBool_FromLong(helper);
}

void
mod_late_threads_after_fork_child(void)
{
    late_now.shutdowns = 0;
    atomic_store_explicit(&late_now.youngest, UINT64_MAX, memory_order_relaxed);
    Py_CLEAR(late_now.reason);
}
