/*
 * The module `interruption._interruption`: its methods, its parts put together, and its end.
 */
#include "cpython/fastcall.h"
#include "blocking/families.h"
#include "api/on_interrupt.h"
#include "safepoints/callbacks.h"
#include "api/capi.h"
#include "safepoints/code.h"
#include "cpython/compat.h"
#include "thread/current.h"
#include "delivery/obstacles.h"
#include "shutdown/process_end.h"
#include "delivery/events.h"
#include "api/explain.h"
#include "shutdown/futures.h"
#include "thread/held_locks.h"
#include "held_testing.h"
#include "safepoints/installed.h"
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
#include "delivery/rearm.h"
#include "safepoints/self_test.h"
#include "shutdown/signal_hook.h"
#include "thread/thread.h"
#include "delivery/thread_exit.h"
#include "api/with_blocks.h"

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

PyDoc_STRVAR(new_origin_doc,
             "_new_origin($module, /)\n"
             "--\n\n"
             "A number by which requests can be taken back; 0 is none. No two are the same.");

PyDoc_STRVAR(
    begin_shutdown_doc,
    "_begin_shutdown($module, reason, origin, and_late_threads, /)\n"
    "--\n\n"
    "interrupt_all_threads(reason), which can be taken back by that number. and_late_threads: "
    "threads\n"
    "that are born from now on are born asked, until _end_shutdown(), which is to be called as\n"
    "many times, unless this raises TypeError.");

PyDoc_STRVAR(ask_doc, "_ask($module, thread, reason, origin, /)\n"
                      "--\n\n"
                      "The same of one thread, as interrupt().");

PyDoc_STRVAR(
    take_back_doc,
    "_take_back($module, thread, origin, also_who_looks, /)\n"
    "--\n\n"
    "Take back what was asked by that number, if it waits to be delivered and nobody else\n"
    "has asked. also_who_looks: also from a thread that looks for requests by itself.\n\n"
    "Returns whether it was. What is named by `thread`, and errors: as interrupt().");

PyDoc_STRVAR(end_shutdown_doc, "_end_shutdown($module, /)\n"
                               "--\n\n"
                               "Threads are born unasked again.");

PyDoc_STRVAR(end_by_signal_doc,
             "_end_by_signal($module, number, /)\n"
             "--\n\n"
             "The process will end by that signal's default action, when the interpreter is gone;\n"
             "0: it will not.");

PyDoc_STRVAR(
    hook_signals_doc,
    "_hook_signals($module, functions, /)\n"
    "--\n\n"
    "(wrap, unwrap, see): set wrap(number, handler) where the program sets a handler, show\n"
    "it unwrap(handler), and call see(handler, number, frame) when a _Handler is called.\n"
    "None: not any more.");

PyDoc_STRVAR(leave_word_by_doc,
             "_leave_word_by($module, number, handler, /)\n"
             "--\n\n"
             "Call that after each signal which a handler in C has that is not Python's; `number`\n"
             "is a signal which nobody sends. None: not any more.");

PyDoc_STRVAR(foreign_signals_doc, "_foreign_signals($module, /)\n"
                                  "--\n\n"
                                  "Those which such handlers have had since they were last seen.");

PyDoc_STRVAR(set_handler_doc,
             "_set_handler($module, number, handler, looked_after, /)\n"
             "--\n\n"
             "As the original signal.signal(), but a handler in C that is not Python's stays.\n\n"
             "looked_after: the signal wakes the main thread whenever it comes.");

PyDoc_STRVAR(
    signal_is_seen_doc,
    "_signal_is_seen($module, number, first, /)\n"
    "--\n\n"
    "The handler of that signal runs. Returns whether it counts (one that the process has\n"
    "raised itself does if `first`, one that a handler in C passes on if it is new), and\n"
    "whether a handler in C that is not Python's has it.");

PyDoc_STRVAR(signal_later_doc, "_signal_later($module, number, /)\n"
                               "--\n\n"
                               "The handler of that signal is called in a moment.");

PyDoc_STRVAR(watch_signal_doc,
             "_watch_signal($module, number, seconds, seconds_if_fatal, /)\n"
             "--\n\n"
             "End the process when that signal has come and its handler in Python has not run for\n"
             "so many seconds; inf: only with the third signal. Of one that is looked after.\n\n"
             "seconds_if_fatal: the same, while the signal would end the process without us. Then\n"
             "for so long nobody may hold the GIL afterwards, until the process has ended.");

PyDoc_STRVAR(signal_is_answered_doc, "_signal_is_answered($module, /)\n"
                                     "--\n\n"
                                     "All has been done about the signals that have come.");

PyDoc_STRVAR(end_within_doc,
             "_end_within($module, seconds, number=0, status=1, /)\n"
             "--\n\n"
             "End the process in so many seconds, if it has not ended by then, by that signal; 0:\n"
             "with that status. inf: not after all. Returns whether there will be somebody to do\n"
             "it.");

PyDoc_STRVAR(is_helper_doc, "_is_helper($module, thread, /)\n"
                            "--\n\n"
                            "Has cleanup started that thread, while a shutdown is on?");

PyDoc_STRVAR(is_told_doc, "_is_told($module, /)\n"
                          "--\n\n"
                          "Is a shutdown on, and has the calling thread been asked and told?");

PyDoc_STRVAR(set_own_doc, "_set_own($module, names, /)\n"
                          "--\n\n"
                          "These modules are the program's, although they are installed.");

PyDoc_STRVAR(is_installed_doc, "_is_installed($module, code, module_globals, /)\n"
                               "--\n\n"
                               "Is it an installed package's code?");

PyDoc_STRVAR(start_thread_doc, "_start_thread($module, function, /)\n"
                               "--\n\n"
                               "Call that in a thread of its own, also when the main program has "
                               "ended.");

PyDoc_STRVAR(make_daemon_doc, "_make_daemon($module, ident, /)\n"
                              "--\n\n"
                              "The end of the interpreter does not wait for that thread.");

PyDoc_STRVAR(cancel_futures_doc,
             "_cancel_futures($module, /)\n"
             "--\n\n"
             "A future of asyncio that is given a ThreadExit is given a CancelledError. For good.");

PyDoc_STRVAR(interruption_requested_doc,
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

PyDoc_STRVAR(interruption_fd_doc,
             "interruption_fd($module, /)\n"
             "--\n\n"
             "A file descriptor that is readable while the calling thread has a request (S16).\n\n"
             "For the thread's own select, poll, epoll or asyncio loop. Every call in a thread\n"
             "returns the same one. It is the library's: do not close it, nor read it; it turns\n"
             "unreadable by clear_interrupt(), and is closed when the thread ends. If something\n"
             "has closed it, the next call returns another.\n\n"
             "OSError: the system has no descriptor left.");

PyDoc_STRVAR(requested_of_doc,
             "_requested_of($module, thread, /)\n"
             "--\n\n"
             "Has that thread been asked to stop? What is named by `thread`, and errors: as\n"
             "interrupt().");

PyDoc_STRVAR(
    switch_doc,
    "_switch($module, thread, async_interrupt, io_interrupt, /)\n"
    "--\n\n"
    "Set a running thread's own switches (S14). What is named by `thread`, and errors: as\n"
    "interrupt().");

PyDoc_STRVAR(stop_looking_doc,
             "_stop_looking($module, /)\n"
             "--\n\n"
             "The interpreter is about to exit: end the thread that takes second looks.");

PyDoc_STRVAR(
    inspect_doc,
    "_inspect($module, thread, /)\n"
    "--\n\n"
    "What `explain` tells: None of a thread that has finished, else (requested, pending,\n"
    "state, detail, place, stack); a place is (filename, line, function), the stack one of\n"
    "(place, is it protected), outermost first, without the caller. What is named by\n"
    "`thread`, and errors: as interrupt().");

PyDoc_STRVAR(
    excepthook_doc,
    "_excepthook($module, args, /)\n"
    "--\n\n"
    "threading.excepthook that is silent for ThreadExit, as the default is for SystemExit\n"
    "(S13).");

PyDoc_STRVAR(
    set_protected_doc,
    "_set_protected($module, homes, /)\n"
    "--\n\n"
    "Say where protected code comes from: a tuple of (folder, names, named), each a str, a\n"
    "sorted tuple of str, and a bool. Code is protected whose co_filename begins with the\n"
    "folder (which ends with a slash or is empty) and goes on with one of the names, as that\n"
    "of a folder or of a file without its suffix; if `named`, only if the module's own name\n"
    "begins with it, too. Replaces what was said before.");

PyDoc_STRVAR(protect_doc,
             "_protect($module, name, /)\n"
             "--\n\n"
             "Protect the modules of that name and below it. Returns whether they were not.");

PyDoc_STRVAR(unprotect_doc, "_unprotect($module, name, /)\n"
                            "--\n\n"
                            "Undo _protect() of that name. Returns whether there was one.");

PyDoc_STRVAR(is_protected_doc, "_is_protected($module, code, namespace, /)\n"
                               "--\n\n"
                               "Is that code protected, when it runs with those globals (a dict)?");

PyDoc_STRVAR(is_import_machinery_doc, "_is_import_machinery($module, code, /)\n"
                                      "--\n\n"
                                      "Is it code of the import system?");
PyDoc_STRVAR(points_doc,
             "_points($module, code, since=-1, /)\n"
             "--\n\n"
             "What may happen at each code unit of a code object, for tests: see code.h.");

PyDoc_STRVAR(check_request_doc,
             "_check_request($module, exc_type, reason, /)\n"
             "--\n\n"
             "Raise what interrupt() raises for them; None is the default of either.");

PyDoc_STRVAR(
    seconds_doc,
    "_seconds($module, given, name, /)\n"
    "--\n\n"
    "A time that a user has given as a float; infinite for None. Errors call it `name`.\n\n"
    "TypeError: not a number. ValueError: negative, or NaN.");

PyDoc_STRVAR(blocking_enable_doc, "_blocking_enable($module, /)\n"
                                  "--\n\n"
                                  "Interpose the blocking calls.");

PyDoc_STRVAR(blocking_disable_doc, "_blocking_disable($module, /)\n"
                                   "--\n\n"
                                   "Put the blocking calls back as they were.");

PyDoc_STRVAR(self_test_doc, "_self_test($module, forms=None, /)\n"
                            "--\n\n"
                            "What of this interpreter is not as expected, in words, or None.");

PyDoc_STRVAR(refused_doc, "_refused($module, /)\n"
                          "--\n\n"
                          "Why nothing is delivered between statements, in words, or None.");

PyDoc_STRVAR(makers_doc, "_makers($module, /)\n"
                         "--\n\n"
                         "Where the standard library is not interrupted half-way: see making.h.");

PyDoc_STRVAR(blocking_status_doc,
             "_blocking_status($module, /)\n"
             "--\n\n"
             "What is interposed: (enabled, families), a family being (name, interposed, names of\n"
             "calls, names of calls that there are not, why it was refused or None).");

#define FASTCALL_KEYWORDS(function) _PyCFunction_CAST(function), METH_FASTCALL | METH_KEYWORDS

static PyObject *
is_told(PyObject *module, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(interruption_is_told(interruption_get_state(module)));
}

static PyMethodDef methods[] = {
    {"interrupt", FASTCALL_KEYWORDS(interruption_interrupt), interrupt_doc},
    {"interrupt_all_threads", FASTCALL_KEYWORDS(interruption_interrupt_all_threads),
     interrupt_all_threads_doc},
    {"interruption_requested", interruption_requested, METH_NOARGS, interruption_requested_doc},
    {"check_interrupt", interruption_check_interrupt, METH_NOARGS, check_interrupt_doc},
    {"clear_interrupt", interruption_clear_interrupt, METH_NOARGS, clear_interrupt_doc},
    {"wait_for_interruption", FASTCALL_KEYWORDS(interruption_wait), wait_for_interruption_doc},
    {"interruption_fd", interruption_fd, METH_NOARGS, interruption_fd_doc},
    {"_new_origin", interruption_new_origin, METH_NOARGS, new_origin_doc},
    {"_begin_shutdown", interruption_begin_shutdown, METH_VARARGS, begin_shutdown_doc},
    {"_ask", interruption_ask_in_shutdown, METH_VARARGS, ask_doc},
    {"_take_back", interruption_take_back, METH_VARARGS, take_back_doc},
    {"_end_shutdown", interruption_end_shutdown, METH_NOARGS, end_shutdown_doc},
    {"_end_by_signal", interruption_end_by_signal, METH_O, end_by_signal_doc},
    {"_hook_signals", interruption_hook_signals, METH_O, hook_signals_doc},
    {"_leave_word_by", interruption_set_word, METH_VARARGS, leave_word_by_doc},
    {"_foreign_signals", interruption_foreign_signals, METH_NOARGS, foreign_signals_doc},
    {"_set_handler", interruption_set_handler, METH_VARARGS, set_handler_doc},
    {"_signal_is_seen", interruption_signal_is_seen, METH_VARARGS, signal_is_seen_doc},
    {"_signal_later", interruption_signal_later, METH_O, signal_later_doc},
    {"_signal_is_answered", interruption_signal_is_answered, METH_NOARGS, signal_is_answered_doc},
    {"_watch_signal", interruption_watch_signal, METH_VARARGS, watch_signal_doc},
    {"_end_within", interruption_end_within, METH_VARARGS, end_within_doc},
    {"_is_helper", interruption_is_helper, METH_O, is_helper_doc},
    {"_is_told", is_told, METH_NOARGS, is_told_doc},
    {"_set_own", interruption_set_own, METH_O, set_own_doc},
    {"_is_installed", interruption_is_installed_method, METH_VARARGS, is_installed_doc},
    {"_cancel_futures", interruption_cancel_futures, METH_NOARGS, cancel_futures_doc},
    {"_start_thread", interruption_start_thread, METH_O, start_thread_doc},
    {"_make_daemon", interruption_make_daemon, METH_O, make_daemon_doc},
    {"_inspect", interruption_inspect, METH_O, inspect_doc},
    {"_switch", interruption_switch, METH_VARARGS, switch_doc},
    {"_stop_looking", interruption_stop_looking, METH_NOARGS, stop_looking_doc},
    {"_requested_of", interruption_requested_of, METH_O, requested_of_doc},
    {"_excepthook", interruption_excepthook, METH_O, excepthook_doc},
    {"_set_protected", interruption_set_protected, METH_O, set_protected_doc},
    {"_protect", interruption_protect, METH_O, protect_doc},
    {"_unprotect", interruption_unprotect, METH_O, unprotect_doc},
    {"_is_protected", interruption_is_protected_method, METH_VARARGS, is_protected_doc},
    {"_is_import_machinery", interruption_is_import_machinery_method, METH_O,
     is_import_machinery_doc},
    {"_points", interruption_code_points, METH_VARARGS, points_doc},
    {"_check_request", interruption_check_request_method, METH_VARARGS, check_request_doc},
    {"_seconds", interruption_seconds_method, METH_VARARGS, seconds_doc},
    {"_blocking_enable", interruption_blocking_enable, METH_NOARGS, blocking_enable_doc},
    {"_blocking_disable", interruption_blocking_disable, METH_NOARGS, blocking_disable_doc},
    {"_self_test", interruption_self_test, METH_VARARGS, self_test_doc},
    {"_refused", interruption_refused, METH_NOARGS, refused_doc},
    {"_makers", interruption_makers, METH_NOARGS, makers_doc},
    {"_blocking_status", interruption_blocking_status, METH_NOARGS, blocking_status_doc},
    INTERRUPTION_HELD_TESTING_METHODS,
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
    int again = interruption_new_interpreter();
    if (again > 0) {
        atomic_store_explicit(&interruption_state_now, NULL, memory_order_release);
        itr_sweep(itr_sweep_begin(), NULL, 0);
        interruption_payload_forget_orphans();
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
    interruption_state *state = interruption_get_state(module);
    if (start_core() < 0) {
        return -1;
    }
    interruption_state *earlier =
        atomic_load_explicit(&interruption_state_now, memory_order_acquire);
    if (earlier != NULL) {
        return share(module, earlier->module);
    }
    state->module = module;
    if (PyModule_AddStringConstant(module, "_version", INTERRUPTION_VERSION) < 0 ||
        interruption_check_frames() < 0 || interruption_code_init() < 0 ||
        interruption_regions_init() < 0 || interruption_callbacks_init() < 0 ||
        interruption_protected_init(state) < 0 ||
        interruption_thread_exit_init(module, state) < 0 ||
        interruption_with_blocks_init(module) < 0 || interruption_left_init(module, state) < 0 ||
        interruption_scope_init(module) < 0 || interruption_signal_hook_init(module) < 0 ||
        interruption_on_interrupt_init(module) < 0 ||
        interruption_lifecycle_init(module, state) < 0 || interruption_capi_init(module) < 0) {
        return -1;
    }
    state->threading = PyImport_ImportModule("threading");
    if (state->threading == NULL) {
        return -1;
    }
    if (interruption_held_init(state->threading) < 0) {
        return -1;
    }
    state->thread_type = PyObject_GetAttrString(state->threading, "Thread");
    state->excepthook = PyObject_GetAttrString(module, "_excepthook");
    if (state->thread_type == NULL || state->excepthook == NULL) {
        return -1;
    }
    atomic_store_explicit(&interruption_state_now, state, memory_order_release);
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    interruption_state *state = interruption_get_state(module);
    Py_VISIT(state->thread_exit);
    Py_VISIT(state->anchor_type);
    Py_VISIT(state->anchor_key);
    Py_VISIT(state->threading);
    Py_VISIT(state->thread_type);
    Py_VISIT(state->excepthook);
    Py_VISIT(state->left_type);
    return 0;
}

static int
module_clear(PyObject *module)
{
    interruption_state *state = interruption_get_state(module);
    if (state->module == NULL) {
        return 0; /* it shares another's, or was never whole */
    }
    interruption_events_stop();
    atomic_store_explicit(&interruption_state_now, NULL, memory_order_release);
    Py_CLEAR(state->thread_exit);
    Py_CLEAR(state->anchor_type);
    Py_CLEAR(state->anchor_key);
    Py_CLEAR(state->threading);
    Py_CLEAR(state->thread_type);
    Py_CLEAR(state->excepthook);
    Py_CLEAR(state->left_type);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
    interruption_protected_free(interruption_get_state(module));
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, INTERRUPTION_VERSION_SLOTS};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,         .m_name = "interruption._interruption",
    .m_doc = module_doc,           .m_size = sizeof(interruption_state),
    .m_methods = methods,          .m_slots = module_slots,
    .m_traverse = module_traverse, .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__interruption(void)
{
    return PyModuleDef_Init(&definition);
}
