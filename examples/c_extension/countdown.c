/*
 * An extension whose long loop can be asked to stop.
 *
 * countdown.countdown(n) counts down without the GIL and looks for a request at every step;
 * countdown.countdown_attached(n) does so with it; countdown.ask(thread_id, ...) asks from C.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <interruption.h>

static PyObject *
countdown(PyObject *Py_UNUSED(module), PyObject *argument)
{
    unsigned long long left = PyLong_AsUnsignedLongLong(argument);
    if (left == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    const Interruption_Flag *flag = Interruption_CurrentFlag();
    if (flag == NULL) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    while (left > 0 && !Interruption_Requested(flag)) {
        left--;
    }
    Py_END_ALLOW_THREADS
    if (Interruption_Check() < 0) {
        return NULL; /* here is where what was made so far would be freed */
    }
    return PyLong_FromUnsignedLongLong(left);
}

static PyObject *
countdown_attached(PyObject *Py_UNUSED(module), PyObject *argument)
{
    unsigned long long left = PyLong_AsUnsignedLongLong(argument);
    if (left == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    for (; left > 0; left--) {
        if (Interruption_Check() < 0) {
            return NULL;
        }
        if (left % 4096 == 0) {
            /* Nobody can ask, nor do anything else, while the GIL is held: let the others in. */
            Py_BEGIN_ALLOW_THREADS
            Py_END_ALLOW_THREADS
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
ask(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned long thread_id;
    PyObject *exc_type = NULL, *reason = NULL;
    if (!PyArg_ParseTuple(args, "k|OO:ask", &thread_id, &exc_type, &reason)) {
        return NULL;
    }
    int asked = Interruption_Interrupt(thread_id, exc_type, reason);
    return asked < 0 ? NULL : PyBool_FromLong(asked);
}

static PyMethodDef methods[] = {
    {"countdown", countdown, METH_O,
     "Count down from n without the GIL; returns what was left: 0."},
    {"countdown_attached", countdown_attached, METH_O, "Count down from n with the GIL."},
    {"ask", ask, METH_VARARGS, "ask(thread_id[, exc_type[, reason]]): interrupt() from C."},
    {NULL, NULL, 0, NULL},
};

static int
exec_module(PyObject *Py_UNUSED(module))
{
    return Interruption_Import();
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec_module},
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef countdown_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "countdown",
    .m_doc = "Long loops in C that can be asked to stop.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_countdown(void)
{
    return PyModuleDef_Init(&countdown_module);
}
