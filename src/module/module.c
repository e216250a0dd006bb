/*
 * The module `interruption._interruption`: its methods, its parts put together, and its end.
 */
#include "cpython/seconds.h"
#include "blocking/families.h"
#include "api/on_interrupt.h"
#include "api/capi.h"
#include "safepoints/code.h"
#include "cpython/compat.h"
#include "cpython/frame.h"
#include "thread/current.h"
#include "delivery/obstacles.h"
#include "shutdown/process_end.h"
#include "delivery/events.h"
#include "api/explain.h"
#include "api/group.h"
#include "shutdown/futures.h"
#include "thread/held_locks.h"
#include "thread/left_locked.h"
#include "lifecycle.h"
#include "api/polling.h"
#include "safepoints/making.h"
#include "shutdown/late_threads.h"
#include "shutdown/signal_handler.h"
#include "thread/payload.h"
#include "safepoints/protected.h"
#include "thread/regions.h"
#include "api/requests.h"
#include "api/scope.h"
#include "api/scope_requests.h"
#include "api/scope_types.h"
#include "delivery/rearm.h"
#include "safepoints/self_test.h"
#include "shutdown/signal_hook.h"
#include "thread/thread.h"
#include "delivery/thread_exit.h"
#include "api/with_blocks.h"
#include "testing.h"

PyDoc_STRVAR(module_doc, "The compiled part of interruption. Import `interruption` instead.");

PyDoc_STRVAR(
    interrupt_doc,
    "interrupt($module, thread, exc_type=..., *, reason=None)\n"
    "--\n\n"
    "Ask a thread to stop. Returns at once; never waits for the thread (S1).\n\n"
    "thread: a threading.Thread, or a thread's ident as threading.get_ident() returns it.\n"
    "exc_type: what the thread raises when the request is delivered; a subclass of\n"
    "    BaseException that can be called without arguments. ThreadExit unless given (S2).\n"
    "reason: a str that the exception carries as `.reason`, or None (S2).\n\n"
    "Returns True if the request is new. False if one was waiting to be delivered already\n"
    "(that one is kept, with its exc_type and reason), or if the thread has finished.\n\n"
    "RuntimeError: the thread was not started. ValueError: no live Python thread has that\n"
    "ident. TypeError: another type of argument. In each case nothing has changed.\n\n"
    "If the thread is in on_interrupt blocks, their callbacks are run, here (S10).\n\n"
    "Safe from any thread, from signal handlers and from __del__ (S20).");

PyDoc_STRVAR(interrupt_all_threads_doc,
             "interrupt_all_threads($module, /, reason=None)\n"
             "--\n\n"
             "Ask every live Python thread but the calling one to stop (S3).\n\n"
             "Threads that never used the library are asked as well: if they look later, they see\n"
             "it.\n\n"
             "reason: a str that the delivered ThreadExit carries as `.reason`, or None.\n\n"
             "Returns how many threads were asked, those included that had been asked before.");

PyDoc_STRVAR(mod_requested_doc,
             "interruption_requested($module, /)\n"
             "--\n\n"
             "Has the calling thread been asked to stop?\n\n"
             "Stays True, also after check_interrupt() has raised, until clear_interrupt() (S4).");

PyDoc_STRVAR(check_interrupt_doc,
             "check_interrupt($module, /)\n"
             "--\n\n"
             "Raise ThreadExit if the calling thread has been asked to stop; else do nothing.\n\n"
             "Raises what the request asks for, by every call until clear_interrupt(), in regions\n"
             "and outside. Inside a shield it does not raise (S5).");

PyDoc_STRVAR(clear_interrupt_doc,
             "clear_interrupt($module, /)\n"
             "--\n\n"
             "Forget the calling thread's request: it has decided to carry on (S6).\n\n"
             "Returns True if there was one.");

PyDoc_STRVAR(wait_for_interruption_doc,
             "wait_for_interruption($module, /, timeout=None)\n"
             "--\n\n"
             "Sleep until the calling thread is asked to stop (S15).\n\n"
             "timeout: seconds, zero or more; zero does not sleep. None and infinity: no limit.\n"
             "Returns True as soon as there is a request (at once if there is one already), or\n"
             "False when the time is up. Does not raise ThreadExit. In the main thread signal\n"
             "handlers run meanwhile, and their exceptions come out.\n\n"
             "ValueError: negative, or NaN. TypeError: not a number.");

PyDoc_STRVAR(mod_fd_doc,
             "interruption_fd($module, /)\n"
             "--\n\n"
             "A file descriptor that is readable while the calling thread has a request (S16).\n\n"
             "For the thread's own select, poll, epoll or asyncio loop. Every call in a thread\n"
             "returns the same one. It is the library's: do not close it, nor read it; it turns\n"
             "unreadable by clear_interrupt(), and is closed when the thread ends. If something\n"
             "has closed it, the next call returns another.\n\n"
             "OSError: the system has no descriptor left.");

PyDoc_STRVAR(current_deadline_doc,
             "current_deadline($module, /)\n"
             "--\n\n"
             "The earliest deadline in force where the calling thread is, on time.monotonic()'s\n"
             "clock; math.inf if there is none (S27).\n\n"
             "That of a scope outside of a shield is not in force in there, nor one that has\n"
             "stopped its block already.");

/* A method that only this package calls: the header that declares the function says what it does.
   It has the signature that the stubs are checked against. */
#define PRIVATE(name, function, flags, arguments)                                                  \
    {name, function, flags, name "($module" arguments ", /)\n--\n\n"}
#define KEYWORDS(function) _PyCFunction_CAST(function), METH_VARARGS | METH_KEYWORDS

static PyMethodDef methods[] = {
    {"interrupt", KEYWORDS(mod_interrupt), interrupt_doc},
    {"interrupt_all_threads", KEYWORDS(mod_interrupt_all_threads), interrupt_all_threads_doc},
    {"interruption_requested", mod_requested, METH_NOARGS, mod_requested_doc},
    {"check_interrupt", mod_check_interrupt, METH_NOARGS, check_interrupt_doc},
    {"clear_interrupt", mod_clear_interrupt, METH_NOARGS, clear_interrupt_doc},
    {"wait_for_interruption", KEYWORDS(mod_wait), wait_for_interruption_doc},
    {"current_deadline", mod_current_deadline, METH_NOARGS, current_deadline_doc},
    {"interruption_fd", mod_fd, METH_NOARGS, mod_fd_doc},
    PRIVATE("_until_all_are_asked", mod_until_all_are_asked, METH_NOARGS, ""),
    PRIVATE("_begin_shutdown", mod_begin_shutdown, METH_VARARGS,
            ", reason, origin, and_late_threads, once"),
    PRIVATE("_ask", mod_ask_in_shutdown, METH_VARARGS, ", thread, reason, origin"),
    PRIVATE("_take_back", mod_take_back, METH_VARARGS, ", thread, origin, also_who_polls"),
    PRIVATE("_end_shutdown", mod_end_shutdown, METH_NOARGS, ""),
    PRIVATE("_end_by_signal", mod_end_by_signal, METH_O, ", number"),
    PRIVATE("_hook_signals", mod_hook_signals, METH_O, ", functions"),
    PRIVATE("_call_handler", mod_call_handler, METH_VARARGS, ", program, number, frame"),
    PRIVATE("_leave_word_by", mod_set_word, METH_VARARGS, ", number, handler, left"),
    PRIVATE("_foreign_signals", mod_foreign_signals, METH_NOARGS, ""),
    PRIVATE("_set_handler", mod_set_handler, METH_VARARGS, ", number, handler, looked_after"),
    PRIVATE("_signal_is_seen", mod_signal_is_seen, METH_VARARGS, ", number, first"),
    PRIVATE("_signal_later", mod_signal_later, METH_O, ", number"),
    PRIVATE("_signal_is_answered", mod_signal_is_answered, METH_NOARGS, ""),
    PRIVATE("_watch_signal", mod_watch_signal, METH_VARARGS, ", number, seconds, seconds_if_fatal"),
    PRIVATE("_end_within", mod_end_within, METH_VARARGS, ", seconds, number=0, status=1"),
    PRIVATE("_is_helper", mod_is_helper, METH_O, ", thread"),
    PRIVATE("_is_told", mod_is_told, METH_NOARGS, ""),
    PRIVATE("_set_own", mod_set_own, METH_O, ", names"),
    PRIVATE("_is_installed", mod_is_installed_method, METH_VARARGS, ", code, module_globals"),
    PRIVATE("_cancel_futures", mod_cancel_futures, METH_NOARGS, ""),
    PRIVATE("_start_thread", mod_start_thread, METH_O, ", function"),
    PRIVATE("_make_daemon", mod_make_daemon, METH_O, ", ident"),
    PRIVATE("_inspect", mod_inspect, METH_O, ", thread"),
    PRIVATE("_left_places", mod_left_places, METH_O, ", left"),
    PRIVATE("_scopes", mod_scopes_in_force, METH_NOARGS, ""),
    PRIVATE("_switch", mod_switch, METH_VARARGS, ", thread, async_interrupt, io_interrupt"),
    PRIVATE("_after_fork_in_child", mod_after_fork_in_child, METH_NOARGS, ""),
    PRIVATE("_stop_rearming", mod_rearm_stop, METH_NOARGS, ""),
    PRIVATE("_requested_of", mod_requested_of, METH_O, ", thread"),
    PRIVATE("_make_exception", mod_make_exception, METH_VARARGS, ", exc_type, reason"),
    PRIVATE("_set_protected", mod_set_protected, METH_O, ", homes"),
    PRIVATE("_protect", mod_protect, METH_O, ", name"),
    PRIVATE("_unprotect", mod_unprotect, METH_O, ", name"),
    PRIVATE("_is_protected", mod_is_protected_method, METH_VARARGS, ", code, namespace"),
    PRIVATE("_check_request", mod_check_request_method, METH_VARARGS, ", exc_type, reason"),
    PRIVATE("_seconds", mod_seconds_method, METH_VARARGS, ", given, name"),
    PRIVATE("_blocking_enable", mod_blocking_enable, METH_NOARGS, ""),
    PRIVATE("_blocking_disable", mod_blocking_disable, METH_NOARGS, ""),
    PRIVATE("_safepoints", mod_safepoints_method, METH_VARARGS, ", code, since=-1"),
    PRIVATE("_makers", mod_makers, METH_NOARGS, ""),
    PRIVATE("_blocking_status", mod_blocking_status, METH_NOARGS, ""),
    MOD_TESTING_METHODS,
    {NULL, NULL, 0, NULL},
};

/* The core is one for the process and knows one kind of serials; so is the interpreter that uses
 * it. */
static int
start_core(void)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "interruption works in the main interpreter only, not in subinterpreters");
        return -1;
    }
    int error = itr_init();
    if (error != 0) {
        errno = error;
        (void)PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    int again = mod_new_interpreter();
    if (again > 0) {
        atomic_store_explicit(&mod_state_now, NULL, memory_order_release);
        itr_sweep(itr_sweep_begin(), NULL, 0);
        mod_payload_forget_orphans();
    }
    return again < 0 ? -1 : 0;
}

/* The package is imported again, as test runners, reloaders and notebooks do. What is compiled is
   not made twice: there is one ThreadExit, one kind of region, one connection to the interpreter,
   which regions and requests of the old names and the new ones share. */
static int
share(PyObject *module, PyObject *earlier)
{
    PyObject *name, *value, *to = PyModule_GetDict(module);
    PyObject *copy = PyDict_Copy(PyModule_GetDict(earlier));
    int status = copy == NULL ? -1 : 0;
    for (Py_ssize_t at = 0; status == 0 && PyDict_Next(copy, &at, &name, &value);) {
        /* Each has its own __name__, __spec__, ... */
        status = PyUnicode_READ_CHAR(name, 0) == '_' && PyUnicode_GET_LENGTH(name) > 1 &&
                         PyUnicode_READ_CHAR(name, 1) == '_'
                     ? 0
                     : PyDict_SetItem(to, name, value);
    }
    Py_XDECREF(copy);
    return status;
}

static int
module_exec(PyObject *module)
{
    mod_state *state = mod_get_state(module);
    if (start_core() < 0) {
        return -1;
    }
    mod_state *earlier = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    if (earlier != NULL) {
        return share(module, earlier->module);
    }
    state->module = module;
    if (PyModule_AddStringConstant(module, "_version", INTERRUPTION_VERSION) < 0 ||
        PyModule_AddIntConstant(module, "_magic_number", INTERRUPTION_MAGIC_NUMBER) < 0 ||
        PyModule_AddObjectRef(module, "_refused", Py_None) < 0 || mod_check_frames() < 0 ||
        mod_code_init() < 0 || mod_names_init() < 0 || mod_protected_init(state) < 0 ||
        mod_thread_exit_init(module, state) < 0 || mod_with_blocks_init(module) < 0 ||
        mod_scope_types_init(module) < 0 || mod_group_init(module) < 0 ||
        mod_on_interrupt_init(module) < 0 || mod_lifecycle_init(state) < 0 ||
        mod_capi_init(module) < 0) {
        return -1;
    }
    state->threading = PyImport_ImportModule("threading");
    if (state->threading == NULL) {
        return -1;
    }
    mod_locksets_init(state->threading);
    state->thread_type = PyObject_GetAttrString(state->threading, "Thread");
    if (state->thread_type == NULL) {
        return -1;
    }
    atomic_store_explicit(&mod_state_now, state, memory_order_release);
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    mod_state *state = mod_get_state(module);
    Py_VISIT(state->thread_exit);
    Py_VISIT(state->anchor_key);
    Py_VISIT(state->threading);
    Py_VISIT(state->thread_type);
    return 0;
}

static int
module_clear(PyObject *module)
{
    mod_state *state = mod_get_state(module);
    if (state->module == NULL) {
        return 0; /* it shares another's, or was never whole */
    }
    mod_events_stop();
    atomic_store_explicit(&mod_state_now, NULL, memory_order_release);
    Py_CLEAR(state->thread_exit);
    Py_CLEAR(state->anchor_key);
    Py_CLEAR(state->threading);
    Py_CLEAR(state->thread_type);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
    mod_protected_free(mod_get_state(module));
    mod_scope_types_free();
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, MOD_VERSION_SLOTS};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,         .m_name = "interruption._interruption",
    .m_doc = module_doc,           .m_size = sizeof(mod_state),
    .m_methods = methods,          .m_slots = module_slots,
    .m_traverse = module_traverse, .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__interruption(void)
{
    return PyModuleDef_Init(&definition);
}
