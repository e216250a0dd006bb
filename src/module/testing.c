/*
 * See testing.h. A thread that tracks has its list in a capsule in its thread state's
 * dictionary, which goes when the thread ends, wherever it is then.
 */
#include "testing.h"

#include <unistd.h>

#include "thread/thread.h"

#include "blocking/interposed.h"
#include "thread/held_locks.h"
#include "safepoints/code.h"

#define CAPSULE "interruption._interruption._tracker"

static void
free_tracker(PyObject *capsule)
{
    mod_lockset *set = PyCapsule_GetPointer(capsule, CAPSULE);
    if (mod_thread_lockset == set) {
        mod_thread_lockset = NULL;
    }
    mod_lockset_destroy(set);
    PyMem_RawFree(set);
}

PyObject *
mod_testing_interpose(PyObject *Py_UNUSED(module), PyObject *args)
{
    int process, on;
    if (!PyArg_ParseTuple(args, "pp", &process, &on)) {
        return NULL;
    }
    mod_family *family = process ? &mod_process_locks : &mod_locks;
    bool before = mod_family_enabled(family);
    if (!on) {
        mod_family_disable(family);
    }
    else if (mod_family_enable(family) < 0) {
        return NULL;
    }
    return PyBool_FromLong(before);
}

static PyObject *
begin_tracking(PyObject *dictionary)
{
    mod_lockset *set = PyMem_RawCalloc(1, sizeof(*set));
    if (set == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *capsule = PyCapsule_New(set, CAPSULE, free_tracker);
    if (capsule == NULL) {
        PyMem_RawFree(set);
        return NULL;
    }
    if (PyDict_SetItemString(dictionary, CAPSULE, capsule) < 0) {
        Py_DECREF(capsule);
        return NULL;
    }
    set->thread_state = PyThreadState_Get();
    mod_lockset_begin(set);
    return capsule;
}

PyObject *
mod_testing_track(PyObject *Py_UNUSED(module), PyObject *on)
{
    int wanted = PyObject_IsTrue(on);
    PyObject *dictionary = PyThreadState_GetDict();
    if (wanted < 0 || dictionary == NULL) {
        return wanted < 0 ? NULL : PyErr_NoMemory();
    }
    mod_lockset *set = mod_thread_lockset;
    if (wanted && set == NULL) {
        return begin_tracking(dictionary);
    }
    if (wanted) {
        PyErr_SetString(PyExc_RuntimeError, "this thread tracks already");
        return NULL;
    }
    if (set != NULL) {
        mod_thread_lockset = NULL;
        mod_lockset_clear(set);
        if (PyDict_DelItemString(dictionary, CAPSULE) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

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
    if (set == NULL || !mod_holds_lock(set, &code, &lasti)) {
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
mod_testing_held_by(PyObject *Py_UNUSED(module), PyObject *tracker)
{
    mod_lockset *set = PyCapsule_GetPointer(tracker, CAPSULE);
    PyObject *lock, *code;
    int lasti;
    if (set == NULL) {
        return NULL;
    }
    if (!mod_other_holds_lock(set, &lock, &code, &lasti)) {
        Py_RETURN_NONE;
    }
    PyObject *where = place(code, lasti);
    PyObject *result = where == NULL ? NULL : PyTuple_Pack(2, lock, where);
    Py_XDECREF(where);
    Py_XDECREF(code);
    Py_DECREF(lock);
    return result;
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

PyObject *
mod_testing_safepoints(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyCodeObject *code;
    int since = -1;
    if (!PyArg_ParseTuple(args, "O!|i:_safepoints", &PyCode_Type, &code, &since)) {
        return NULL;
    }
    const mod_code *known = mod_code_of(code);
    PyObject *list = known == NULL ? NULL : PyList_New(0);
    Py_ssize_t size = list == NULL ? 0 : 2 * Py_SIZE(code);
    for (int offset = 0; offset < size; offset += 2) {
        PyObject *item =
            Py_BuildValue("(iIii)", offset, mod_safepoint_flags(known->points, offset),
                          (int)mod_safepoint_cleanup(known->points, offset, since),
                          (int)mod_safepoint_cleanup_outside(known->points, offset, since));
        int failed = item == NULL ? -1 : PyList_Append(list, item);
        Py_XDECREF(item);
        if (failed) {
            Py_CLEAR(list);
            break;
        }
    }
    return list;
}
