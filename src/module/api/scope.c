/*
 * See scope.h. Whether a request still finds the scope is decided under the mutex of the thread's
 * record, where the thread leaves it, too: so it reaches the scope or nobody.
 *
 * The object knows the threads that are in it by their ids only, for it may outlive their records
 * (in the child of a fork); what other thread has an id by then is not in that scope. A thread that
 * enters says so after its record knows the scope, and looks then what has been asked before; who
 * asks says that first, and asks then those that are in it: nobody is missed.
 */
#include "api/scope.h"

#include <pthread.h>
#include <stddef.h>

#include "api/requests.h"
#include "api/with_blocks.h"
#include "cpython/compat.h"
#include "cpython/fastcall.h"
#include "delivery/arming.h"
#include "delivery/raise.h"
#include "delivery/shield.h"
#include "thread/payload.h"

typedef struct {
    PyObject_HEAD uint64_t number; /* constant */
    pthread_mutex_t mutex;         /* held for a few instructions, while no Python code runs */
    /* The rest is guarded by it. */
    bool asked;         /* with what the first has asked for: */
    PyObject *exc_type; /* strong, or NULL: ThreadExit */
    PyObject *reason;   /* strong, or NULL */
    bool was_entered;
    uintptr_t *threads; /* that are in it */
    size_t count;
    size_t capacity;
} scope;

/* The number of the newest scope; atomic, relaxed: only that no two are the same counts. */
static _Atomic uint64_t newest_scope;

static PyObject *
scope_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":_Scope", names)) {
        return NULL;
    }
    scope *made = (scope *)type->tp_alloc(type, 0);
    if (made != NULL) {
        (void)pthread_mutex_init(&made->mutex, NULL);
        made->number = 1 + atomic_fetch_add_explicit(&newest_scope, 1, memory_order_relaxed);
    }
    return (PyObject *)made;
}

static void
lock_scope(scope *of)
{
    (void)pthread_mutex_lock(&of->mutex);
}

static void
unlock_scope(scope *of)
{
    (void)pthread_mutex_unlock(&of->mutex);
}

/* The threads. -------------------------------------------------------------------------------- */

/* Under the mutex. Where the id stands, or `count`. */
static size_t
place_of(const scope *of, uintptr_t thread_id)
{
    size_t i = 0;
    while (i < of->count && of->threads[i] != thread_id) {
        i++;
    }
    return i;
}

/* See to it that there is room for one more. Under the mutex. */
static bool
have_room(scope *of)
{
    if (of->count < of->capacity) {
        return true;
    }
    size_t capacity = of->capacity == 0 ? 1 : 2 * of->capacity;
    uintptr_t *larger = PyMem_RawRealloc(of->threads, capacity * sizeof(*larger));
    if (larger == NULL) {
        return false;
    }
    of->threads = larger;
    of->capacity = capacity;
    return true;
}

/* Note that the calling thread is in it. -1 with an exception set. */
static int
add_thread(scope *of, uintptr_t thread_id)
{
    lock_scope(of);
    bool twice = place_of(of, thread_id) < of->count;
    bool added = !twice && have_room(of);
    if (added) {
        of->threads[of->count++] = thread_id;
        of->was_entered = true;
    }
    unlock_scope(of);
    if (twice) {
        PyErr_Format(PyExc_RuntimeError,
                     "%R has been entered by this thread already, and not left: make an object for "
                     "each block",
                     of);
        return -1;
    }
    if (!added) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static void
remove_thread(scope *of, uintptr_t thread_id)
{
    lock_scope(of);
    size_t place = place_of(of, thread_id);
    if (place < of->count) {
        of->threads[place] = of->threads[--of->count];
    }
    unlock_scope(of);
}

/* Asking. ------------------------------------------------------------------------------------- */

/* Ask that thread, if it is in the scope, for what was asked before. -1 with MemoryError set. */
static int
ask_as_before(mod_state *state, scope *of, uintptr_t thread_id)
{
    lock_scope(of);
    bool asked = of->asked;
    PyObject *exc_type = asked ? Py_XNewRef(of->exc_type) : NULL;
    PyObject *reason = asked ? Py_XNewRef(of->reason) : NULL;
    unlock_scope(of);
    int status = asked ? mod_ask_scope(state, thread_id, of->number, exc_type, reason) : 0;
    Py_XDECREF(exc_type);
    Py_XDECREF(reason);
    return status;
}

/* Note what is asked for. A copy of who is in it, for PyMem_RawFree; NULL with `*count` 0 if nobody
   is. 1: who enters it is asked then, 0: nobody has still to enter it for the first time. -1: there
   is no memory, and nothing is noted. */
static int
note_asked(scope *of, PyObject *exc_type, PyObject *reason, uintptr_t **threads, size_t *count)
{
    lock_scope(of);
    *count = of->count;
    *threads = of->count == 0 ? NULL : PyMem_RawMalloc(of->count * sizeof(**threads));
    bool noted = of->count == 0 || *threads != NULL;
    for (size_t i = 0; i < of->count && noted; i++) {
        (*threads)[i] = of->threads[i];
    }
    if (noted && !of->asked && (of->count > 0 || !of->was_entered)) {
        of->asked = true;
        of->exc_type = Py_XNewRef(exc_type);
        of->reason = Py_XNewRef(reason);
    }
    bool is_new = !of->was_entered;
    unlock_scope(of);
    return noted ? is_new : -1;
}

static PyObject *
scope_interrupt(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"exc_type", "reason", NULL};
    static const mod_signature signature = {"interrupt", names, .positional = 1};
    scope *of = (scope *)self;
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
    int reached = note_asked(of, exc_type, reason, &threads, &count);
    if (reached < 0) {
        return PyErr_NoMemory();
    }
    for (size_t i = 0; i < count && reached >= 0; i++) {
        int asked = mod_ask_scope(state, threads[i], of->number, exc_type, reason);
        reached = asked < 0 ? -1 : reached + asked;
    }
    PyMem_RawFree(threads);
    return reached < 0 ? NULL : PyBool_FromLong(reached);
}

/* Entering. ----------------------------------------------------------------------------------- */

/* The block and all that goes with it. The thread's record flags, or -1 with an exception set and
   nothing changed. */
static int64_t
enter_block(mod_thread *thread, scope *of)
{
    PyObject *self = (PyObject *)of;
    bool outermost = mod_current_lockset() == NULL;
    if (outermost) {
        mod_lockset_begin(&thread->lockset);
    }
    int64_t flags = -1;
    if (mod_lockset_enter_scope(&thread->lockset, self) == 0) {
        flags = mod_enter_scope(thread->tstate, &thread->blocks, thread->record, self, of->number);
        if (flags < 0) {
            mod_lockset_leave_scope(&thread->lockset, self);
        }
    }
    if (flags < 0 && thread->blocks.regions == 0) {
        mod_thread_lockset = NULL;
    }
    return flags;
}

/* Leave it again. -1 with an exception set, and nothing changed. */
static int
leave_block(mod_state *state, mod_thread *thread, scope *of, PyObject *exception, mod_left *left)
{
    PyObject *self = (PyObject *)of;
    int64_t flags =
        mod_leave_scope(thread->tstate, &thread->blocks, thread->record, self, exception, left);
    if (flags < 0) {
        return -1;
    }
    remove_thread(of, thread->record->thread_id);
    mod_lockset_leave_scope(&thread->lockset, self);
    if (thread->blocks.regions == 0) {
        mod_left_regions(state, thread, exception != NULL && left->asked);
    }
    mod_nothing_waits(thread->record);
    mod_settle(state, thread, itr_flags(thread->record));
    return 0;
}

/* The calling thread's; NULL with an exception set. */
static mod_thread *
thread_of_now(mod_state *state)
{
    mod_thread *thread = mod_thread_self;
    return mod_is_thread_of_now(thread) && thread->started ? thread : mod_prepare_blocks(state, 0);
}

static mod_thread *
enter_scope(mod_state *state, scope *of)
{
    mod_thread *thread = thread_of_now(state);
    if (thread == NULL || add_thread(of, thread->record->thread_id) < 0) {
        return NULL;
    }
    if (enter_block(thread, of) < 0) {
        remove_thread(of, thread->record->thread_id);
        return NULL;
    }
    mod_left left;
    if (ask_as_before(state, of, thread->record->thread_id) < 0) {
        mod_raised raised = mod_put_aside();
        (void)leave_block(state, thread, of, NULL, &left);
        mod_put_back(raised);
        return NULL;
    }
    mod_settle(state, thread, itr_flags(thread->record));
    return thread;
}

static PyObject *
scope_enter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    mod_state *state = PyType_GetModuleState(Py_TYPE(self));
    if (enter_scope(state, (scope *)self) == NULL) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The same by `with`: if it is the thread's outermost region and the thread has been asked, that is
   raised (S7). */
static PyObject *
scope_enter_with(PyObject *self, PyObject *Py_UNUSED(unused))
{
    mod_state *state = PyType_GetModuleState(Py_TYPE(self));
    mod_thread *thread = enter_scope(state, (scope *)self);
    if (thread == NULL) {
        return NULL;
    }
    if (itr_level_flags(thread->record, ITR_THREAD) & ITR_REQUESTED) {
        mod_view view;
        mod_left left;
        mod_view_blocks(thread->tstate, &thread->blocks, &view);
        if (view.regions == 1 && view.shields == 0 &&
            (leave_block(state, thread, (scope *)self, NULL, &left) < 0 ||
             mod_raise_request(state, thread->record, MOD_THREAD_LEVEL) < 0)) {
            return NULL;
        }
    }
    return Py_NewRef(self);
}

/* Leaving. ------------------------------------------------------------------------------------ */

static PyObject *
scope_leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    mod_state *state = PyType_GetModuleState(Py_TYPE(self));
    mod_thread *thread = thread_of_now(state);
    PyObject *exception = nargs > 0 && args[0] != Py_None ? args[0] : NULL;
    mod_left left;
    if (thread == NULL || leave_block(state, thread, (scope *)self, exception, &left) < 0) {
        return NULL;
    }
    return PyBool_FromLong(left.asked);
}

static PyObject *
scope_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    mod_state *state = PyType_GetModuleState(Py_TYPE(self));
    mod_thread *thread = thread_of_now(state);
    PyObject *exception = nargs > 1 && args[1] != Py_None ? args[1] : NULL;
    mod_left left;
    if (thread == NULL || leave_block(state, thread, (scope *)self, exception, &left) < 0) {
        return NULL;
    }
    return PyBool_FromLong(left.ends);
}

/* The type. ----------------------------------------------------------------------------------- */

static int
scope_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((scope *)self)->exc_type);
    return 0;
}

static int
scope_clear(PyObject *self)
{
    Py_CLEAR(((scope *)self)->exc_type);
    return 0;
}

static void
scope_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    scope *of = (scope *)self;
    PyObject_GC_UnTrack(self);
    Py_XDECREF(of->exc_type);
    Py_XDECREF(of->reason);
    PyMem_RawFree(of->threads);
    (void)pthread_mutex_destroy(&of->mutex);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(scope_doc,
             "_Scope()\n"
             "--\n\n"
             "A region that can be asked to stop by itself, with what it calls. It is a block:\n"
             "`with` enters and leaves it, or enter() and leave(). What it is asked looks only at\n"
             "what is inside of it (S24), is raised once (S25), and ends where it is left.\n\n"
             "Several threads may be in one at once. A thread enters one object once at a time.");

PyDoc_STRVAR(
    interrupt_doc,
    "interrupt($self, /, exc_type=None, *, reason=None)\n"
    "--\n\n"
    "Ask all that are in the scope to stop, as interrupt(). By any thread.\n\n"
    "True: somebody has been asked, now or before; or nobody has entered it yet: who does\n"
    "is asked then. False: all have left it, and nothing has happened.");

PyDoc_STRVAR(enter_doc,
             "enter($self, /)\n"
             "--\n\n"
             "Enter it. Nothing is raised here for what has been asked.\n\n"
             "RuntimeError: in a generator or coroutine; or this thread is in it already.");

PyDoc_STRVAR(leave_doc,
             "leave($self, exception=None, /)\n"
             "--\n\n"
             "Leave the scope, the innermost block of the calling thread: what was asked of it is\n"
             "forgotten, and only that. Returns whether it was asked.\n\n"
             "RuntimeError: left out of order or in another thread; then nothing has changed.");

PyDoc_STRVAR(enter_with_doc, "__enter__($self, /)\n--\n\nEnter the block in the calling thread.");
PyDoc_STRVAR(exit_doc, "__exit__($self, exc_type, exc_value, traceback, /)\n--\n\n"
                       "Leave the block; swallows what was raised for its own request, and nothing "
                       "else.");

static PyMethodDef scope_methods[] = {
    {"interrupt", _PyCFunction_CAST(scope_interrupt), METH_FASTCALL | METH_KEYWORDS, interrupt_doc},
    {"enter", scope_enter, METH_NOARGS, enter_doc},
    {"leave", _PyCFunction_CAST(scope_leave), METH_FASTCALL, leave_doc},
    {"__enter__", scope_enter_with, METH_NOARGS, enter_with_doc},
    {"__exit__", _PyCFunction_CAST(scope_exit), METH_FASTCALL, exit_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scope_slots[] = {
    {Py_tp_doc, (void *)scope_doc},
    {Py_tp_new, scope_new},
    {Py_tp_methods, scope_methods},
    {Py_tp_traverse, scope_traverse},
    {Py_tp_clear, scope_clear},
    {Py_tp_dealloc, scope_dealloc},
    {0, NULL},
};

static PyType_Spec scope_spec = {
    .name = "interruption._interruption._Scope",
    .basicsize = sizeof(scope),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = scope_slots,
};

int
mod_scope_init(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &scope_spec, NULL);
    int status = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return status;
}
