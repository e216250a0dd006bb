/*
 * See with_blocks.h. `__enter__` and `__exit__` are the hot path of a region: a thread that has not
 * been asked pays two thread-local loads and one atomic change of its flags for each.
 *
 * S11 holds because a request is raised by the thread itself, between statements (raise.c):
 * while `__exit__` runs, no statement begins, and after it the block is not in force.
 */
#include "api/with_blocks.h"

#include <stddef.h>

#include "blocking/families.h"
#include "api/on_interrupt.h"
#include "cpython/compat.h"
#include "delivery/arming.h"
#include "delivery/events.h"
#include "thread/left_locked.h"
#include "api/polling.h"
#include "delivery/raise.h"
#include "delivery/shield.h"
#include "thread/target.h"
#include "safepoints/self_test.h"

typedef struct {
    PyObject_HEAD uint8_t kind; /* MOD_BLOCK_... */
    uint8_t number;             /* in all_blocks */
} block;

/* All that there are. `_arguments.py` finds by its options the one that a call is to return. */
static const struct {
    const char *name; /* in the module */
    const char *repr;
    uint8_t kind;
} all_blocks[] = {
    {"allow_interruption", "allow_interruption", 0},
    {"_allow_waits", "allow_interruption(async_interrupt=False)", MOD_BLOCK_NO_STATEMENTS},
    {"_allow_statements", "allow_interruption(io_interrupt=False)", MOD_BLOCK_NO_WAITS},
    {"_allow_neither", "allow_interruption(async_interrupt=False, io_interrupt=False)",
     MOD_BLOCK_NO_STATEMENTS | MOD_BLOCK_NO_WAITS},
    {"_allow_in_program", "_allow_in_program", MOD_BLOCK_PROGRAM},
    {"defer_interruption", "defer_interruption", MOD_BLOCK_SHIELD},
};

static mod_state *
state_of(PyObject *self)
{
    return (mod_state *)PyType_GetModuleState(Py_TYPE(self));
}

/* What concerns more than the blocks themselves: the thread has been asked. */
static const uint32_t NOTEWORTHY = ITR_REQUESTED | ITR_ARMED;

/* Entering. ----------------------------------------------------------------------------------- */

/* A region has been entered by a thread that has been asked: if it is an outermost one that no
   shield is around, leave it and raise (S7). 0, or -1 with an exception set. */
static int
enter_region_asked(mod_state *state, mod_thread *thread, PyObject *self)
{
    mod_view view;
    mod_view_blocks(thread->tstate, &thread->blocks, &view);
    if (view.regions > 1 || view.shields > 0) {
        return 0;
    }
    int64_t flags = mod_leave_block(thread->tstate, &thread->blocks, thread->record, self);
    if (flags < 0) {
        return -1;
    }
    if (thread->blocks.regions == 0) {
        mod_thread_lockset = NULL; /* nothing ran since it was set */
    }
    mod_settle(state, thread, (uint32_t)flags);
    return mod_check(state);
}

/* To be called between statements, if a region lets requests in there. Where the interpreter ends,
   and its modules are gone, nobody asks any more: it does without. 0, or -1 with an exception set.
 */
static int
start_statements(mod_state *state, bool statements)
{
    int status = mod_self_test_once();
    if (status == 0 && statements && !mod_statements_are_refused()) {
        status = mod_events_start(state, mod_deliver);
    }
    if (status < 0 && mod_is_finalizing()) {
        PyErr_Clear();
        status = 0;
    }
    return status;
}

/* A first region connects us to the interpreter: to be called between statements, and where calls
   block. 0, or -1 with an exception set. */
static int
start_regions(mod_state *state, mod_thread *thread, uint8_t kind)
{
    bool statements = !(kind & MOD_BLOCK_NO_STATEMENTS);
    if (thread->started || (kind & MOD_BLOCK_SHIELD)) {
        return 0;
    }
    if (start_statements(state, statements) < 0 || mod_blocking_start() < 0) {
        return -1;
    }
    thread->started = statements && mod_blocking_is_complete();
    return 0;
}

MOD_SELDOM mod_thread *
mod_prepare_blocks(mod_state *state, uint8_t kind)
{
    mod_thread *thread = mod_thread_self;
    if (!mod_is_thread_of_now(thread)) {
        thread = mod_this_thread_slow(state);
        if (thread == NULL) {
            return NULL;
        }
    }
    return start_regions(state, thread, kind) < 0 ? NULL : thread;
}

/* A block has been entered by a thread that has been asked. 0, or -1 with an exception set: it has
   been left again. */
MOD_SELDOM static int
entered_asked(mod_thread *thread, PyObject *self, uint32_t flags)
{
    mod_state *state = state_of(self);
    mod_settle(state, thread, flags);
    const uint8_t calm = MOD_BLOCK_SHIELD | MOD_BLOCK_PROGRAM;
    if ((flags & ITR_REQUESTED) && !(((block *)self)->kind & calm)) {
        return enter_region_asked(state, thread, self);
    }
    return 0;
}

static PyObject *
block_enter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    mod_thread *thread = mod_thread_self;
    if (!mod_is_thread_of_now(thread) || !thread->started) {
        thread = mod_prepare_blocks(state_of(self), ((block *)self)->kind);
        if (thread == NULL) {
            return NULL;
        }
    }
    int64_t flags = mod_enter_block(thread->tstate, &thread->blocks, thread->record, self,
                                    ((block *)self)->kind);
    if (flags < 0) {
        return NULL;
    }
    if (thread->blocks.regions > 0 && mod_current_lockset() == NULL) {
        mod_lockset_begin(&thread->lockset);
    }
    if ((flags & NOTEWORTHY) && entered_asked(thread, self, (uint32_t)flags) < 0) {
        return NULL;
    }
    return Py_NewRef(self);
}

/* Leaving. ------------------------------------------------------------------------------------ */

/* Leave a block of a thread that has been asked. Leaving the outermost shield raises what waits,
   unless the block raises already, or S9 forbids it here: then it waits on (S12). */
MOD_SELDOM static int
leave_asked(mod_state *state, mod_thread *thread, const block *left, bool raising, uint32_t flags)
{
    const mod_moment here = {.moment = MOD_AT_EXIT};
    int status = 0;
    if ((flags & ITR_PENDING) && (flags & ITR_CALLS)) {
        status = mod_run_own_callbacks(thread);
        flags = itr_flags(thread->record);
    }
    if (status == 0 && (left->kind & MOD_BLOCK_SHIELD) && !raising && (flags & ITR_PENDING) &&
        mod_deliver(state, thread, here) < 0) {
        return -1;
    }
    mod_settle(state, thread, flags);
    return status;
}

static inline void
left_regions(mod_state *state, mod_thread *thread, bool stopped)
{
    mod_thread_lockset = NULL;
    if (!mod_lockset_is_clear(&thread->lockset)) {
        if (stopped) {
            mod_leave_locked(state, thread);
        }
        mod_lockset_clear(&thread->lockset);
    }
}

void
mod_left_regions(mod_state *state, mod_thread *thread, bool stopped)
{
    left_regions(state, thread, stopped);
}

/* So many blocks a frame may have lost; one that could not be left is not tried for ever. */
enum { MOST_LOST = 100 };

void
mod_leave_lost(mod_thread *thread, const PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 3 || args[0] == Py_None) {
        return;
    }
    for (int most = MOST_LOST; most > 0; most--) {
        PyObject *lost = mod_lost_block(thread->tstate, &thread->blocks, self);
        if (lost == NULL) {
            return;
        }
        /* What it would make of the exception is not for who has not come to its block. */
        Py_XDECREF(PyObject_CallMethod(lost, "__exit__", "OOO", args[0], args[1], args[2]));
        PyErr_Clear();
        Py_DECREF(lost);
    }
}

static PyObject *
block_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    mod_thread *thread = mod_thread_self;
    if (!mod_is_thread_of_now(thread)) {
        thread = mod_this_thread_slow(state_of(self));
        if (thread == NULL) {
            return NULL;
        }
    }
    mod_leave_lost(thread, self, args, nargs);
    int64_t flags = mod_leave_block(thread->tstate, &thread->blocks, thread->record, self);
    if (flags < 0) {
        return NULL;
    }
    bool raising = nargs > 0 && args[0] != Py_None;
    if (thread->blocks.regions == 0) {
        left_regions(state_of(self), thread, raising && (flags & ITR_REQUESTED));
    }
    if ((flags & NOTEWORTHY) &&
        leave_asked(state_of(self), thread, (block *)self, raising, (uint32_t)flags) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Options, decorating. ------------------------------------------------------------------------ */

/* Call the Python part of that name with the block, and what else is not NULL. */
static PyObject *
in_python(const char *name, PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *module = mod_module_of_ours("interruption._arguments");
    PyObject *function = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    PyObject *result =
        function == NULL ? NULL : PyObject_CallFunctionObjArgs(function, self, args, kwargs, NULL);
    Py_XDECREF(function);
    Py_XDECREF(module);
    return result;
}

static PyObject *
block_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return in_python("call_block", self, args, kwargs);
}

static PyObject *
block_repr(PyObject *self)
{
    return PyUnicode_FromString(all_blocks[((block *)self)->number].repr);
}

/* Pickled, and copied, by its name. */
static PyObject *
block_reduce(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyUnicode_FromString(all_blocks[((block *)self)->number].name);
}

/* What inspect.signature() finds. */
static PyObject *
block_signature(PyObject *self, void *Py_UNUSED(closure))
{
    return in_python("signature_of_block", self, NULL, NULL);
}

static void
block_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A thread's switches. ------------------------------------------------------------------------ */

/* A thread that has not begun its run() yet has nothing to set: it asks for its switches when it
   does. Returns what is to be run now that a request may be let in. */
static mod_callback *
set_switches(mod_state *state, itr_record *record, uint32_t switches)
{
    mod_lock_threads();
    mod_thread *thread = mod_thread_of(record);
    if (thread != NULL) {
        atomic_store_explicit(&thread->switches, switches, memory_order_relaxed);
        itr_mask_waits(record, (switches & MOD_NO_WAITS) != 0);
    }
    mod_unlock_threads();
    itr_wake(record); /* what waits looks anew */
    const uint32_t waiting = ITR_PENDING | ITR_CANCELABLE;
    if ((itr_flags(record) & waiting) == waiting) {
        mod_stop_where_it_is(state, record);
    }
    return itr_flags(record) & ITR_CALLS ? mod_claim_callbacks(record) : NULL;
}

static bool
is_calling_thread(const mod_target *target)
{
    return target->record != NULL ? target->record == itr_current()
                                  : target->thread.serial == mod_self().serial;
}

PyObject *
mod_switch(PyObject *module, PyObject *args)
{
    mod_state *state = mod_get_state(module);
    PyObject *object;
    int statements, waits;
    if (!PyArg_ParseTuple(args, "Opp:_switch", &object, &statements, &waits)) {
        return NULL;
    }
    mod_target target;
    PyObject *otherwise;
    if (!mod_find_live(state, object, &target, Py_None, &otherwise)) {
        return otherwise;
    }
    bool made = !is_calling_thread(&target) || mod_is_thread_of_now(mod_thread_self) ||
                mod_this_thread_slow(state) != NULL;
    itr_record *record = is_calling_thread(&target) ? itr_current() : target.record;
    mod_callback *claimed = NULL;
    if (made && record != NULL) {
        claimed = set_switches(state, record,
                               (statements ? 0 : MOD_NO_STATEMENTS) | (waits ? 0 : MOD_NO_WAITS));
    }
    mod_release_target(&target);
    if (mod_run_callbacks(claimed) < 0 || !made) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The types. ---------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    allow_doc,
    "A region: the block of `with allow_interruption:` may be interrupted.\n\n"
    "A thread that interrupt() is called for raises ThreadExit inside the block, between\n"
    "two statements of it or of what it calls; never inside the standard library, while\n"
    "it holds a lock that it took in the block, in `finally`, `except`, the entry or exit\n"
    "of a `with`, in `__del__`, a weak reference's callback or an import: there it waits\n"
    "for the next safe point (S9). If the thread has been asked already, entering\n"
    "raises and the block is not run (S7). A region delivers a request once: cleanup is\n"
    "left alone, until interrupt() is called again (S8). Leaving never raises (S11).\n\n"
    "Also called with options, and as a decorator of functions of any kind:\n\n"
    "async_interrupt: False leaves blocking calls only.\n"
    "io_interrupt: False leaves statements only (S14).\n\n"
    "Nested regions count as one, and each switches off what it says for its block.\n"
    "Reentrant; one object serves all threads. In a generator or coroutine it is in force\n"
    "only while that runs (S21).\n\n"
    "RuntimeError: left out of order or in another thread than it was entered in; or, on\n"
    "entry, no tool id of sys.monitoring is free.");

PyDoc_STRVAR(
    defer_doc,
    "A shield: the block of `with defer_interruption:` is not interrupted.\n\n"
    "Not by a region inside or around it, nor by check_interrupt(). Leaving the outermost\n"
    "shield in a region raises what was asked meanwhile, unless the block raises something\n"
    "else: then that wins, and the request stays pending (S12). Also as a decorator, and\n"
    "called without arguments. Otherwise as allow_interruption.");

PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nEnter the block in the calling thread.");
PyDoc_STRVAR(exit_doc, "__exit__($self, exc_type, exc_value, traceback, /)\n--\n\n"
                       "Leave the block; never swallows an exception.");

PyDoc_STRVAR(reduce_doc, "__reduce__($self, /)\n--\n\nHelper for pickle.");

static PyMethodDef block_methods[] = {
    {"__enter__", block_enter, METH_NOARGS, enter_doc},
    {"__exit__", _PyCFunction_CAST(block_exit), METH_FASTCALL, exit_doc},
    {"__reduce__", block_reduce, METH_NOARGS, reduce_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef block_getset[] = {
    {"__signature__", block_signature, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* One of the types: a new reference, or NULL with an exception set. */
static PyTypeObject *
add_block_type(PyObject *module, const char *name, const char *doc)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)doc},
        {Py_tp_methods, block_methods},
        {Py_tp_getset, block_getset},
        {Py_tp_call, block_call},
        {Py_tp_repr, block_repr},
        {Py_tp_dealloc, block_dealloc},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = name,
        .basicsize = sizeof(block),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type != NULL && PyModule_AddType(module, type) < 0) {
        Py_CLEAR(type);
    }
    return type;
}

int
mod_with_blocks_init(PyObject *module)
{
    PyTypeObject *allow =
        add_block_type(module, "interruption._interruption._AllowInterruption", allow_doc);
    PyTypeObject *defer =
        allow == NULL
            ? NULL
            : add_block_type(module, "interruption._interruption._DeferInterruption", defer_doc);
    int status = defer == NULL ? -1 : 0;
    for (size_t i = 0; status == 0 && i < sizeof(all_blocks) / sizeof(*all_blocks); i++) {
        uint8_t kind = all_blocks[i].kind;
        block *made = PyObject_New(block, kind & MOD_BLOCK_SHIELD ? defer : allow);
        status = -1;
        if (made != NULL) {
            made->kind = kind;
            made->number = (uint8_t)i;
            status = PyModule_AddObjectRef(module, all_blocks[i].name, (PyObject *)made);
            Py_DECREF(made);
        }
    }
    Py_XDECREF(allow);
    Py_XDECREF(defer);
    return status;
}
