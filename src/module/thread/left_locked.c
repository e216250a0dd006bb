/* See left_locked.h. */
#include "thread/left_locked.h"

#include "cpython/compat.h"
#include "cpython/frame.h"
#include "cpython/main_thread.h"

/* What one region was left with: in a capsule. Immutable, but that others release what is in it. */
typedef struct {
    mod_lockset locks;
    unsigned long ident; /* of the thread */
} left;

static const char capsule_name[] = "interruption._left";

static void
left_goes(PyObject *capsule)
{
    left *of = PyCapsule_GetPointer(capsule, capsule_name);
    mod_lockset_destroy(&of->locks);
    PyMem_RawFree(of);
}

PyObject *
mod_left_places(PyObject *Py_UNUSED(module), PyObject *capsule)
{
    const left *of = PyCapsule_GetPointer(capsule, capsule_name);
    PyObject *list = of == NULL ? NULL : PyList_New(0);
    const mod_held_lock *held = of == NULL ? NULL : of->locks.innermost;
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
    PyObject *all = made == NULL ? NULL : PyTuple_New(count + 1);
    if (all == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *each = PyTuple_GET_ITEM(before, i);
        if (is_any_left(PyCapsule_GetPointer(PyTuple_GET_ITEM(each, 1), capsule_name))) {
            PyTuple_SET_ITEM(all, kept++, Py_NewRef(each));
        }
    }
    PyTuple_SET_ITEM(all, kept++, Py_NewRef(made));
    (void)_PyTuple_Resize(&all, kept);
    return all;
}

/* With the thread's name, or None: it has no `Thread`. Where `_left.py` finds it, and in the thread
   for its end. Without memory it is not told. */
static void
keep(mod_state *state, mod_thread *thread, PyObject *capsule)
{
    PyObject *attributes = attributes_of_thread(state);
    PyObject *name = mod_find_named(attributes, "_name");
    PyObject *made = PyTuple_Pack(2, name == NULL ? Py_None : name, capsule);
    PyObject *all = add_to(thread->left, made);
    PyObject *key = all == NULL ? NULL : PyUnicode_InternFromString("_interruption_left");
    if (key != NULL && attributes != NULL) {
        (void)PyDict_SetItem(attributes, key, all);
    }
    PyErr_Clear();
    Py_XDECREF(key);
    Py_XDECREF(made);
    Py_XDECREF(name);
    Py_XDECREF(attributes);
    if (all != NULL) {
        Py_XSETREF(thread->left, all);
    }
}

void
mod_leave_locked(mod_state *state, mod_thread *thread)
{
    left *made = PyMem_RawCalloc(1, sizeof(*made));
    PyObject *capsule = made == NULL ? NULL : PyCapsule_New(made, capsule_name, left_goes);
    if (capsule == NULL) {
        PyMem_RawFree(made);
        PyErr_Clear(); /* no memory: nobody is told, then */
        return;
    }
    made->ident = PyThread_get_thread_ident();
    if (mod_lockset_leave(&thread->lockset, &made->locks)) {
        int enabled = mod_pause_collector();
        keep(state, thread, capsule);
        mod_resume_collector(enabled);
    }
    Py_DECREF(capsule);
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
