/*
 * See scope.h. Whether a request still finds the scope is decided under the mutex of the thread's
 * record, where the thread leaves it, too: so it reaches the scope or nobody.
 *
 * The object knows the thread by its id only, for it may outlive the record (in the child of a
 * fork); what other thread has the id by then is not in that scope. Its members are constant.
 */
#include "api/scope.h"

#include <stddef.h>

#include "cpython/fastcall.h"
#include "thread/current.h"
#include "thread/payload.h"
#include "delivery/raise.h"
#include "api/requests.h"

typedef struct {
    PyObject_HEAD uintptr_t thread_id;
    uint64_t number;
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
    itr_record *record = mod_current(PyType_GetModuleState(type));
    if (record == NULL) {
        return NULL;
    }
    scope *made = (scope *)type->tp_alloc(type, 0);
    if (made == NULL) {
        return NULL;
    }
    made->thread_id = record->thread_id;
    made->number = 1 + atomic_fetch_add_explicit(&newest_scope, 1, memory_order_relaxed);
    if (record->level_count > 1) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the calling thread is in a scope already: leave that one first");
        Py_CLEAR(made);
    }
    else if (!itr_enter_scope(record, made->number)) {
        PyErr_NoMemory();
        Py_CLEAR(made);
    }
    return (PyObject *)made;
}

static PyObject *
scope_interrupt(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"exc_type", "reason", NULL};
    static const mod_signature signature = {"interrupt", names, .positional = 1};
    const scope *of = (scope *)self;
    mod_state *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *places[2];
    if (mod_sort_arguments(&signature, args, nargs, kwnames, places) < 0) {
        return NULL;
    }
    PyObject *exc_type = places[0] == Py_None ? NULL : places[0], *reason = places[1];
    if (mod_check_request(state, &exc_type, &reason) < 0) {
        return NULL;
    }
    int asked = mod_ask_scope(state, of->thread_id, of->number, exc_type, reason);
    return asked < 0 ? NULL : PyBool_FromLong(asked);
}

static PyObject *
scope_leave(PyObject *self, PyObject *Py_UNUSED(unused))
{
    itr_record *record = itr_current();
    itr_payload *dropped = NULL;
    bool asked = false;
    if (record != NULL && itr_leave_scope(record, ((scope *)self)->number, &asked, &dropped)) {
        mod_nothing_waits(record);
    }
    mod_payload_drop(dropped);
    return PyBool_FromLong(asked);
}

static void
scope_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(scope_doc,
             "_Scope()\n"
             "--\n\n"
             "A stretch of the calling thread's life, from now to `leave()`, that can be\n"
             "asked to stop by itself. RuntimeError: the thread is in one already.");

PyDoc_STRVAR(interrupt_doc,
             "interrupt($self, /, exc_type=None, *, reason=None)\n"
             "--\n\n"
             "Ask the thread to stop, as interrupt(), if it has not left the scope yet.\n\n"
             "True: it has been asked, now or before. False: it is too late, and nothing has\n"
             "happened. By any thread.");

PyDoc_STRVAR(leave_doc,
             "leave($self, /)\n"
             "--\n\n"
             "Leave the scope: what was asked of it is forgotten, and only that. Returns whether\n"
             "it was asked. By its own thread; leaving twice is leaving once, and then False.");

static PyMethodDef scope_methods[] = {
    {"interrupt", _PyCFunction_CAST(scope_interrupt), METH_FASTCALL | METH_KEYWORDS, interrupt_doc},
    {"leave", scope_leave, METH_NOARGS, leave_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scope_slots[] = {
    {Py_tp_doc, (void *)scope_doc},
    {Py_tp_new, scope_new},
    {Py_tp_methods, scope_methods},
    {Py_tp_dealloc, scope_dealloc},
    {0, NULL},
};

static PyType_Spec scope_spec = {
    .name = "interruption._interruption._Scope",
    .basicsize = sizeof(scope),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
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
