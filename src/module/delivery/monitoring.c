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
 * be. Where nothing tells what C code calls, the thread is followed, by PY_START and PY_RESUME in
 * all code, until the request is delivered.
 */
#include "safepoints/code.h"
#include "cpython/compat.h"
#include "delivery/events.h"
#include "safepoints/protected.h"
#include "delivery/running.h"

enum { NO_TOOL = -1 };

typedef struct {
    interruption_deliverer *deliver;
    PyObject *tool; /* our tool id, an int */
    PyObject *set_local_events;
    PyObject *set_events;
    PyObject *disable;
    PyObject *all;       /* LINE | JUMP | CALL | PY_START, */
    PyObject *mute;      /* with INSTRUCTION, */
    PyObject *calls;     /* CALL, */
    PyObject *entries;   /* PY_START | PY_RESUME, */
    PyObject *no_events; /* 0: ints */
} connection;

/* Made by the first region, NULL before and again when the module is cleared. Atomic: released by
   interruption_events_start, acquired by whoever reads it. */
static _Atomic(connection *) connected;

static connection *
connection_now(void)
{
    return atomic_load_explicit(&connected, memory_order_acquire);
}

/* Arming. ------------------------------------------------------------------------------------- */

static void
set_events(const connection *to, PyCodeObject *code, PyObject *events)
{
    PyObject *arguments[] = {to->tool, (PyObject *)code, events};
    PyObject *done = PyObject_Vectorcall(to->set_local_events, arguments, 3, NULL);
    Py_XDECREF(done);
    if (done == NULL) {
        PyErr_Clear(); /* code that has no events, or no memory: it is not armed, then */
    }
}

static size_t followed; /* guarded by the mutex of the threads' list: how many threads are */

static void
set_all_events(const connection *to, PyObject *events)
{
    PyObject *done = PyObject_CallFunctionObjArgs(to->set_events, to->tool, events, NULL);
    Py_XDECREF(done);
    if (done == NULL) {
        PyErr_Clear(); /* no memory: as before, then */
    }
}

void
interruption_events_follow(interruption_thread *thread)
{
    const connection *to = connection_now();
    if (!thread->followed && to != NULL) {
        thread->followed = true;
        if (followed++ == 0) {
            set_all_events(to, to->entries);
        }
    }
}

/* Under the list's mutex. */
static void
arm_code(const connection *to, interruption_thread *thread, PyCodeObject *code, bool protected)
{
    interruption_code *info = interruption_code_of(code);
    if (info == NULL) {
        PyErr_Clear(); /* no memory: not armed, then */
        return;
    }
    if (interruption_armed_add(&thread->armed, code, &info->armed) && info->armed == 1) {
        set_events(to, code,
                   protected                                           ? to->calls
                   : interruption_points_have_mute_loops(info->points) ? to->mute
                                                                       : to->all);
    }
}

/* The events first, then what tells that they are there: a fork may come while they are being set,
   and the child does then what is left. See armed.h. */
static void
disarm_codes(const connection *to, interruption_armed *armed)
{
    PyCodeObject *code;
    while ((code = interruption_armed_next(armed)) != NULL) {
        interruption_code *info = interruption_code_of(code); /* made when it was armed */
        if (info->armed == 1 && to != NULL) {
            set_events(to, code, to->no_events);
        }
        interruption_armed_remove(armed, code, &info->armed);
    }
}

void
interruption_events_disarm(interruption_thread *thread, interruption_garbage *garbage)
{
    const connection *to = connection_now();
    disarm_codes(to, &thread->armed);
    garbage->disarmed = interruption_armed_take(&thread->armed);
    if (thread->followed) {
        if (followed == 1 && to != NULL) {
            set_all_events(to, to->no_events);
        }
        thread->followed = false;
        followed--;
    }
}

/* Under the list's mutex. What was found is garbage then. */
static void
arm_found(interruption_state *state, interruption_thread *thread, const interruption_running *found,
          interruption_garbage *garbage)
{
    const connection *to = connection_now();
    garbage->objects = PyMem_RawMalloc(2 * found->count * sizeof(PyObject *));
    garbage->count = 0;
    if (garbage->objects == NULL) {
        return; /* no memory: what was found stays, which is the lesser evil */
    }
    for (size_t i = 0; i < found->count; i++) {
        interruption_running_code *at = &found->codes[i];
        if (to != NULL) {
            arm_code(to, thread, at->code, interruption_is_protected(state, at->code, at->globals));
        }
        garbage->objects[garbage->count++] = (PyObject *)at->code;
        garbage->objects[garbage->count++] = at->globals;
    }
}

void
interruption_events_arm(interruption_state *state, interruption_thread *thread,
                        interruption_garbage *garbage)
{
    interruption_running running;
    interruption_find_running(thread, &running);
    arm_found(state, thread, &running, garbage);
    PyMem_RawFree(running.codes);
}

void
interruption_drop_garbage(interruption_garbage *garbage)
{
    for (size_t i = 0; i < garbage->count; i++) {
        Py_XDECREF(garbage->objects[i]);
    }
    PyMem_RawFree(garbage->objects);
    interruption_armed_free(&garbage->disarmed);
}

/* Called by the interpreter. ------------------------------------------------------------------ */

/* The calling thread, if there is anything to do for it. */
static interruption_thread *
asked_thread(void)
{
    interruption_thread *thread = interruption_thread_self;
    if (thread == NULL) {
        return NULL;
    }
    uint32_t flags = itr_flags(thread->record);
    return (flags & ITR_PENDING) && (flags & ITR_CANCELABLE) ? thread : NULL;
}

/* None, or NULL with the request's exception set. */
static PyObject *
deliver_at(PyObject *module, interruption_point point)
{
    const connection *at = connection_now();
    interruption_thread *thread = asked_thread();
    if (at != NULL && thread != NULL &&
        at->deliver(interruption_get_state(module), thread, point) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
on_line(PyObject *module, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
    const interruption_point point = {.moment = INTERRUPTION_AT_LINE};
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
    const interruption_point point = {.moment = INTERRUPTION_AT_JUMP, .destination = (int)to};
    return deliver_at(module, point);
}

/* Arm what an armed thread is about to run; takes the references. Returns whether it is protected.
 */
static bool
arm_entered(interruption_state *state, interruption_thread *thread,
            interruption_running_code entered)
{
    bool protected = interruption_is_protected(state, entered.code, entered.globals);
    interruption_lock_threads();
    const connection *to = connection_now();
    if (to != NULL && (itr_flags(thread->record) & ITR_ARMED)) {
        arm_code(to, thread, entered.code, protected);
    }
    interruption_unlock_threads();
    Py_DECREF(entered.code);
    Py_XDECREF(entered.globals);
    return protected;
}

static void
arm_called(interruption_state *state, interruption_thread *thread, PyObject *callable)
{
    interruption_running called;
    interruption_find_called(callable, &called);
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
    interruption_thread *thread = asked_thread();
    if (thread != NULL) {
        interruption_state *state = interruption_get_state(module);
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
    interruption_thread *thread = asked_thread();
    const connection *to = connection_now();
    if (thread == NULL || to == NULL) {
        Py_RETURN_NONE;
    }
    PyFrameObject *frame = interruption_frame_of_thread(thread->tstate);
    const interruption_running_code entered = {(PyCodeObject *)Py_NewRef(args[0]),
                                               frame == NULL ? NULL : PyFrame_GetGlobals(frame)};
    Py_XDECREF(frame);
    bool protected = arm_entered(interruption_get_state(module), thread, entered);
    return Py_NewRef(protected ? to->disable : Py_None); /* protected code is never of use */
}

/* Of code with loops that JUMP does not tell of. */
static PyObject *
on_instruction(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    assert(nargs == 2);
    (void)nargs;
    interruption_code *info = interruption_code_of((PyCodeObject *)args[0]); /* made by arming */
    const connection *to = connection_now();
    int offset = (int)PyLong_AsLong(args[1]);
    if (info == NULL || to == NULL) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    if (!(interruption_point_flags(info->points, offset) & INTERRUPTION_POINT_HEAD)) {
        return Py_NewRef(to->disable); /* never of use */
    }
    const interruption_point point = {.moment = INTERRUPTION_AT_HEAD};
    return deliver_at(module, point);
}

static PyMethodDef instruction_method = {"_on_instruction", _PyCFunction_CAST(on_instruction),
                                         METH_FASTCALL, NULL};
static PyMethodDef entry_method = {"_on_entry", _PyCFunction_CAST(on_entry), METH_FASTCALL, NULL};
static PyMethodDef line_method = {"_on_line", _PyCFunction_CAST(on_line), METH_FASTCALL, NULL};
static PyMethodDef jump_method = {"_on_jump", _PyCFunction_CAST(on_jump), METH_FASTCALL, NULL};
static PyMethodDef call_method = {"_on_call", _PyCFunction_CAST(on_call), METH_FASTCALL, NULL};

/* Connecting. --------------------------------------------------------------------------------- */

static void
free_connection(connection *made)
{
    Py_XDECREF(made->tool);
    Py_XDECREF(made->set_local_events);
    Py_XDECREF(made->set_events);
    Py_XDECREF(made->entries);
    Py_XDECREF(made->disable);
    Py_XDECREF(made->all);
    Py_XDECREF(made->mute);
    Py_XDECREF(made->calls);
    Py_XDECREF(made->no_events);
    PyMem_RawFree(made);
}

/* RuntimeError: who has all the tool ids. */
static void
complain_no_tool(PyObject *monitoring)
{
    PyObject *names = PyList_New(0);
    for (int i = 0; i < 6 && names != NULL; i++) {
        PyObject *name = PyObject_CallMethod(monitoring, "get_tool", "i", i);
        if (name == NULL || PyList_Append(names, name) < 0) {
            Py_CLEAR(names);
        }
        Py_XDECREF(name);
    }
    if (names != NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "no tool id of sys.monitoring is free, so nothing can be interrupted between "
                     "statements: they are taken by %R; stop one of these tools before the first "
                     "region is entered, or use allow_interruption(async_interrupt=False)",
                     names);
        Py_DECREF(names);
    }
}

/* Take a tool id: those first that are not meant for somebody else. */
static PyObject *
take_tool(PyObject *monitoring)
{
    static const int wanted[] = {4, 3, 5, 2, 1, 0};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        PyObject *done =
            PyObject_CallMethod(monitoring, "use_tool_id", "is", wanted[i], "interruption");
        if (done != NULL) {
            Py_DECREF(done);
            return PyLong_FromLong(wanted[i]);
        }
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return NULL;
        }
        PyErr_Clear();
    }
    complain_no_tool(monitoring);
    return NULL;
}

static int
register_callback(PyObject *monitoring, PyObject *tool, long event, PyMethodDef *method,
                  PyObject *module)
{
    PyObject *callback = PyCFunction_New(method, module);
    if (callback == NULL) {
        return -1;
    }
    PyObject *earlier =
        PyObject_CallMethod(monitoring, "register_callback", "OlO", tool, event, callback);
    Py_DECREF(callback);
    Py_XDECREF(earlier);
    return earlier == NULL ? -1 : 0;
}

/* The events that we are called for. */
static const struct {
    const char *name;
    PyMethodDef *method;
} handled[] = {
    {"LINE", &line_method},      {"JUMP", &jump_method},       {"CALL", &call_method},
    {"PY_START", &entry_method}, {"PY_RESUME", &entry_method}, {"INSTRUCTION", &instruction_method},
};
enum { LINE, JUMP, CALL, PY_START, PY_RESUME, INSTRUCTION, HANDLED };

static int
find_events(PyObject *monitoring, long numbers[HANDLED])
{
    PyObject *events = PyObject_GetAttrString(monitoring, "events");
    for (int i = 0; events != NULL && i < HANDLED; i++) {
        PyObject *number = PyObject_GetAttrString(events, handled[i].name);
        numbers[i] = number == NULL ? -1 : PyLong_AsLong(number);
        Py_XDECREF(number);
        if (numbers[i] < 0) {
            Py_CLEAR(events);
        }
    }
    Py_XDECREF(events);
    return events == NULL ? -1 : 0;
}

static int
fill_connection(connection *made, PyObject *monitoring, PyObject *module)
{
    long numbers[HANDLED];
    if (find_events(monitoring, numbers) < 0) {
        return -1;
    }
    made->set_local_events = PyObject_GetAttrString(monitoring, "set_local_events");
    made->set_events = PyObject_GetAttrString(monitoring, "set_events");
    made->disable = PyObject_GetAttrString(monitoring, "DISABLE");
    long all = numbers[LINE] | numbers[JUMP] | numbers[CALL] | numbers[PY_START];
    made->all = PyLong_FromLong(all);
    made->mute = PyLong_FromLong(all | numbers[INSTRUCTION]);
    made->calls = PyLong_FromLong(numbers[CALL]);
    made->entries = PyLong_FromLong(numbers[PY_START] | numbers[PY_RESUME]);
    made->no_events = PyLong_FromLong(0);
    if (made->set_local_events == NULL || made->set_events == NULL || made->disable == NULL ||
        made->all == NULL || made->mute == NULL || made->calls == NULL || made->entries == NULL ||
        made->no_events == NULL) {
        return -1;
    }
    made->tool = take_tool(monitoring);
    for (int i = 0; made->tool != NULL && i < HANDLED; i++) {
        if (register_callback(monitoring, made->tool, numbers[i], handled[i].method, module) < 0) {
            return -1;
        }
    }
    return made->tool == NULL ? -1 : 0;
}

/* Free it and its tool id. Keeps the exception that is set. */
static void
disconnect(connection *made, PyObject *monitoring)
{
    PyObject *raised = PyErr_GetRaisedException();
    if (made->tool != NULL) {
        PyObject *done = PyObject_CallMethod(monitoring, "free_tool_id", "O", made->tool);
        Py_XDECREF(done);
        PyErr_Clear();
    }
    free_connection(made);
    PyErr_SetRaisedException(raised);
}

int
interruption_events_start(interruption_state *state, interruption_deliverer *deliver)
{
    if (connection_now() != NULL) {
        return 0;
    }
    PyObject *monitoring = PySys_GetObject("monitoring"); /* borrowed */
    connection *made = PyMem_RawCalloc(1, sizeof(*made));
    if (monitoring == NULL || made == NULL) {
        PyMem_RawFree(made);
        PyErr_SetString(PyExc_RuntimeError, "sys.monitoring is not there: nothing can be "
                                            "interrupted between statements");
        return -1;
    }
    made->deliver = deliver;
    Py_INCREF(monitoring);
    connection *none = NULL;
    int status = fill_connection(made, monitoring, state->module);
    /* All that can run other people's code is behind us; another thread, or that code, may have
       been faster. */
    if (status < 0 || !atomic_compare_exchange_strong(&connected, &none, made)) {
        disconnect(made, monitoring);
    }
    Py_DECREF(monitoring);
    return status;
}

void
interruption_events_stop(void)
{
    connection *made = atomic_exchange(&connected, NULL);
    if (made != NULL) {
        free_connection(made);
    }
}
