/*
 * See current.h. Here a Python thread's life is tied to its record's.
 *
 * A thread of the operating system can be several Python threads one after the other: each callback
 * of a C library's thread is one. So the record must end with the Python thread, not only with the
 * system's. Each thread that looks gets an *anchor*, a capsule in its thread state's dictionary
 * that nobody else sees; when CPython clears the state, the anchor goes, and says that the thread
 * has ended. It knows the thread by its names only: it may outlive the record (in the child of a
 * fork), and may be cleared by another thread (at interpreter exit).
 */
#include "thread/current.h"

#include <stddef.h>

#include "cpython/compat.h"
#include "thread/payload.h"

static const mod_life *life; /* written once an interpreter, before it is read */

/* The serial of the calling thread whose anchor has gone, 0 before: its state is being cleared, and
   what still runs (`__del__`) must not start a new life that nobody would end. */
static ITR_TLS uint64_t ended_serial;

static void
anchor_goes(PyObject *anchor)
{
    itr_thread *thread = PyCapsule_GetPointer(anchor, NULL);
    const itr_record *own = itr_current();
    if (own != NULL && own->serial == thread->serial) {
        ended_serial = thread->serial;
    }
    life->ends(thread->serial);
    itr_end(*thread);
    PyMem_RawFree(thread);
    mod_payload_drop_orphans();
}

int
mod_current_init(mod_state *state, const mod_life *told)
{
    life = told;
    state->anchor_key = PyUnicode_InternFromString("interruption._interruption._Anchor");
    return state->anchor_key == NULL ? -1 : 0;
}

/* See to it that the dictionary of the calling thread's state holds an anchor. It holds one already
   if no record could be adopted then. */
static int
drop_anchor(mod_state *state, PyObject *dictionary, itr_thread self)
{
    /* No step runs Python code, so nobody else adopts meanwhile: a capsule is none that the garbage
       collector runs for. */
    int there = PyDict_Contains(dictionary, state->anchor_key);
    if (there != 0) {
        return there < 0 ? -1 : 0;
    }
    itr_thread *names = PyMem_RawMalloc(sizeof(*names));
    PyObject *made = names == NULL ? PyErr_NoMemory() : PyCapsule_New(names, NULL, anchor_goes);
    if (made == NULL) {
        PyMem_RawFree(names);
        return -1;
    }
    *names = self;
    int status = PyDict_SetItem(dictionary, state->anchor_key, made);
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
    if (state->anchor_key == NULL) {
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
