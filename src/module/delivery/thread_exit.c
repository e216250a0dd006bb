/*
 * See thread_exit.h.
 *
 * ThreadExit is a SystemExit whose only argument is its reason: `.reason` is `.args[0]`, so
 * pickling, copying and printing agree with it. Its `.code` stays None.
 *
 * S13 says that it ends a thread in silence, as SystemExit does. threading.excepthook is silent for
 * SystemExit itself only, not for its subclasses, so the default hook is exchanged for one that
 * knows ThreadExit as well; not at import, which changes nothing (S17), but whenever an instance is
 * made and the default hook is in place. A hook that the user has put there is left alone: it is
 * given every SystemExit too.
 */
#include "delivery/thread_exit.h"

#include "cpython/compat.h"

PyDoc_STRVAR(
    thread_exit_doc,
    "ThreadExit(reason=None)\n"
    "--\n\n"
    "The thread was asked to stop.\n\n"
    "Raised in a thread that interrupt() or interrupt_all_threads() was called for: by\n"
    "check_interrupt(), in a region, or on entering one. It is a SystemExit: unhandled in\n"
    "a thread it ends the thread in silence, unhandled in the main thread it ends the\n"
    "program, and `except Exception` does not swallow it (S13).\n\n"
    "reason: the text given by whoever asked, or None; also as the attribute `reason`.");

PyDoc_STRVAR(reason_doc, "Why the thread was asked to stop: a str, or None.");

static PyObject *
base_args(PyObject *self)
{
    return ((PyBaseExceptionObject *)self)->args;
}

int
mod_check_reason(PyObject *reason)
{
    if (reason != Py_None && !PyUnicode_Check(reason)) {
        PyErr_Format(PyExc_TypeError, "reason must be a str or None, not %.200s",
                     Py_TYPE(reason)->tp_name);
        return -1;
    }
    return 0;
}

static int
set_args(PyObject *self, PyObject *reason)
{
    PyObject *args = reason == Py_None ? PyTuple_New(0) : PyTuple_Pack(1, reason);
    if (args == NULL) {
        return -1;
    }
    int status = ((PyTypeObject *)PyExc_BaseException)->tp_init(self, args, NULL);
    Py_DECREF(args);
    return status;
}

static PyObject *
get_reason(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *args = base_args(self);
    PyObject *reason =
        args != NULL && PyTuple_GET_SIZE(args) > 0 ? PyTuple_GET_ITEM(args, 0) : Py_None;
    return Py_NewRef(reason);
}

static int
set_reason(PyObject *self, PyObject *reason, void *Py_UNUSED(closure))
{
    if (reason == NULL) {
        reason = Py_None;
    }
    return mod_check_reason(reason) < 0 ? -1 : set_args(self, reason);
}

static int
keep_threads_silent(mod_state *state)
{
    if (state == NULL || state->threading == NULL) {
        return 0; /* exiting: no thread ends by an exception any more */
    }
    PyObject *standard = PyObject_GetAttrString(state->threading, "__excepthook__");
    if (standard == NULL) {
        return -1;
    }
    PyObject *hook = PyObject_GetAttrString(state->threading, "excepthook");
    int status = hook == NULL ? -1 : 0;
    if (status == 0 && hook == standard) {
        PyObject *module = mod_module_of_ours("interruption._thread_exit");
        PyObject *ours = module == NULL ? NULL : PyObject_GetAttrString(module, "excepthook");
        if (ours == NULL || PyObject_SetAttrString(state->threading, "excepthook", ours) < 0) {
            PyErr_Clear(); /* exiting, or no memory: the next one tries again */
        }
        Py_XDECREF(ours);
        Py_XDECREF(module);
    }
    Py_XDECREF(hook);
    Py_DECREF(standard);
    return status;
}

static int
thread_exit_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"reason", NULL};
    PyObject *reason = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:ThreadExit", names, &reason) ||
        mod_check_reason(reason) < 0 || set_args(self, reason) < 0) {
        return -1;
    }
    return keep_threads_silent(atomic_load_explicit(&mod_state_now, memory_order_acquire));
}

static int
thread_exit_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return ((PyTypeObject *)PyExc_SystemExit)->tp_traverse(self, visit, arg);
}

static int
thread_exit_clear(PyObject *self)
{
    return ((PyTypeObject *)PyExc_SystemExit)->tp_clear(self);
}

static PyGetSetDef thread_exit_getset[] = {
    {"reason", get_reason, set_reason, reason_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot thread_exit_slots[] = {
    {Py_tp_doc, (void *)thread_exit_doc},   {Py_tp_init, thread_exit_init},
    {Py_tp_traverse, thread_exit_traverse}, {Py_tp_clear, thread_exit_clear},
    {Py_tp_getset, thread_exit_getset},     {0, NULL},
};

static PyType_Spec thread_exit_spec = {
    .name = "interruption.ThreadExit",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = thread_exit_slots,
};

int
mod_thread_exit_init(PyObject *module, mod_state *state)
{
    state->thread_exit =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &thread_exit_spec, PyExc_SystemExit);
    return state->thread_exit == NULL ? -1 : PyModule_AddType(module, state->thread_exit);
}

/* Give an exception of somebody else's class its `.reason`; what it has already stays, if there is
 * none. */
static int
set_foreign_reason(PyObject *exception, PyObject *reason)
{
    if (reason == NULL) {
        PyObject *there = PyObject_GetAttrString(exception, "reason");
        if (there != NULL) {
            Py_DECREF(there);
            return 0;
        }
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        reason = Py_None;
    }
    return PyObject_SetAttrString(exception, "reason", reason);
}

static PyObject *
make_exception(mod_state *state, PyObject *exc_type, PyObject *reason)
{
    if (exc_type == NULL) {
        /* NULL while the interpreter exits; the thread must stop all the same. */
        PyObject *type =
            state->thread_exit != NULL ? (PyObject *)state->thread_exit : PyExc_SystemExit;
        return reason != NULL ? PyObject_CallOneArg(type, reason) : PyObject_CallNoArgs(type);
    }
    PyObject *exception = PyObject_CallNoArgs(exc_type);
    if (exception == NULL) {
        return NULL;
    }
    if (!PyExceptionInstance_Check(exception)) {
        PyErr_Format(PyExc_TypeError, "calling %R should have returned an exception, not %.200s",
                     exc_type, Py_TYPE(exception)->tp_name);
        Py_DECREF(exception);
        return NULL;
    }
    if (set_foreign_reason(exception, reason) < 0) {
        Py_DECREF(exception);
        return NULL;
    }
    return exception;
}

PyObject *
mod_raise(mod_state *state, PyObject *exc_type, PyObject *reason)
{
    PyObject *exception = make_exception(state, exc_type, reason);
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    }
    return exception;
}

PyObject *
mod_make_exception(PyObject *module, PyObject *args)
{
    PyObject *exc_type, *reason;
    if (!PyArg_ParseTuple(args, "OO:_make_exception", &exc_type, &reason)) {
        return NULL;
    }
    return make_exception(mod_get_state(module), exc_type, reason == Py_None ? NULL : reason);
}

int
mod_check_exc_type(PyObject *exc_type, PyObject *reason)
{
    PyObject *module = mod_module_of_ours("interruption._thread_exit");
    PyObject *good = module == NULL ? NULL
                                    : PyObject_CallMethod(module, "check_exc_type", "OO", exc_type,
                                                          reason == NULL ? Py_None : reason);
    Py_XDECREF(good);
    Py_XDECREF(module);
    return good == NULL ? -1 : 0;
}
