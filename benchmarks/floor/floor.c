/*
 * What the benchmarks are measured against: the least that a call from Python costs, and a loop in
 * C with and without a poll.
 *
 * floor.empty() does nothing. floor.poll_loop(rounds) and floor.empty_loop(rounds) are one loop of
 * rounds * floor.UNROLLED steps, without the GIL; the first polls at every step, the second does
 * not.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <interruption.h>

enum {
    UNROLLED = 8, /* steps in a round: as many as EIGHT_TIMES says */
};
#define EIGHT_TIMES(step) step step step step step step step step

/* Keeps a step that does nothing, and keeps the compiler from moving anything past a step. */
#define BARRIER() __asm__ volatile("" ::: "memory")

static PyObject *
empty(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_NONE;
}

/* The argument of the loops: 0, or -1 with an exception set. */
static int
rounds_of(PyObject *argument, unsigned long long *rounds)
{
    *rounds = PyLong_AsUnsignedLongLong(argument);
    return *rounds == (unsigned long long)-1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *
poll_loop(PyObject *Py_UNUSED(module), PyObject *argument)
{
    unsigned long long rounds;
    const Interruption_Flag *flag;
    if (rounds_of(argument, &rounds) < 0 || (flag = Interruption_CurrentFlag()) == NULL) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    for (; rounds > 0; rounds--) {
        EIGHT_TIMES(BARRIER(); if (Interruption_Requested(flag)) goto out;)
    }
out:;
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLongLong(rounds);
}

static PyObject *
empty_loop(PyObject *Py_UNUSED(module), PyObject *argument)
{
    unsigned long long rounds;
    if (rounds_of(argument, &rounds) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    for (; rounds > 0; rounds--) {
        EIGHT_TIMES(BARRIER();)
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLongLong(rounds);
}

static PyMethodDef methods[] = {
    {"empty", empty, METH_NOARGS, "Do nothing."},
    {"poll_loop", poll_loop, METH_O,
     "Run the loop with a poll at every step; returns the rounds left: 0."},
    {"empty_loop", empty_loop, METH_O, "Run the loop without polls; returns the rounds left: 0."},
    {NULL, NULL, 0, NULL},
};

static int
exec_module(PyObject *module)
{
    if (Interruption_Import() < 0) {
        return -1;
    }
    return PyModule_AddIntConstant(module, "UNROLLED", UNROLLED);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec_module},
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef floor_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "floor",
    .m_doc = "The floor that the benchmarks are measured against.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_floor(void)
{
    return PyModuleDef_Init(&floor_module);
}
