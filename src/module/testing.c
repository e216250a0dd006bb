/* See testing.h. */
#include "testing.h"

#include <unistd.h>

#include "api/scope.h"
#include "thread/thread.h"

#include "thread/held_locks.h"
#include "thread/target.h"

static PyObject *
place(PyObject *code, int lasti)
{
    if (code == NULL) {
        return Py_BuildValue("(Oi)", Py_None, -1);
    }
    return Py_BuildValue("(Oi)", ((PyCodeObject *)code)->co_filename,
                         PyCode_Addr2Line((PyCodeObject *)code, lasti));
}

/* From the outermost to the innermost: (type, file, line), of what an owner sees. */
PyObject *
mod_testing_held(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    mod_lockset *set = mod_current_lockset();
    PyObject *list = PyList_New(0);
    mod_held_lock *held = set == NULL ? NULL : set->innermost;
    for (; list != NULL && held != NULL; held = held->outer) {
        if (!mod_is_held(set, held)) {
            continue;
        }
        PyObject *where = place(held->code, held->lasti);
        PyObject *item = where == NULL ? NULL
                                       : Py_BuildValue("(sNN)", Py_TYPE(held->object)->tp_name,
                                                       PySequence_GetItem(where, 0),
                                                       PySequence_GetItem(where, 1));
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
        Py_XDECREF(where);
    }
    if (list != NULL && PyList_Reverse(list) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

PyObject *
mod_testing_held_place(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    mod_lockset *set = mod_current_lockset();
    PyObject *code;
    int lasti;
    if (set == NULL || !mod_holds_lock(set, 0, &code, &lasti)) {
        Py_RETURN_NONE;
    }
    PyObject *result = place(code, lasti);
    Py_XDECREF(code);
    return result;
}

/* (noted, memory for so many) */
PyObject *
mod_testing_held_size(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    const mod_lockset *set = mod_current_lockset();
    if (set == NULL) {
        Py_RETURN_NONE;
    }
    Py_ssize_t memory = (Py_ssize_t)set->count;
    for (const mod_held_lock *one = set->free; one != NULL; one = one->outer) {
        memory++;
    }
    return Py_BuildValue("(nn)", (Py_ssize_t)set->count, memory);
}

PyObject *
mod_testing_held_by(PyObject *module, PyObject *ident)
{
    mod_target target;
    PyObject *otherwise, *lock, *code, *where = NULL;
    int lasti;
    if (!mod_find_live(mod_get_state(module), ident, &target, Py_None, &otherwise)) {
        return otherwise;
    }
    mod_lock_threads();
    const mod_thread *thread = mod_thread_of(target.record);
    bool holds = mod_other_holds_lock(&thread->lockset, 0, &lock, &code, &lasti);
    mod_unlock_threads();
    if (holds) {
        where = Py_BuildValue("(NN)", lock, place(code, lasti));
        Py_XDECREF(code);
    }
    mod_release_target(&target);
    return holds ? where : Py_NewRef(Py_None);
}

/* It is the parent's still; the child's was made free by fork() itself, or it would have hung. */
PyObject *
mod_testing_fork_while_locked(PyObject *Py_UNUSED(module), PyObject *fork)
{
    pid_t parent = getpid();
    mod_lock_threads();
    PyObject *pid = PyObject_CallNoArgs(fork);
    if (getpid() == parent) {
        mod_unlock_threads();
    }
    return pid;
}

/* What is to be called when a scope is being entered: strong, or NULL. By one thread at a time. */
static PyObject *while_entering;

static void
call_while_entering(void)
{
    mod_scope_entering = NULL;
    PyObject *function = while_entering;
    while_entering = NULL;
    PyObject *result = PyObject_CallNoArgs(function);
    if (result == NULL) {
        PyErr_WriteUnraisable(function);
    }
    Py_XDECREF(result);
    Py_DECREF(function);
}

PyObject *
mod_testing_while_entering(PyObject *Py_UNUSED(module), PyObject *function)
{
    Py_XSETREF(while_entering, Py_NewRef(function));
    mod_scope_entering = call_while_entering;
    Py_RETURN_NONE;
}
