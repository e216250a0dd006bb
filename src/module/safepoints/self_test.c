/* See self_test.h. */
#include "safepoints/self_test.h"

#include <stdatomic.h>

#include "cpython/compat.h"
#include "cpython/frame.h"
#include "safepoints/code.h"

/* atomic: relaxed, nothing else hangs on it. */
static _Atomic enum { NOT_TESTED, WELL, REFUSED } verdict;

int
mod_self_test_once(void)
{
    if (atomic_load_explicit(&verdict, memory_order_relaxed) != NOT_TESTED) {
        return 0;
    }
    const char *strange = mod_strange_layout();
    strange = strange == NULL ? mod_strange_frames() : strange;
    PyObject *module = PyImport_ImportModule("interruption._self_test");
    PyObject *reason =
        module == NULL ? NULL : PyObject_CallMethod(module, "find_refusal", "z", strange);
    Py_XDECREF(module);
    if (reason == NULL) {
        /* Without memory some compilers fail so. What else it is, a signal handler has raised. In
           either case the next region tries again. */
        bool no_memory = PyErr_ExceptionMatches(PyExc_MemoryError) ||
                         PyErr_ExceptionMatches(PyExc_RecursionError) ||
                         PyErr_ExceptionMatches(PyExc_SystemError) ||
                         PyErr_ExceptionMatches(PyExc_ImportError);
        if (no_memory) {
            PyErr_Clear();
        }
        return no_memory ? 0 : -1;
    }
    atomic_store_explicit(&verdict, reason == Py_None ? WELL : REFUSED, memory_order_relaxed);
    Py_DECREF(reason);
    return 0;
}

bool
mod_statements_are_refused(void)
{
    return atomic_load_explicit(&verdict, memory_order_relaxed) == REFUSED;
}

PyObject *
mod_safepoints_method(PyObject *Py_UNUSED(module), PyObject *args)
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
