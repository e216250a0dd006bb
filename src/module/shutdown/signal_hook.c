/*
 * See signal_hook.h. `handlers_now` is guarded by the mutex. What is set in Python's table, and in
 * the system's, is the main thread's.
 */
#include "shutdown/signal_hook.h"

#include <signal.h>
#include <stdbool.h>

#include "cpython/compat.h"
#include "interpose/interpose.h"
#include "shutdown/signal_handler.h"

enum { WRAP, UNWRAP, SEE, FUNCTIONS };

static struct {
    PyObject *functions[FUNCTIONS]; /* strong; or all NULL */
    PyInterpreterState *interpreter;
} handlers_now;

/* The handler that CPython has for all signals with a handler in Python; NULL: not seen yet. */
static void (*python_handler)(int);

/* A new reference; NULL, and nothing set: nobody wants to know, or we are not in his interpreter.
 */
static PyObject *
function_of(int which)
{
    PyObject *function = NULL;
    mod_mutex_lock(&mod_mutexes.signal_hook);
    if (handlers_now.interpreter == PyInterpreterState_Get()) {
        function = Py_XNewRef(handlers_now.functions[which]);
    }
    mod_mutex_unlock(&mod_mutexes.signal_hook);
    return function;
}

/* The interposed functions. -------------------------------------------------------------------- */

static bool
always_hooked(PyObject *Py_UNUSED(self))
{
    return true;
}

/* What the program is shown of a handler; takes the reference. NULL stays NULL. */
static PyObject *
unwrap(PyObject *handler)
{
    PyObject *function = handler == NULL ? NULL : function_of(UNWRAP);
    if (function == NULL) {
        return handler;
    }
    PyObject *shown = PyObject_CallOneArg(function, handler);
    Py_DECREF(function);
    Py_DECREF(handler);
    return shown;
}

static PyObject *
get_handler(const mod_call *call)
{
    return unwrap(mod_call_original(call));
}

/* Does a _Handler stand around the system's action, which ends the process? It is a
   functools.partial of the program's, of which this runs no Python code. */
static bool
is_fatal(PyObject *set)
{
    PyObject *args = PyObject_GetAttrString(set, "args");
    PyObject *program = args == NULL ? Py_None : PyTuple_GET_ITEM(args, 0);
    bool fatal = PyLong_Check(program) && PyLong_AsLong(program) == (long)SIG_DFL;
    Py_XDECREF(args);
    PyErr_Clear();
    return fatal;
}

/* Let every signal be told of; what has just been set, a handler of ours, is below Python's own. */
static void
look_after(PyObject *object, PyObject *ours)
{
    struct sigaction action;
    int number;
    if (!mod_as_signal(object, &number)) {
        PyErr_Clear(); /* it has been set, so it is one */
        return;
    }
    if (sigaction(number, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
        action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
        python_handler = action.sa_handler;
        mod_look_after_signal(number, &action, false, is_fatal(ours));
    }
}

static PyObject *
set_handler(const mod_call *call)
{
    PyObject *wrap = mod_call_count(call) == 2 ? function_of(WRAP) : NULL;
    if (wrap == NULL) {
        return mod_call_original(call); /* it has the words for it */
    }
    PyObject *number = mod_call_argument(call, 0, NULL);
    PyObject *given = mod_call_argument(call, 1, NULL);
    PyObject *handler = PyObject_CallFunctionObjArgs(wrap, number, given, NULL);
    Py_DECREF(wrap);
    if (handler == NULL) {
        return NULL;
    }
    PyObject *arguments[] = {number, handler};
    PyObject *before = mod_call_again(call, arguments, 2);
    if (before != NULL && handler != given) {
        look_after(number, handler);
    }
    Py_DECREF(handler);
    return unwrap(before);
}

MOD_REPLACEMENT(signal_signal, always_hooked, set_handler);
MOD_REPLACEMENT(signal_getsignal, always_hooked, get_handler);

static const mod_row handler_rows[] = {
    {"_signal", NULL, "signal", &signal_signal, false},
    {"_signal", NULL, "getsignal", &signal_getsignal, false},
    {NULL, NULL, NULL, NULL, false},
};

static mod_family handlers_family = {.name = "signal handlers", .rows = handler_rows};

PyObject *
mod_hook_signals(PyObject *Py_UNUSED(module), PyObject *functions)
{
    PyObject *members[FUNCTIONS] = {NULL};
    if (functions != Py_None) {
        if (!PyArg_ParseTuple(functions, "OOO:_hook_signals", &members[WRAP], &members[UNWRAP],
                              &members[SEE]) ||
            mod_family_enable(&handlers_family) < 0) {
            return NULL;
        }
    }
    PyObject *before[FUNCTIONS];
    mod_mutex_lock(&mod_mutexes.signal_hook);
    for (int i = 0; i < FUNCTIONS; i++) {
        before[i] = handlers_now.functions[i];
        handlers_now.functions[i] = Py_XNewRef(members[i]);
    }
    handlers_now.interpreter = functions == Py_None ? NULL : PyInterpreterState_Get();
    mod_mutex_unlock(&mod_mutexes.signal_hook);
    if (functions == Py_None) {
        mod_family_disable(&handlers_family);
    }
    for (int i = 0; i < FUNCTIONS; i++) {
        Py_XDECREF(before[i]);
    }
    Py_RETURN_NONE;
}

/* In the main thread. -------------------------------------------------------------------------- */

/* Is it neither Python's nor one of the system's? */
static bool
is_foreign(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO ||
           (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN &&
            action->sa_handler != python_handler);
}

static PyObject *
call_original(int number, PyObject *handler)
{
    PyObject *module =
        mod_family_find(&handlers_family) < 0 ? NULL : PyImport_ImportModule("_signal");
    PyObject *arguments[] = {module == NULL ? NULL : PyLong_FromLong(number), handler};
    PyObject *before = NULL;
    if (arguments[0] != NULL) {
        before = mod_call_method(&signal_signal, module, arguments, 2);
    }
    Py_XDECREF(arguments[0]);
    Py_XDECREF(module);
    return before;
}

PyObject *
mod_set_handler(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *handler;
    int number, looked_after;
    if (!PyArg_ParseTuple(args, "O&Op:_set_handler", mod_as_signal, &number, &handler,
                          &looked_after)) {
        return NULL;
    }
    struct sigaction there, set_now;
    bool known = sigaction(number, NULL, &there) == 0;
    (void)mod_handler_below(number, &there, &there);
    PyObject *before = call_original(number, handler);
    if (before == NULL || !known || sigaction(number, NULL, &set_now) != 0) {
        return before;
    }
    if (set_now.sa_handler != SIG_DFL && set_now.sa_handler != SIG_IGN) {
        python_handler = set_now.sa_handler;
    }
    bool foreign = is_foreign(&there);
    if (looked_after) {
        mod_look_after_signal(number, foreign ? &there : &set_now, foreign,
                              !foreign && is_fatal(handler));
    }
    else if (foreign) {
        (void)sigaction(number, &there, NULL);
    }
    return before;
}

PyObject *
mod_set_word(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *handler;
    int number, left;
    if (!PyArg_ParseTuple(args, "O&Op:_leave_word_by", mod_as_signal, &number, &handler, &left)) {
        return NULL;
    }
    struct sigaction there;
    bool known = sigaction(number, NULL, &there) == 0;
    PyObject *before = call_original(number, handler);
    if (before != NULL) {
        if (known) {
            (void)sigaction(number, &there, NULL);
        }
        mod_leave_word_by(left ? number : 0);
    }
    return before;
}

PyObject *
mod_call_handler(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *program, *number, *frame, *see;
    if (!PyArg_ParseTuple(args, "OOO:_call_handler", &program, &number, &frame)) {
        return NULL;
    }
    if ((see = function_of(SEE)) == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *next = PyObject_CallFunctionObjArgs(see, program, number, frame, NULL);
    Py_DECREF(see);
    if (next == NULL || next == Py_None) {
        return next;
    }
    PyObject *result = NULL;
    if (PyExceptionInstance_Check(next)) {
        PyErr_SetObject((PyObject *)Py_TYPE(next), next);
    }
    else {
        result = PyObject_CallFunctionObjArgs(next, number, frame, NULL);
    }
    Py_DECREF(next);
    return result;
}
