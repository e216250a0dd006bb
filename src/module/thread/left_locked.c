/* See left_locked.h. */
#include "thread/left_locked.h"

#include "cpython/compat.h"
#include "cpython/frame.h"

/* What one region was left with. Immutable, but that others release what is in it. */
typedef struct {
    PyObject_HEAD mod_lockset locks;
    unsigned long ident; /* of the thread */
} left;

static void
left_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    mod_lockset_destroy(&((left *)self)->locks);
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

PyDoc_STRVAR(places_doc,
             "places($self, /)\n"
             "--\n\n"
             "Where the locks were taken that are still locked, and that anybody knows: a\n"
             "list of (filename, line, function).");

static PyMethodDef left_methods[] = {
    {"places", left_places, METH_NOARGS, places_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot left_slots[] = {
    {Py_tp_dealloc, left_dealloc},
    {Py_tp_methods, left_methods},
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
    if (mod_lockset_leave(&thread->lockset, &made->locks)) {
        PyObject *teller = PyImport_ImportModule("interruption._left");
        PyObject *kept =
            teller == NULL ? NULL : PyObject_CallMethod(teller, "keep", "O", (PyObject *)made);
        if (kept == NULL) {
            PyErr_WriteUnraisable((PyObject *)made);
        }
        Py_XDECREF(teller);
        Py_XSETREF(thread->left, kept);
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
    PyObject *done = PyObject_CallMethod(kept, "tell", NULL);
    if (done == NULL) {
        PyErr_WriteUnraisable(kept); /* where warnings are errors */
    }
    Py_XDECREF(done);
    mod_put_back(raised);
}
