/*
 * See group.h. A method in Python cannot catch what a signal handler raises in its first line, and
 * whoever called it has no second chance. So `__enter__` and `__exit__` are here, where no handler
 * runs: they call the steps, and `__exit__` calls one again that was broken off, with all that has
 * been raised so far.
 */
#include "api/group.h"

#include <stdbool.h>

#include "cpython/compat.h"

/* So often a step is called for which there is no memory or no room on the stack; or that waits for
   nobody, and fails whatever comes. */
enum { MOST_FAILURES = 100 };

/* Add what is raised to the list, and raise it no more. -1 with an exception set. */
static int
add_raised(PyObject *raised)
{
    PyObject *error = mod_take_raised();
    if (PyList_Append(raised, error) < 0) {
        PyErr_Clear();
        mod_raise_again(error);
        return -1;
    }
    Py_DECREF(error);
    return 0;
}

/* Call the group's method, of `raised` and perhaps one thing more, until it returns. One that
   waits, without that, may be broken off for as long as there are tasks. NULL with an exception
   set: it cannot be called. */
static PyObject *
until_it_returns(PyObject *group, const char *method, PyObject *raised, PyObject *more)
{
    int failures = 0;
    for (;;) {
        PyObject *result = more == NULL ? PyObject_CallMethod(group, method, "O", raised)
                                        : PyObject_CallMethod(group, method, "OO", raised, more);
        if (result != NULL) {
            return result;
        }
        bool hopeless = PyErr_ExceptionMatches(PyExc_RecursionError) ||
                        PyErr_ExceptionMatches(PyExc_MemoryError);
        failures += hopeless || more != NULL;
        if (failures == MOST_FAILURES || add_raised(raised) < 0) {
            return NULL;
        }
    }
}

/* Leave the scope of the block, which `last` leaves, or None. Returns whether that goes no further;
   None if another exception does. NULL with an exception set. */
static PyObject *
leave_body(PyObject *body, PyObject *raised, PyObject *last)
{
    PyObject *type = last == Py_None ? Py_None : (PyObject *)Py_TYPE(last);
    PyObject *ends = PyObject_CallMethod(body, "__exit__", "OOO", type, last, Py_None);
    if (ends == NULL && add_raised(raised) == 0) {
        ends = Py_NewRef(Py_None);
    }
    return ends;
}

/* `_wait` has failed for good, with an exception set, which stays. The scope is left all the same:
   it would be the thread's for ever. */
static void
give_up(PyObject *body, PyObject *raised)
{
    mod_raised error = mod_put_aside();
    Py_XDECREF(leave_body(body, raised, Py_None));
    PyErr_Clear();
    mod_put_back(error);
}

/* See _group.py. Returns what comes out: an exception; True or False: nothing but what the block
   has raised, if that goes on. NULL with an exception set. */
static PyObject *
leave_group(PyObject *group, PyObject *body, PyObject *raised)
{
    PyObject *last = until_it_returns(group, "_wait", raised, NULL);
    if (last == NULL) {
        give_up(body, raised);
        return NULL;
    }
    if (last == Py_False) {
        Py_DECREF(last);
        PyErr_SetString(PyExc_RuntimeError,
                        "a group is left once, by the thread that has entered it");
        return NULL;
    }
    bool plain = last == Py_True;
    PyObject *ends = leave_body(body, raised, plain ? Py_None : last);
    PyObject *outcome = ends == NULL ? NULL
                        : plain && ends != Py_None
                            ? Py_NewRef(ends)
                            : until_it_returns(group, "_outcome", raised, ends);
    Py_DECREF(last);
    Py_XDECREF(ends);
    return outcome;
}

static PyObject *
group_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *body = PyObject_GetAttrString(self, "_body");
    if (body == NULL) { /* without its __init__: then no step can be done, however often */
        return NULL;
    }
    /* What the block has raised, or None; and then what leaving it has. */
    PyObject *raised = PyList_New(1);
    if (raised == NULL) {
        Py_DECREF(body);
        return NULL;
    }
    PyList_SET_ITEM(raised, 0, Py_NewRef(nargs > 1 ? args[1] : Py_None));
    PyObject *outcome = leave_group(self, body, raised);
    Py_DECREF(body);
    if (outcome != NULL && !PyBool_Check(outcome)) {
        mod_raise_again(outcome); /* `_outcome` has made its context */
        outcome = NULL;
    }
    /* What was raised in a step has the step's frame, which has the list. */
    mod_raised error = mod_put_aside();
    (void)PyList_SetSlice(raised, 0, PyList_GET_SIZE(raised), NULL);
    mod_put_back(error);
    Py_DECREF(raised);
    return outcome;
}

static PyObject *
group_enter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *owner = PyObject_CallMethod(self, "_open", NULL);
    PyObject *body = owner == NULL ? NULL : PyObject_GetAttrString(self, "_body");
    PyObject *entered = body == NULL ? NULL : PyObject_CallMethod(body, "__enter__", NULL);
    if (entered != NULL && PyObject_SetAttrString(self, "_owner", owner) < 0) {
        mod_raised error = mod_put_aside();
        Py_XDECREF(PyObject_CallMethod(body, "_leave", NULL));
        PyErr_Clear();
        mod_put_back(error);
        Py_CLEAR(entered);
    }
    Py_XDECREF(owner);
    Py_XDECREF(body);
    if (entered == NULL) {
        return NULL;
    }
    Py_DECREF(entered);
    return Py_NewRef(self);
}

PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\n"
                        "Enter it; raises what the thread has been asked, as allow_interruption.");
PyDoc_STRVAR(exit_doc, "__exit__($self, exc_type, exc_value, traceback, /)\n--\n\n"
                       "Leave it when all tasks have ended.");

static PyMethodDef group_methods[] = {
    {"__enter__", group_enter, METH_NOARGS, enter_doc},
    {"__exit__", _PyCFunction_CAST(group_exit), METH_FASTCALL, exit_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot group_slots[] = {
    {Py_tp_methods, group_methods},
    {0, NULL},
};

static PyType_Spec group_spec = {
    .name = "interruption._interruption._Group",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = group_slots,
};

int
mod_group_init(PyObject *module)
{
    return mod_add_type(module, &group_spec);
}
