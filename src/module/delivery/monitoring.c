/*
 * See events.h. From 3.12: local events of sys.monitoring, on the code objects that an armed thread
 * runs.
 *
 * Events belong to code, not to threads, and several armed threads may run the same code: each
 * armed code counts for how many it is armed, in what code.h keeps of it. Other threads that run
 * it call us too, and go on at once. LINE and JUMP are where a request may be delivered; CALL arms
 * what is called, and what C code is given to call (running.h). INSTRUCTION is for loops that JUMP
 * does not tell of. PY_START is there for functions on one line, which from 3.13 on have no LINE
 * without it (gh-155992). Protected code gets CALL only: it is not delivered in, but calls what may
 * be. Where nothing tells what C code calls, all entries are watched, by PY_START and PY_RESUME in
 * all code, until the request is delivered.
 */
#include "safepoints/code.h"
#include "cpython/compat.h"
#include "delivery/events.h"
#include "safepoints/protected.h"
#include "delivery/running.h"

/* What interruption/_monitoring.py has told. */
typedef struct {
    mod_deliverer *deliver;
    PyObject *told; /* strong: the tuple of what follows */
    int tool;       /* our tool id */
    PyObject *set_local_events;
    PyObject *set_events;
    PyObject *disable;
    /* sets of events: */
    long all;     /* LINE | JUMP | CALL | PY_START, */
    long heads;   /* with INSTRUCTION, */
    long calls;   /* CALL, */
    long entries; /* PY_START | PY_RESUME */
} connection;

/* Made by the first region, NULL before and again when the module is cleared. Atomic: released by
   mod_events_start, acquired by whoever reads it. */
static _Atomic(connection *) connected;

static connection *
connection_now(void)
{
    return atomic_load_explicit(&connected, memory_order_acquire);
}

static void
free_connection(connection *made)
{
    Py_DECREF(made->told);
    PyMem_RawFree(made);
}

/* Arming. ------------------------------------------------------------------------------------- */

static void
set_events(const connection *to, PyCodeObject *code, long events)
{
    PyObject *done =
        PyObject_CallFunction(to->set_local_events, "iOl", to->tool, (PyObject *)code, events);
    Py_XDECREF(done);
    if (done == NULL) {
        PyErr_Clear(); /* code that has no events, or no memory: it is not armed, then */
    }
}

static size_t entry_watchers; /* guarded by the mutex of the threads' list: how many threads are */

static void
set_all_events(const connection *to, long events)
{
    PyObject *done = PyObject_CallFunction(to->set_events, "il", to->tool, events);
    Py_XDECREF(done);
    if (done == NULL) {
        PyErr_Clear(); /* no memory: as before, then */
    }
}

void
mod_events_watch_entries(mod_thread *thread)
{
    const connection *to = connection_now();
    if (!thread->watches_entries && to != NULL) {
        thread->watches_entries = true;
        if (entry_watchers++ == 0) {
            set_all_events(to, to->entries);
        }
    }
}

/* Under the list's mutex. False: the code is not analysed yet. */
static bool
arm_code(const connection *to, mod_thread *thread, PyCodeObject *code, bool protected)
{
    mod_code *info = mod_code_known(code);
    if (info == NULL) {
        return false;
    }
    if (mod_armed_add(&thread->armed, code, &info->armed) && info->armed.sets == 1) {
        bool heads = mod_safepoints_have_eventless_loops(info->points);
        set_events(to, code, protected ? to->calls : heads ? to->heads : to->all);
    }
    return true;
}

/* The events first, then what tells that they are there: a fork may come while they are being set,
   and the child does then what is left. See armed.h. */
static void
disarm_codes(const connection *to, mod_armed *armed)
{
    PyCodeObject *code;
    while ((code = mod_armed_next(armed)) != NULL) {
        mod_code *info = mod_code_known(code); /* since it was armed */
        if (info->armed.sets == 1 && to != NULL) {
            set_events(to, code, 0);
        }
        mod_armed_remove(armed, code, &info->armed);
    }
}

void
mod_events_disarm(mod_thread *thread, mod_garbage *garbage)
{
    const connection *to = connection_now();
    disarm_codes(to, &thread->armed);
    garbage->disarmed = mod_armed_take(&thread->armed);
    if (thread->watches_entries) {
        if (entry_watchers == 1 && to != NULL) {
            set_all_events(to, 0);
        }
        thread->watches_entries = false;
        entry_watchers--;
    }
}

void
mod_events_arm(mod_state *state, mod_thread *thread, mod_garbage *garbage)
{
    const connection *to = connection_now();
    mod_running *found = &garbage->found;
    mod_find_running(thread, found);
    for (size_t i = 0; i < found->count && to != NULL; i++) {
        mod_running_code *at = &found->codes[i];
        bool protected = mod_is_protected(state, at->code, at->globals);
        if (!arm_code(to, thread, at->code, protected)) {
            garbage->unknown = true;
        }
    }
}

bool
mod_drop_garbage(mod_garbage *garbage)
{
    for (size_t i = 0; i < garbage->found.count; i++) {
        mod_running_code *at = &garbage->found.codes[i];
        if (garbage->unknown) {
            (void)mod_code_of(at->code);
            PyErr_Clear(); /* no memory: not armed, then */
        }
        Py_DECREF(at->code);
        Py_XDECREF(at->globals);
    }
    PyMem_RawFree(garbage->found.codes);
    mod_armed_free(&garbage->disarmed);
    return garbage->unknown;
}

/* Called by the interpreter. ------------------------------------------------------------------ */

/* The calling thread, if there is anything to do for it. */
static mod_thread *
asked_thread(void)
{
    mod_thread *thread = mod_thread_self;
    if (thread == NULL) {
        return NULL;
    }
    uint32_t flags = itr_flags(thread->record);
    return (flags & ITR_PENDING) && (flags & ITR_CANCELABLE) ? thread : NULL;
}

/* None, or NULL with the request's exception set. */
static PyObject *
deliver_at(PyObject *module, mod_moment point)
{
    const connection *at = connection_now();
    mod_thread *thread = asked_thread();
    if (at != NULL && thread != NULL && at->deliver(mod_get_state(module), thread, point) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
on_line(PyObject *module, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
    const mod_moment point = {.moment = MOD_AT_LINE};
    return deliver_at(module, point);
}

static PyObject *
on_jump(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    assert(nargs == 3);
    (void)nargs;
    long from = PyLong_AsLong(args[1]), to = PyLong_AsLong(args[2]);
    const connection *at = connection_now();
    if (to > from && at != NULL) {
        return Py_NewRef(at->disable); /* not a loop's: never of use */
    }
    const mod_moment point = {.moment = MOD_AT_JUMP, .destination = (int)to};
    return deliver_at(module, point);
}

/* Arm what an armed thread is about to run; takes the references. Returns whether it is protected.
 */
static bool
arm_entered(mod_state *state, mod_thread *thread, mod_running_code entered)
{
    bool protected = mod_is_protected(state, entered.code, entered.globals);
    (void)mod_code_of(entered.code);
    PyErr_Clear(); /* no memory: it is not armed, then */
    mod_lock_threads();
    const connection *to = connection_now();
    if (to != NULL && (itr_flags(thread->record) & ITR_ARMED)) {
        (void)arm_code(to, thread, entered.code, protected);
    }
    mod_unlock_threads();
    Py_DECREF(entered.code);
    Py_XDECREF(entered.globals);
    return protected;
}

static void
arm_called(mod_state *state, mod_thread *thread, PyObject *callable)
{
    mod_running called;
    mod_find_called(callable, &called);
    for (size_t i = 0; i < called.count; i++) {
        (void)arm_entered(state, thread, called.codes[i]);
    }
    PyMem_RawFree(called.codes);
}

static PyObject *
on_call(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    assert(nargs == 4);
    (void)nargs;
    mod_thread *thread = asked_thread();
    if (thread != NULL) {
        mod_state *state = mod_get_state(module);
        arm_called(state, thread, args[2]);
        /* map(function, ...), next(generator), coroutine.send(...), context.run(step) */
        if (!PyFunction_Check(args[2]) && !PyType_Check(args[3])) {
            arm_called(state, thread, args[3]);
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
on_entry(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    assert(nargs == 2);
    (void)nargs;
    mod_thread *thread = asked_thread();
    const connection *to = connection_now();
    if (thread == NULL || to == NULL) {
        Py_RETURN_NONE;
    }
    PyFrameObject *frame = mod_frame_of_thread(thread->tstate);
    const mod_running_code entered = {(PyCodeObject *)Py_NewRef(args[0]),
                                      frame == NULL ? NULL : PyFrame_GetGlobals(frame)};
    Py_XDECREF(frame);
    bool protected = arm_entered(mod_get_state(module), thread, entered);
    return Py_NewRef(protected ? to->disable : Py_None); /* protected code is never of use */
}

/* Of code with loops that JUMP does not tell of. */
static PyObject *
on_instruction(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    assert(nargs == 2);
    (void)nargs;
    const mod_code *info = mod_code_known((PyCodeObject *)args[0]);
    const connection *to = connection_now();
    int offset = (int)PyLong_AsLong(args[1]);
    if (info == NULL || to == NULL) {
        Py_RETURN_NONE;
    }
    if (!(mod_safepoint_flags(info->points, offset) & MOD_SAFEPOINT_HEAD)) {
        return Py_NewRef(to->disable); /* never of use */
    }
    const mod_moment point = {.moment = MOD_AT_HEAD};
    return deliver_at(module, point);
}

/* Connecting. --------------------------------------------------------------------------------- */

/* What we are called for. */
static PyMethodDef handlers[] = {
    {"LINE", _PyCFunction_CAST(on_line), METH_FASTCALL, NULL},
    {"JUMP", _PyCFunction_CAST(on_jump), METH_FASTCALL, NULL},
    {"CALL", _PyCFunction_CAST(on_call), METH_FASTCALL, NULL},
    {"PY_START", _PyCFunction_CAST(on_entry), METH_FASTCALL, NULL},
    {"PY_RESUME", _PyCFunction_CAST(on_entry), METH_FASTCALL, NULL},
    {"INSTRUCTION", _PyCFunction_CAST(on_instruction), METH_FASTCALL, NULL},
};

/* Our callbacks by their events' names: a dict, or NULL with an exception set. */
static PyObject *
make_callbacks(PyObject *module)
{
    PyObject *callbacks = PyDict_New();
    for (size_t i = 0; callbacks != NULL && i < sizeof(handlers) / sizeof(*handlers); i++) {
        PyObject *callback = PyCFunction_New(&handlers[i], module);
        if (callback == NULL ||
            PyDict_SetItemString(callbacks, handlers[i].ml_name, callback) < 0) {
            Py_CLEAR(callbacks);
        }
        Py_XDECREF(callback);
    }
    return callbacks;
}

/* Have the interpreter told of them. NULL with an exception set. */
static connection *
connect_to_interpreter(PyObject *module)
{
    PyObject *callbacks = make_callbacks(module);
    PyObject *python = callbacks == NULL ? NULL : PyImport_ImportModule("interruption._monitoring");
    PyObject *told = python == NULL ? NULL : PyObject_CallMethod(python, "connect", "O", callbacks);
    Py_XDECREF(python);
    Py_XDECREF(callbacks);
    if (told == NULL) {
        return NULL;
    }
    connection *made = PyMem_RawMalloc(sizeof(*made));
    if (made == NULL) {
        Py_DECREF(told);
        (void)PyErr_NoMemory();
        return NULL;
    }
    made->told = told;
    if (!PyArg_ParseTuple(told, "iOOOllll", &made->tool, &made->set_local_events, &made->set_events,
                          &made->disable, &made->all, &made->heads, &made->calls, &made->entries)) {
        free_connection(made);
        return NULL;
    }
    return made;
}

int
mod_events_start(mod_state *state, mod_deliverer *deliver)
{
    if (connection_now() != NULL) {
        return 0;
    }
    connection *none = NULL, *made = connect_to_interpreter(state->module);
    if (made == NULL) {
        return -1;
    }
    made->deliver = deliver;
    /* Another thread, or code of others that ran meanwhile, may have been faster. */
    if (!atomic_compare_exchange_strong(&connected, &none, made)) {
        free_connection(made);
    }
    return 0;
}

void
mod_events_stop(void)
{
    connection *made = atomic_exchange(&connected, NULL);
    if (made != NULL) {
        free_connection(made);
    }
}
