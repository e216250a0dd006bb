/*
 * The C API, called with whatever a test wants to call it with: also with an exception set.
 *
 * Every function takes that exception (or None) first and returns (result, exception that is set
 * afterwards or None). Given for an object, the module stands for NULL.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <interruption.h>

static void
set_exception(PyObject *exception)
{
    if (exception != Py_None) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    }
}

static PyObject *
take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *exception = PyErr_GetRaisedException();
#else
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
#endif
    return exception == NULL ? Py_NewRef(Py_None) : exception;
}

static PyObject *
outcome(long result)
{
    return Py_BuildValue("(lN)", result, take_exception());
}

static PyObject *
import(PyObject *Py_UNUSED(module), PyObject *exception)
{
    set_exception(exception);
    return outcome(Interruption_Import());
}

static PyObject *
current_flag(PyObject *Py_UNUSED(module), PyObject *exception)
{
    set_exception(exception);
    const Interruption_Flag *flag = Interruption_CurrentFlag();
    return outcome(flag == NULL ? -1 : Interruption_Requested(flag));
}

static PyObject *
check(PyObject *Py_UNUSED(module), PyObject *exception)
{
    set_exception(exception);
    return outcome(Interruption_Check());
}

static PyObject *
interrupt(PyObject *module, PyObject *args)
{
    PyObject *exception, *exc_type, *reason;
    unsigned long thread_id;
    if (!PyArg_ParseTuple(args, "OkOO:interrupt", &exception, &thread_id, &exc_type, &reason)) {
        return NULL;
    }
    exc_type = exc_type == module ? NULL : exc_type;
    reason = reason == module ? NULL : reason;
    set_exception(exception);
    return outcome(Interruption_Interrupt(thread_id, exc_type, reason));
}

static PyMethodDef methods[] = {
    {"import_api", import, METH_O, "import_api(exception)"},
    {"current_flag", current_flag, METH_O, "current_flag(exception): the flag, looked at."},
    {"check", check, METH_O, "check(exception)"},
    {"interrupt", interrupt, METH_VARARGS,
     "interrupt(exception, thread_id, exc_type, reason); this module stands for NULL."},
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

static PyModuleDef probe_module = {
    PyModuleDef_HEAD_INIT, .m_name = "probe", .m_doc = "The C API, called with anything.",
    .m_methods = methods,  .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_probe(void)
{
    return PyModuleDef_Init(&probe_module);
}
