/* See left_locked.h. */
#include "thread/left_locked.h"

#include "cpython/compat.h"
#include "cpython/frame.h"
#include "cpython/main_thread.h"

/* What one region was left with. Immutable, but that others release what is in it. */
typedef struct {
    PyObject_HEAD mod_lockset locks;
    unsigned long ident; /* of the thread */
    PyObject *name;      /* its name; strong, or NULL: it has no `Thread` */
} left;

static void
left_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    mod_lockset_destroy(&((left *)self)->locks);
    Py_XDECREF(((left *)self)->name);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
left_places(PyObject *self, PyObject *Py_UNUSED(unused))
{
    const left *of = (left *)self;
    PyObject *list = PyList_New(0);
    const mod_held_lock *held = of->locks.innermost;
    for (; list != NULL && held != NULL; held = held->outer) {
        if (held->code == NULL || !mod_is_left(&of->locks, held, of->ident)) {
            continue;
        }
        PyObject *place = mod_describe_place((PyCodeObject *)held->code, held->lasti);
        if (place == NULL || PyList_Append(list, place) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(place);
    }
    if (list != NULL && PyList_Reverse(list) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

static PyObject *
left_name(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *name = ((left *)self)->name;
    return Py_NewRef(name == NULL ? Py_None : name);
}

PyDoc_STRVAR(places_doc,
             "places($self, /)\n"
             "--\n\n"
             "Where the locks were taken that are still locked, and that anybody knows: a\n"
             "list of (filename, line, function).");

static PyMethodDef left_methods[] = {
    {"places", left_places, METH_NOARGS, places_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef left_getset[] = {
    {"name", left_name, NULL, PyDoc_STR("The thread's; None if it has no `Thread`."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot left_slots[] = {
    {Py_tp_dealloc, left_dealloc},
    {Py_tp_methods, left_methods},
    {Py_tp_getset, left_getset},
    {0, NULL},
};

static PyType_Spec left_spec = {
    .name = "interruption._interruption._Left",
    .basicsize = sizeof(left),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = left_slots,
};

int
mod_left_init(PyObject *module, mod_state *state)
{
    state->left_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &left_spec, NULL);
    return state->left_type == NULL ? -1 : PyModule_AddType(module, state->left_type);
}

/* Keeping. ------------------------------------------------------------------------------------ */

/* Is something of it still locked? Where it was taken does not matter. */
static bool
is_any_left(const left *of)
{
    const mod_held_lock *held = of->locks.innermost;
    while (held != NULL && !mod_is_left(&of->locks, held, of->ident)) {
        held = held->outer;
    }
    return held != NULL;
}

/* The attributes of the calling thread's `Thread`: a new reference, or NULL: it has none. */
static PyObject *
attributes_of_thread(mod_state *state)
{
    PyObject *module = state->threading == NULL ? NULL : PyModule_GetDict(state->threading);
    PyObject *active = mod_find_named(module, "_active");
    PyObject *ident = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    PyObject *thread = NULL;
    if (active != NULL && PyDict_Check(active) && ident != NULL) {
        (void)mod_get_item(active, ident, &thread);
    }
    PyObject *attributes = thread == NULL ? NULL : PyObject_GenericGetDict(thread, NULL);
    PyErr_Clear();
    Py_XDECREF(thread);
    Py_XDECREF(ident);
    Py_XDECREF(active);
    return attributes;
}

/* A tuple of those before that are still locked, and the new one. NULL with MemoryError set. */
static PyObject *
add_to(PyObject *before, PyObject *made)
{
    Py_ssize_t count = before == NULL ? 0 : PyTuple_GET_SIZE(before), kept = 0;
    PyObject *all = PyTuple_New(count + 1);
    if (all == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *each = PyTuple_GET_ITEM(before, i);
        if (is_any_left((left *)each)) {
            PyTuple_SET_ITEM(all, kept++, Py_NewRef(each));
        }
    }
    PyTuple_SET_ITEM(all, kept++, Py_NewRef(made));
    (void)_PyTuple_Resize(&all, kept);
    return all;
}

/* Where `_left.py` finds it, and in the thread for its end. Without memory it is not told. */
static void
keep(mod_state *state, mod_thread *thread, left *made)
{
    PyObject *attributes = attributes_of_thread(state);
    made->name = mod_find_named(attributes, "_name");
    PyObject *all = add_to(thread->left, (PyObject *)made);
    PyObject *key = all == NULL ? NULL : PyUnicode_InternFromString("_interruption_left");
    if (key != NULL && attributes != NULL) {
        (void)PyDict_SetItem(attributes, key, all);
    }
    PyErr_Clear();
    Py_XDECREF(key);
    Py_XDECREF(attributes);
    if (all != NULL) {
        Py_XSETREF(thread->left, all);
    }
}

void
mod_leave_locked(mod_state *state, mod_thread *thread)
{
    left *made = state->left_type == NULL ? NULL : PyObject_New(left, state->left_type);
    if (made == NULL) {
        PyErr_Clear(); /* no memory, or the interpreter exits: nobody is told, then */
        return;
    }
    made->locks = (mod_lockset){.count = 0};
    made->ident = PyThread_get_thread_ident();
    made->name = NULL;
    if (mod_lockset_leave(&thread->lockset, &made->locks)) {
        int enabled = mod_pause_collector();
        keep(state, thread, made);
        mod_resume_collector(enabled);
    }
    Py_DECREF(made);
}

void
mod_tell_left(PyObject *kept)
{
    if (kept == NULL) {
        return;
    }
    mod_raised raised = mod_put_aside();
    PyObject *teller = PyImport_ImportModule("interruption._left");
    if (teller == NULL) {
        PyErr_Clear(); /* the interpreter exits, and has no modules any more */
    }
    else {
        PyObject *done = PyObject_CallMethod(teller, "tell", "(O)", kept);
        if (done == NULL) {
            PyErr_WriteUnraisable(kept); /* where warnings are errors */
        }
        Py_XDECREF(done);
        Py_DECREF(teller);
    }
    mod_put_back(raised);
}
