/*
 * interruption.h - let the long loops of a C extension be asked to stop.
 *
 *     static PyObject *
 *     crunch(PyObject *self, PyObject *args)
 *     {
 *         const Interruption_Flag *flag = Interruption_CurrentFlag();
 *         if (flag == NULL) return NULL;
 *         int stop = 0;
 *         Py_BEGIN_ALLOW_THREADS
 *         for (long i = 0; i < n && !stop; i++) {
 *             ... work ...
 *             stop = Interruption_Requested(flag);
 *         }
 *         Py_END_ALLOW_THREADS
 *         if (Interruption_Check() < 0) { ... free what was made ...; return NULL; }
 *         ...
 *     }
 *
 * Call Interruption_Import() once in each source file that uses the rest, when the module is made
 * (in its Py_mod_exec slot); what is called before raises RuntimeError. The compiler finds this
 * file in the folder that interruption.get_include() returns. Nothing is linked: an extension works
 * with every later version that has the same INTERRUPTION_ABI_VERSION, and with every version of
 * CPython, with a GIL and without.
 *
 * "Attached" is a thread that may use Python objects: it holds the GIL, where there is one.
 *
 * All but Interruption_Import may be called with an exception set. It stays set, and no other takes
 * its place; Interruption_Check then returns -1 if there is a request, which waits on. And
 * Interruption_LeaveScope is told by it how the block ends.
 */
#ifndef INTERRUPTION_H
#define INTERRUPTION_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rises when an extension that was compiled with an earlier header would not work. */
#define INTERRUPTION_ABI_VERSION 1

/* A thread's flag: looked at by Interruption_Requested only. */
typedef struct {
    uint32_t bits;
} Interruption_Flag;

/* The functions behind the capsule. New ones are added at the end. */
typedef struct {
    uint32_t abi_version;
    uint32_t size; /* of this struct, as the imported version of the library knows it */
    const Interruption_Flag *(*current_flag)(void);
    int (*check)(void);
    int (*interrupt)(unsigned long thread_id, PyObject *exc_type, PyObject *reason);
    /* Scopes. An earlier version of the library has no more than what stands above. */
    PyObject *(*new_scope)(double seconds);
    int (*enter_scope)(PyObject *scope);
    int (*leave_scope)(PyObject *scope);
    int (*interrupt_scope)(PyObject *scope, PyObject *exc_type, PyObject *reason);
    int (*current_deadline)(double *when);
} Interruption_CAPI;

#define INTERRUPTION_CAPSULE_NAME "interruption._C_API"
#define INTERRUPTION_REQUESTED_BIT 1u

/* What stands behind the functions until Interruption_Import() has been called in the source file:
   each fails, and says so. */
static inline int
Interruption_NotImported(void)
{
#ifdef __BASE_FILE__
    const char *file = __BASE_FILE__;
#else
    const char *file = "a source file";
#endif
    if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_RuntimeError,
                     "Interruption_Import() has not been called in %s: call it when the module is "
                     "made, once in each source file that uses interruption.h",
                     file);
    }
    return -1;
}

static inline const Interruption_Flag *
Interruption_NotImportedFlag(void)
{
    (void)Interruption_NotImported();
    return NULL;
}

static inline int
Interruption_NotImportedInterrupt(unsigned long thread_id, PyObject *exc_type, PyObject *reason)
{
    (void)thread_id;
    (void)exc_type;
    (void)reason;
    return Interruption_NotImported();
}

static inline PyObject *
Interruption_NotImportedNew(double seconds)
{
    (void)seconds;
    (void)Interruption_NotImported();
    return NULL;
}

static inline int
Interruption_NotImportedScope(PyObject *scope)
{
    (void)scope;
    return Interruption_NotImported();
}

static inline int
Interruption_NotImportedInterruptScope(PyObject *scope, PyObject *exc_type, PyObject *reason)
{
    (void)scope;
    (void)exc_type;
    (void)reason;
    return Interruption_NotImported();
}

static inline int
Interruption_NotImportedDeadline(double *when)
{
    (void)when;
    return Interruption_NotImported();
}

static const Interruption_CAPI Interruption_NotImportedAPI = {
    INTERRUPTION_ABI_VERSION,
    sizeof(Interruption_CAPI),
    Interruption_NotImportedFlag,
    Interruption_NotImported,
    Interruption_NotImportedInterrupt,
    Interruption_NotImportedNew,
    Interruption_NotImportedScope,
    Interruption_NotImportedScope,
    Interruption_NotImportedInterruptScope,
    Interruption_NotImportedDeadline,
};

static const Interruption_CAPI *Interruption_API = &Interruption_NotImportedAPI;

/*
 * Attached. Import the library. Returns 0, or -1 with an exception set: it is not installed, or has
 * another ABI version.
 */
static inline int
Interruption_Import(void)
{
    const Interruption_CAPI *api =
        (const Interruption_CAPI *)PyCapsule_Import(INTERRUPTION_CAPSULE_NAME, 0);
    if (api == NULL) {
        return -1;
    }
    if (api->abi_version != INTERRUPTION_ABI_VERSION ||
        api->size < offsetof(Interruption_CAPI, new_scope)) {
        PyErr_Format(PyExc_ImportError,
                     "compiled for ABI version %d of interruption, but version %u is installed: "
                     "compile again with the installed interruption.h",
                     INTERRUPTION_ABI_VERSION, (unsigned int)api->abi_version);
        return -1;
    }
    Interruption_API = api;
    return 0;
}

/*
 * Attached. The calling thread's flag, or NULL with an exception set (no memory). It may be looked
 * at by the calling thread, attached or not, as long as it runs Python code or is called by such.
 */
static inline const Interruption_Flag *
Interruption_CurrentFlag(void)
{
    return Interruption_API->current_flag();
}

/*
 * Attached or not, by the flag's own thread. Not 0: there is a request; stop soon, and call
 * Interruption_Check. One load; what the requester wrote before it asked is seen after.
 */
static inline int
Interruption_Requested(const Interruption_Flag *flag)
{
#if defined(__GNUC__) || defined(__clang__)
    return (int)(__atomic_load_n(&flag->bits, __ATOMIC_ACQUIRE) & INTERRUPTION_REQUESTED_BIT);
#else
#error "interruption.h: no atomic load is known for this compiler"
#endif
}

/*
 * Attached. What check_interrupt() does: returns 0, or -1 with the request's exception set, every
 * time while there is a request (S5).
 */
static inline int
Interruption_Check(void)
{
    return Interruption_API->check();
}

/*
 * Attached. What interrupt() does (S1, S2): ask the thread with that id, as threading.get_ident()
 * and PyThread_get_thread_ident() return it. exc_type and reason are borrowed; NULL for ThreadExit
 * and none. 1: the request is new; 0: one was waiting to be delivered; -1 with an exception set,
 * and nothing was asked (ValueError: no live Python thread has that id).
 */
static inline int
Interruption_Interrupt(unsigned long thread_id, PyObject *exc_type, PyObject *reason)
{
    return Interruption_API->interrupt(thread_id, exc_type, reason);
}

/*
 * Scopes: the same as in Python, for C code that calls Python, or that takes its time (S22).
 *
 *     PyObject *scope = Interruption_NewScope(2.0);
 *     if (scope == NULL || Interruption_EnterScope(scope) < 0) { Py_XDECREF(scope); return NULL; }
 *     PyObject *result = ... call Python, or look by Interruption_Check ...;
 *     int left = Interruption_LeaveScope(scope);
 *     Py_DECREF(scope);
 *     if (left > 0) { ... the time was up, and it was stopped for that ... }
 *     else if (left < 0) { Py_XDECREF(result); return NULL; }
 */

/* Has the imported version of the library scopes? The rest raises ImportError if not. */
static inline int
Interruption_HasScopes(void)
{
    return Interruption_API->size >= sizeof(Interruption_CAPI);
}

static inline int
Interruption_NoScopes(void)
{
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ImportError,
                        "the installed version of interruption gives no scopes to C code: install "
                        "a later one, or ask Interruption_HasScopes() before");
    }
    return -1;
}

/*
 * Attached. A scope with that time limit, which begins when it is entered; with INFINITY, one that
 * has none, and that several threads may enter. A new reference, or NULL with an exception set
 * (ValueError: negative, or NaN). Objects that Python code has made serve as well.
 */
static inline PyObject *
Interruption_NewScope(double seconds)
{
    return Interruption_HasScopes() ? Interruption_API->new_scope(seconds)
                                    : (Interruption_NoScopes(), (PyObject *)NULL);
}

/*
 * Attached. Enter it in the calling thread, as its `__enter__` does. 0, or -1 with an exception
 * set, and it has not been entered: also what the thread has been asked itself (S7). It is to be
 * left before the function returns that has entered it.
 */
static inline int
Interruption_EnterScope(PyObject *scope)
{
    return Interruption_HasScopes() ? Interruption_API->enter_scope(scope)
                                    : Interruption_NoScopes();
}

/*
 * Attached. Leave it; the exception that is set, if any, leaves its block. 1: it was raised for
 * this scope, and is gone, or has become TimeoutError if Python code has made it by timeout(): -1.
 * 0: none was set. -1: an exception is set; that one, or what the thread was asked meanwhile.
 */
static inline int
Interruption_LeaveScope(PyObject *scope)
{
    return Interruption_HasScopes() ? Interruption_API->leave_scope(scope)
                                    : Interruption_NoScopes();
}

/*
 * Attached, by any thread. What its interrupt() does: ask all threads that are in it. 1, or 0: all
 * have left it. exc_type and reason as of Interruption_Interrupt; -1 with an exception set.
 */
static inline int
Interruption_InterruptScope(PyObject *scope, PyObject *exc_type, PyObject *reason)
{
    return Interruption_HasScopes() ? Interruption_API->interrupt_scope(scope, exc_type, reason)
                                    : Interruption_NoScopes();
}

/*
 * Attached. What current_deadline() returns, to be passed on to a wait in C: the earliest deadline
 * that is in force for the caller, in seconds of time.monotonic() (on Linux CLOCK_MONOTONIC);
 * INFINITY if there is none. 0, or -1 with an exception set. A wait that has ended for it calls
 * Interruption_Check; it may be a moment earlier than whoever asks for the deadline, which then
 * comes at the next check or safe point.
 */
static inline int
Interruption_CurrentDeadline(double *when)
{
    return Interruption_HasScopes() ? Interruption_API->current_deadline(when)
                                    : Interruption_NoScopes();
}

#ifdef __cplusplus
}
#endif

#endif
