/*
 * The C API, called with whatever a test wants to call it with: also with an exception set.
 *
 * Every function takes that exception (or None) first and returns (result, exception that is set
 * afterwards or None). Given for an object, the module stands for NULL.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <sched.h>
#include <time.h>

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

static PyObject *
enter_scope(PyObject *module, PyObject *args)
{
    PyObject *exception, *scope;
    if (!PyArg_ParseTuple(args, "OO:enter_scope", &exception, &scope)) {
        return NULL;
    }
    set_exception(exception);
    return outcome(Interruption_EnterScope(scope == module ? NULL : scope));
}

static PyObject *
leave_scope(PyObject *module, PyObject *args)
{
    PyObject *exception, *scope;
    if (!PyArg_ParseTuple(args, "OO:leave_scope", &exception, &scope)) {
        return NULL;
    }
    set_exception(exception);
    return outcome(Interruption_LeaveScope(scope == module ? NULL : scope));
}

static PyObject *
interrupt_scope(PyObject *module, PyObject *args)
{
    PyObject *exception, *scope, *exc_type, *reason;
    if (!PyArg_ParseTuple(args, "OOOO:interrupt_scope", &exception, &scope, &exc_type, &reason)) {
        return NULL;
    }
    set_exception(exception);
    return outcome(Interruption_InterruptScope(scope == module ? NULL : scope,
                                               exc_type == module ? NULL : exc_type,
                                               reason == module ? NULL : reason));
}

static PyObject *
current_deadline(PyObject *Py_UNUSED(module), PyObject *exception)
{
    double when = -1;
    set_exception(exception);
    int status = Interruption_CurrentDeadline(&when);
    return Py_BuildValue("(idN)", status, when, take_exception());
}

/* (the scope, its result or NULL) of a call in a block of C's. */
static PyObject *
call_in_scope(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *exception, *function;
    double seconds;
    if (!PyArg_ParseTuple(args, "OdO:call_in_scope", &exception, &seconds, &function)) {
        return NULL;
    }
    set_exception(exception);
    PyObject *scope = Interruption_NewScope(seconds);
    if (scope == NULL) {
        return outcome(-2);
    }
    if (exception != Py_None) { /* it stays set: nothing may be called then */
        Py_DECREF(scope);
        return outcome(-3);
    }
    if (Interruption_EnterScope(scope) < 0) {
        Py_DECREF(scope);
        return outcome(-4);
    }
    PyObject *result = PyObject_CallOneArg(function, scope);
    Py_XDECREF(result);
    int left = Interruption_LeaveScope(scope);
    Py_DECREF(scope);
    return outcome(left);
}

/* A wait of C's own, which ends by the caller's deadline, and then raises what that has asked. */
static PyObject *
wait_in_c(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    double when;
    if (Interruption_CurrentDeadline(&when) < 0) {
        return NULL;
    }
    struct timespec until = {.tv_sec = (time_t)when};
    until.tv_nsec = (long)((when - (double)until.tv_sec) * 1e9);
    int error;
    Py_BEGIN_ALLOW_THREADS
    do {
        error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    } while (error == EINTR);
    Py_END_ALLOW_THREADS
    while (Interruption_Check() == 0) { /* whoever sees to the deadline may be later than we are */
        Py_BEGIN_ALLOW_THREADS(void)
        sched_yield();
        Py_END_ALLOW_THREADS
    }
    return NULL;
}

static PyMethodDef methods[] = {
    {"enter_scope", enter_scope, METH_VARARGS, "enter_scope(exception, scope)"},
    {"leave_scope", leave_scope, METH_VARARGS, "leave_scope(exception, scope)"},
    {"interrupt_scope", interrupt_scope, METH_VARARGS,
     "interrupt_scope(exception, scope, exc_type, reason)"},
    {"current_deadline", current_deadline, METH_O, "current_deadline(exception)"},
    {"call_in_scope", call_in_scope, METH_VARARGS, "call_in_scope(exception, seconds, function)"},
    {"wait_in_c", wait_in_c, METH_NOARGS, "wait_in_c()"},
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
