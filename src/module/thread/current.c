/*
 * See current.h. Here a Python thread's life is tied to its record's.
 *
 * A thread of the operating system can be several Python threads one after the other: each callback
 * of a C library's thread is one. So the record must end with the Python thread, not only with the
 * system's. Each thread that looks gets an *anchor*, an object in its thread state's dictionary
 * that nobody else sees; when CPython clears the state, the anchor goes, and says that the thread
 * has ended. It knows the thread by its names only: it may outlive the record (in the child of a
 * fork), and may be cleared by another thread (at interpreter exit).
 */
#include "thread/current.h"

#include <stddef.h>

#include "cpython/compat.h"
#include "thread/payload.h"

typedef struct {
    PyObject_HEAD itr_thread thread;
} anchor;

static const mod_life *life; /* written once an interpreter, before it is read */

/* The serial of the calling thread whose anchor has gone, 0 before: its state is being cleared, and
   what still runs (`__del__`) must not start a new life that nobody would end. */
static ITR_TLS uint64_t ended_serial;

static void
anchor_dealloc(PyObject *self)
{
    itr_thread thread = ((anchor *)self)->thread;
    PyTypeObject *type = Py_TYPE(self);
    itr_record *own = itr_current();
    if (own != NULL && own->serial == thread.serial) {
        ended_serial = thread.serial;
    }
    life->ends(thread.serial);
    itr_end(thread);
    type->tp_free(self);
    Py_DECREF(type);
    mod_payload_drop_orphans();
}

static PyType_Slot anchor_slots[] = {
    {Py_tp_dealloc, anchor_dealloc},
    {0, NULL},
};

static PyType_Spec anchor_spec = {
    .name = "interruption._interruption._Anchor",
    .basicsize = sizeof(anchor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = anchor_slots,
};

int
mod_current_init(PyObject *module, mod_state *state, const mod_life *told)
{
    life = told;
    state->anchor_key = PyUnicode_InternFromString("interruption._interruption._Anchor");
    if (state->anchor_key == NULL) {
        return -1;
    }
    state->anchor_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &anchor_spec, NULL);
    return state->anchor_type == NULL ? -1 : 0;
}

/* See to it that the dictionary of the calling thread's state holds an anchor. It holds one already
   if no record could be adopted then. */
static int
drop_anchor(mod_state *state, PyObject *dictionary, itr_thread self)
{
    /* No step runs Python code, so nobody else adopts meanwhile: the garbage collector does not
       know the type. */
    int there = PyDict_Contains(dictionary, state->anchor_key);
    if (there != 0) {
        return there < 0 ? -1 : 0;
    }
    anchor *made = PyObject_New(anchor, state->anchor_type);
    if (made == NULL) {
        return -1;
    }
    made->thread = self;
    int status = PyDict_SetItem(dictionary, state->anchor_key, (PyObject *)made);
    Py_DECREF(made);
    return status;
}

itr_record *
mod_current_slow(mod_state *state)
{
    itr_thread self = mod_self();
    if (ended_serial == self.serial && itr_current() != NULL) {
        return itr_current(); /* ended: asked for nothing, and cannot be asked */
    }
    if (state->anchor_type == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "interruption: the interpreter is exiting");
        return NULL;
    }
    PyObject *dictionary =
        PyThreadState_GetDict(); /* borrowed; makes it, which may run a __del__ */
    if (dictionary == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    itr_record *record = itr_current();
    if (record != NULL && !(itr_flags(record) & ITR_ENDED)) {
        return record; /* that __del__ has looked */
    }
    if (drop_anchor(state, dictionary, self) < 0) {
        return NULL;
    }
    record = itr_adopt(self);
    if (record == NULL) {
        PyErr_NoMemory();
    }
    else {
        life->begins(record);
    }
    mod_payload_drop_orphans();
    return record;
}
