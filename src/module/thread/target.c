/*
 * See target.h.
 *
 * The difficulty is a Thread that ends, and whose ident another thread gets, while we find out. Its
 * ident is looked up first, and only then it is asked whether it is still alive: if it is, it was
 * all the time, so what was found under its ident is its own. What is asked in the end is what was
 * found (a record, or a serial), never the ident again.
 */
#include "thread/target.h"

#include "cpython/compat.h"
#include "thread/payload.h"

/* Look a live thread up by its id, in the registry first: a thread that adopted its record is found
   there as long as it lives. The others are found by going through all threads. Returns 1, 0 if
   there is none, -1 with an exception set. */
static int
look_up_thread(uintptr_t thread_id, mod_target *target)
{
    target->record = itr_find(thread_id);
    if (target->record != NULL) {
        return 1;
    }
    uint64_t epoch = itr_sweep_begin();
    itr_thread *threads;
    size_t count;
    if (mod_list_threads(&threads, &count) < 0) {
        return -1;
    }
    target->thread = (itr_thread){thread_id, 0};
    for (size_t i = 0; i < count; i++) {
        /* The youngest: an older one with this id was left behind by a thread of a C library that
           did not delete its state. */
        if (threads[i].thread_id == thread_id && threads[i].serial > target->thread.serial) {
            target->thread.serial = threads[i].serial;
        }
    }
    if (itr_sweep_due()) {
        itr_sweep(epoch, threads, count);
    }
    PyMem_RawFree(threads);
    mod_payload_drop_orphans();
    return target->thread.serial != 0;
}

/* As a format. */
static const char unknown_ident[] =
    "no live Python thread has the ident %R: give the Thread, or its ident (not its native_id, the "
    "operating system's number for it)";

mod_target_status
mod_find_ident(unsigned long ident, mod_target *target)
{
    int found =
        ident == (unsigned long)ITR_NO_THREAD_ID ? 0 : look_up_thread((uintptr_t)ident, target);
    PyObject *number = found == 0 ? PyLong_FromUnsignedLong(ident) : NULL;
    if (number != NULL) {
        PyErr_Format(PyExc_ValueError, unknown_ident, number);
        Py_DECREF(number);
    }
    return found > 0 ? MOD_TARGET_LIVE : MOD_TARGET_ERROR;
}

static mod_target_status
find_number(PyObject *number, mod_target *target)
{
    unsigned long ident = PyLong_AsUnsignedLong(number);
    if (ident == (unsigned long)-1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Format(PyExc_ValueError, unknown_ident, number);
        }
        return MOD_TARGET_ERROR;
    }
    return mod_find_ident(ident, target);
}

/* A Thread's ident: 1; 0 with RuntimeError set if it was not started; -1 with another exception. */
static int
ident_of_thread(PyObject *thread, PyObject **ident)
{
    *ident = PyObject_GetAttrString(thread, "ident");
    if (*ident == NULL) {
        /* Thread.__init__ was not called: an assertion of `ident`, or where assertions are off, its
           missing attribute. */
        if (!PyErr_ExceptionMatches(PyExc_AssertionError) &&
            !PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
    }
    if (*ident == NULL || *ident == Py_None) {
        Py_CLEAR(*ident);
        PyErr_SetString(PyExc_RuntimeError,
                        "the thread has not been started: call its start() first");
        return 0;
    }
    if (!PyLong_Check(*ident)) {
        PyErr_Format(PyExc_TypeError, "the thread's ident should be an int, not %R", *ident);
        Py_CLEAR(*ident);
        return -1;
    }
    return 1;
}

/*
 * Is this Thread running, so that its ident is its own? 1, 0, or -1 with an exception set.
 *
 * threading registers a Thread in `_limbo` while it starts and under its ident in `_active` while
 * it runs; it enters the second before it leaves the first, so looking in this order misses nobody.
 * is_alive() is not used: up to 3.12 it takes a lock of threading's own, and would wait for ever in
 * a signal handler or a `__del__` that came while the same thread held it (S20; gh-114271).
 */
static int
is_registered(mod_state *state, PyObject *thread, PyObject *ident)
{
    PyObject *limbo = PyObject_GetAttrString(state->threading, "_limbo");
    if (limbo == NULL) {
        return -1;
    }
    int starting = PySequence_Contains(limbo, thread);
    Py_DECREF(limbo);
    if (starting != 0) {
        return starting;
    }
    PyObject *active = PyObject_GetAttrString(state->threading, "_active");
    if (active == NULL) {
        return -1;
    }
    PyObject *registered = PyObject_GetItem(active, ident);
    Py_DECREF(active);
    if (registered == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    int same = registered == thread;
    Py_DECREF(registered);
    return same;
}

static mod_target_status
find_thread(mod_state *state, PyObject *thread, mod_target *target)
{
    PyObject *ident;
    if (ident_of_thread(thread, &ident) <= 0) {
        return MOD_TARGET_ERROR;
    }
    unsigned long number = PyLong_AsUnsignedLong(ident);
    int found = number == (unsigned long)-1 && PyErr_Occurred()
                    ? -1
                    : look_up_thread((uintptr_t)number, target);
    if (found > 0) {
        found = is_registered(state, thread, ident);
        if (found <= 0) {
            mod_release_target(target);
        }
    }
    Py_DECREF(ident);
    if (found < 0) {
        return MOD_TARGET_ERROR;
    }
    return found > 0 ? MOD_TARGET_LIVE : MOD_TARGET_FINISHED;
}

static mod_target_status
find_target(mod_state *state, PyObject *thread, mod_target *target)
{
    *target = (mod_target){.record = NULL};
    if (PyLong_Check(thread) && !PyBool_Check(thread)) {
        return find_number(thread, target);
    }
    if (state->thread_type == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "interruption: the interpreter is exiting");
        return MOD_TARGET_ERROR;
    }
    int is_thread = PyObject_IsInstance(thread, state->thread_type);
    if (is_thread > 0) {
        return find_thread(state, thread, target);
    }
    if (is_thread == 0) {
        const char *hint = PyUnicode_Check(thread) ? " (threading.enumerate() has the threads)"
                           : PyExceptionClass_Check(thread) ? " (the thread is given first)"
                                                            : "";
        PyErr_Format(PyExc_TypeError,
                     "thread must be a threading.Thread or a thread's ident (an int), not %.200s%s",
                     Py_TYPE(thread)->tp_name, hint);
    }
    return MOD_TARGET_ERROR;
}

bool
mod_find_live(mod_state *state, PyObject *thread, mod_target *target, PyObject *of_ended,
              PyObject **answer)
{
    mod_target_status status = find_target(state, thread, target);
    *answer = status == MOD_TARGET_FINISHED ? Py_NewRef(of_ended) : NULL;
    return status == MOD_TARGET_LIVE;
}

itr_answer
mod_ask_target(const mod_target *target, itr_payload *payload, itr_record **more)
{
    if (target->record == NULL) {
        return itr_ask(target->thread, payload, more);
    }
    itr_answer answer = itr_request(target->record, payload);
    *more = NULL;
    if (itr_needs_more(target->record)) {
        itr_retain(target->record);
        *more = target->record;
    }
    return answer;
}

void
mod_release_target(mod_target *target)
{
    if (target->record != NULL) {
        itr_release(target->record);
        target->record = NULL;
    }
}
