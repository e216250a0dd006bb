/*
 * See on_interrupt.h.
 *
 * A thread's callbacks are in a list of its own, guarded by the mutex of the list of threads. Who
 * has made a request, and finds the mark of them in the thread's record, looks at the thread's
 * blocks while it cannot run: if a wait could be interrupted where it is, the callbacks are
 * claimed, so nobody else runs them, and run without a lock. If not, the thread finds the request
 * itself when it opens; either the requester sees the open blocks, or the thread the request, for
 * both look after they have written.
 *
 * Leaving takes a callback out of the list, or if it has been claimed waits until it has returned;
 * so it is never called afterwards. What a callback does is shielded in the thread that runs it:
 * what was asked of that one would be lost in there.
 */
#include "api/on_interrupt.h"

#include "cpython/compat.h"
#include "cpython/main_thread.h"
#include "delivery/obstacles.h"
#include "delivery/raise.h"
#include "delivery/shield.h"

struct mod_callback {
    PyObject_HEAD PyObject *function;
    mod_thread *thread;  /* whose list it is in, or NULL. guarded by the list */
    mod_callback *outer; /* the next in that list. guarded by the list */
    mod_callback *next;  /* of those that one thread has claimed. the claimer's only */
    uint64_t runner;     /* the serial of who has claimed it. guarded by the list */
    enum {
        OUT,     /* not entered */
        ENTERED, /* not called yet */
        CLAIMED, /* being called, or about to be */
        CALLED,
    } stage; /* guarded by the list */
};

/* Running. ------------------------------------------------------------------------------------ */

typedef struct {
    mod_thread *thread;
    bool open;
} look;

static void
look_whether_open(void *arg)
{
    look *at = arg;
    mod_thread *thread = at->thread;
    mod_level level = MOD_THREAD_LEVEL;
    do {
        mod_view view;
        mod_view_level(thread->tstate, &thread->blocks, level, &view);
        at->open = view.regions > 0 && view.shields == 0 && view.waits &&
                   (mod_level_flags(&thread->blocks, thread->record, level) & ITR_PENDING);
    } while (!at->open && mod_next_level(thread->tstate, &thread->blocks, &level));
}

/* With the list's mutex: is a request to end what the thread waits in? */
static bool
is_to_call(mod_thread *thread)
{
    const uint32_t flags = itr_flags(thread->record);
    if ((flags & (ITR_PENDING | ITR_CALLS | ITR_MASKED)) != (ITR_PENDING | ITR_CALLS)) {
        return false;
    }
    look at = {.thread = thread};
    if (thread == mod_thread_self) {
        look_whether_open(&at);
    }
    else {
        mod_while_stopped(look_whether_open, &at);
    }
    return at.open;
}

mod_callback *
mod_claim_callbacks(const itr_record *record)
{
    mod_callback *first = NULL, **last = &first;
    uint64_t self = mod_self().serial;
    mod_lock_threads();
    mod_thread *thread = mod_thread_of(record);
    if (thread != NULL && is_to_call(thread)) {
        for (mod_callback *at = thread->callbacks; at != NULL; at = at->outer) {
            if (at->stage == ENTERED) {
                at->stage = CLAIMED;
                at->runner = self;
                at->next = NULL;
                *last = (mod_callback *)Py_NewRef((PyObject *)at);
                last = &at->next;
            }
        }
    }
    mod_unlock_threads();
    return first;
}

/* False: its thread is not there any more, in the child of a fork. */
static bool
is_wanted(const mod_callback *of)
{
    mod_lock_threads();
    bool wanted = of->thread != NULL;
    mod_unlock_threads();
    return wanted;
}

/* `*later`: what a signal handler has raised meanwhile. */
static void
call(mod_callback *of, PyObject **later)
{
    mod_state *state = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    bool shielded = mod_begin_shield((PyObject *)of);
    PyObject *result = PyObject_CallNoArgs(of->function);
    if (result == NULL && !mod_raised_later(state, later)) {
        PyErr_WriteUnraisable(of->function);
    }
    Py_XDECREF(result);
    if (shielded) {
        mod_end_shield((PyObject *)of);
    }
}

/* Whoever leaves may go on. */
static void
finish_callback(mod_callback *of)
{
    mod_lock_threads();
    of->stage = of->stage == CLAIMED ? CALLED : of->stage;
    if (of->thread != NULL) {
        itr_wake(of->thread->record);
    }
    mod_unlock_threads();
}

/* What has been asked of the calling thread while it was shielded. */
static mod_callback *
claim_own(void)
{
    const mod_thread *self = mod_thread_self;
    const uint32_t asked = ITR_PENDING | ITR_CALLS;
    if (!mod_is_thread_of_now(self) || (itr_flags(self->record) & asked) != asked) {
        return NULL;
    }
    return mod_claim_callbacks(self->record);
}

int
mod_run_callbacks(mod_callback *claimed)
{
    mod_raised raised = mod_put_aside();
    PyObject *later = NULL;
    while (claimed != NULL) {
        mod_callback *of = claimed;
        claimed = of->next;
        if (is_wanted(of)) {
            call(of, &later);
        }
        finish_callback(of);
        Py_DECREF(of);
        if (claimed == NULL) {
            claimed = claim_own();
        }
    }
    mod_put_back(raised);
    return mod_raise_kept(later);
}

int
mod_run_own_callbacks(const mod_thread *thread)
{
    return mod_run_callbacks(mod_claim_callbacks(thread->record));
}

/* Entering. ----------------------------------------------------------------------------------- */

/* May a wait be interrupted where the calling thread is, and has that been asked? Of which level?
 */
static bool
find_deliverable(mod_state *state, mod_thread *thread, mod_level *level)
{
    if ((itr_flags(thread->record) & (ITR_PENDING | ITR_MASKED)) != ITR_PENDING) {
        return false;
    }
    *level = MOD_THREAD_LEVEL;
    do {
        mod_wait_view view;
        if (mod_level_flags(&thread->blocks, thread->record, *level) & ITR_PENDING) {
            mod_view_waits(state, thread, *level, &view);
            if (view.open) {
                return true;
            }
        }
    } while (mod_next_level(thread->tstate, &thread->blocks, level));
    return false;
}

static int
link_callback(mod_callback *self, mod_thread *thread)
{
    mod_lock_threads();
    bool free = self->stage == OUT;
    if (free) {
        self->stage = ENTERED;
        self->thread = thread;
        self->outer = thread->callbacks;
        thread->callbacks = (mod_callback *)Py_NewRef((PyObject *)self);
        itr_set_calls(thread->record, true);
    }
    mod_unlock_threads();
    if (!free) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this on_interrupt block has been entered already, and not left: make an "
                        "object for each block");
        return -1;
    }
    return 0;
}

/* Take it out of the list, when it has returned if it has been claimed. Returns whether it has been
   called, or -1 with RuntimeError set. */
static int
take_out_callback(mod_callback *self, mod_thread *thread)
{
    mod_lock_threads();
    while (thread != NULL && self->thread == thread && self->stage == CLAIMED &&
           self->runner != thread->serial) {
        mod_unlock_threads();
        Py_BEGIN_ALLOW_THREADS(void)
        itr_park(&thread->record->parker, ITR_NEVER); /* until `finish_callback`, or for nothing */
        Py_END_ALLOW_THREADS
        mod_lock_threads();
    }
    bool own = thread != NULL && self->thread == thread;
    bool called = self->stage != ENTERED;
    if (own) {
        mod_callback **place = &thread->callbacks;
        while (*place != self) {
            place = &(*place)->outer;
        }
        *place = self->outer;
        self->stage = OUT;
        self->thread = NULL;
        itr_set_calls(thread->record, thread->callbacks != NULL);
    }
    mod_unlock_threads();
    if (!own) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this on_interrupt block is left where it was not "
                        "entered: leave it once, in the thread that entered it");
        return -1;
    }
    Py_DECREF(self); /* the list's; the caller has another */
    return called;
}

static PyObject *
callback_enter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    mod_state *state = PyType_GetModuleState(Py_TYPE(self));
    mod_thread *thread = mod_thread_self;
    if (!mod_is_thread_of_now(thread)) {
        thread = mod_this_thread_slow(state);
    }
    if (thread == NULL || link_callback((mod_callback *)self, thread) < 0) {
        return NULL;
    }
    /* Who asks from here on finds it. What was asked before is raised instead. */
    mod_level level;
    if (find_deliverable(state, thread, &level) &&
        (take_out_callback((mod_callback *)self, thread) < 0 ||
         mod_raise_request(state, thread->record, level) < 0)) {
        return NULL;
    }
    return Py_NewRef(self);
}

/* Leaving. ------------------------------------------------------------------------------------ */

static PyObject *
callback_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    mod_state *state = PyType_GetModuleState(Py_TYPE(self));
    mod_thread *thread = mod_thread_self;
    if (!mod_is_thread_of_now(thread)) {
        thread = NULL;
    }
    int called = take_out_callback((mod_callback *)self, thread);
    if (called < 0) {
        return NULL;
    }
    assert(thread != NULL); /* else it had not been entered here */
    /* The call that the callback broke off has failed, in words of its own. */
    bool failed = nargs > 0 && PyExceptionClass_Check(args[0]) &&
                  PyType_IsSubtype((PyTypeObject *)args[0], (PyTypeObject *)PyExc_Exception);
    mod_level level;
    if (called && failed && find_deliverable(state, thread, &level) &&
        mod_raise_request(state, thread->record, level) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

void
mod_drop_callbacks(mod_callback *first)
{
    mod_callback *next;
    for (mod_callback *at = first; at != NULL; at = next) {
        mod_lock_threads();
        next = at->outer;
        at->thread = NULL;
        at->stage = OUT;
        mod_unlock_threads();
        Py_DECREF(at);
    }
}

void
mod_settle_callbacks(mod_thread *self)
{
    for (mod_callback *at = self->callbacks; at != NULL; at = at->outer) {
        if (at->stage == CLAIMED && at->runner != self->serial) {
            at->stage = CALLED;
        }
    }
}

/* The type. ----------------------------------------------------------------------------------- */

static PyObject *
callback_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", NULL};
    PyObject *function;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:on_interrupt", names, &function)) {
        return NULL;
    }
    if (!PyCallable_Check(function)) {
        PyErr_Format(PyExc_TypeError, "callback must be callable without arguments, not %.200s",
                     Py_TYPE(function)->tp_name);
        return NULL;
    }
    mod_callback *made = (mod_callback *)type->tp_alloc(type, 0);
    if (made != NULL) {
        made->function = Py_NewRef(function);
    }
    return (PyObject *)made;
}

static int
callback_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((mod_callback *)self)->function);
    return 0;
}

static void
callback_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(((mod_callback *)self)->function);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
callback_repr(PyObject *self)
{
    return PyUnicode_FromFormat("on_interrupt(%R)", ((mod_callback *)self)->function);
}

PyDoc_STRVAR(
    on_interrupt_doc,
    "on_interrupt(callback, /)\n"
    "--\n\n"
    "A block whose call in foreign C code is ended by `callback` (S10).\n\n"
    "    with on_interrupt(connection.interrupt):\n"
    "        connection.execute(query)\n\n"
    "When the thread is asked to stop in a region (and in no shield, and blocking calls are\n"
    "not switched off), whoever asks runs callback(), in their own thread and once; if the\n"
    "thread is shielded then, it runs it itself when the shield ends. Never after the block\n"
    "has been left: leaving waits until a callback that is under way has returned. Its\n"
    "errors reach sys.unraisablehook.\n\n"
    "If the block then ends by an Exception, the request's (ThreadExit) is raised in its\n"
    "place, with the other as its __context__. If it ends normally, the result stands and\n"
    "the request stays pending. Entering with a request that can be delivered raises.\n\n"
    "Nested blocks: all callbacks are run, the innermost first. Outside of regions nothing\n"
    "is called. One object serves one block at a time.\n\n"
    "TypeError: callback cannot be called. RuntimeError: entered twice, or left in another\n"
    "thread than it was entered in.");

PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nEnter the block in the calling thread.");
PyDoc_STRVAR(exit_doc, "__exit__($self, exc_type, exc_value, traceback, /)\n--\n\n"
                       "Leave the block, when no callback is under way any more.");

static PyMethodDef callback_methods[] = {
    {"__enter__", callback_enter, METH_NOARGS, enter_doc},
    {"__exit__", _PyCFunction_CAST(callback_exit), METH_FASTCALL, exit_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot callback_slots[] = {
    {Py_tp_doc, (void *)on_interrupt_doc},
    {Py_tp_new, callback_new},
    {Py_tp_methods, callback_methods},
    {Py_tp_traverse, callback_traverse},
    {Py_tp_dealloc, callback_dealloc},
    {Py_tp_repr, callback_repr},
    {0, NULL},
};

static PyType_Spec callback_spec = {
    .name = "interruption.on_interrupt",
    .basicsize = sizeof(mod_callback),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = callback_slots,
};

int
mod_on_interrupt_init(PyObject *module)
{
    return mod_add_type(module, &callback_spec);
}
