/*
 * What depends on the version of CPython, or on how it was built, behind one name each. The code is
 * in compat.c. Frames have a file of their own, frame.[ch], and instructions, bytecode.[ch];
 * nowhere else is PY_VERSION_HEX or Py_GIL_DISABLED looked at.
 */
#ifndef MOD_COMPAT_H
#define MOD_COMPAT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "itr_registry.h"
#include "state.h"

/*
 * Sums and exchanges by attached threads. With a GIL they need not be atomic operations, only not
 * torn: relaxed, paired with one another through the GIL. Without one they are sequentially
 * consistent.
 */
#ifdef Py_GIL_DISABLED
#define MOD_FREE_THREADED 1

static inline uint64_t
mod_add(_Atomic uint64_t *to, uint64_t amount)
{
    return atomic_fetch_add(to, amount);
}
#else
#define MOD_FREE_THREADED 0

static inline uint64_t
mod_add(_Atomic uint64_t *to, uint64_t amount)
{
    uint64_t before = atomic_load_explicit(to, memory_order_relaxed);
    atomic_store_explicit(to, before + amount, memory_order_relaxed);
    return before;
}
#endif

/* Does the calling thread run with this state of its own? A thread that is inside a region may go
   on in a subinterpreter for a while, with another one: it has other frames and locks there, and
   another GIL guards them. */
static inline bool
mod_runs_with(const PyThreadState *own)
{
#if PY_VERSION_HEX >= 0x030C0000 /* gh-59956 */
    return own->_status.active;
#else
    return own == _PyThreadState_UncheckedGet();
#endif
}

/* Does the interpreter go, so that no other thread can attach any more? Anybody may ask. */
static inline bool
mod_is_finalizing(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

/* Is that thread attached, or on 3.11 anybody? Asked by another one, which is not. */
static inline bool
mod_is_attached(const PyThreadState *other)
{
#if PY_VERSION_HEX >= 0x030D0000
    return __atomic_load_n(&other->state, __ATOMIC_RELAXED) == 1; /* _Py_THREAD_ATTACHED */
#elif PY_VERSION_HEX >= 0x030C0000
    return other->_status.active;
#else
    (void)other;
    return _PyThreadState_UncheckedGet() != NULL;
#endif
}

/*
 * Are `own` references, all of them made by the calling thread, the only ones to the object? Then
 * nobody can get at it any more, but through a weak reference.
 */
static inline bool
mod_references_are(PyObject *object, Py_ssize_t own)
{
#ifdef Py_GIL_DISABLED
    /* Of three sorts: an object that we made, whose local part only we change; one whose maker has
       let go of it, which the shared part alone counts; and one whose maker has not. Relaxed and
       acquire pair with CPython's own changes of them. */
    uintptr_t owner = __atomic_load_n(&object->ob_tid, __ATOMIC_RELAXED);
    Py_ssize_t shared = __atomic_load_n(&object->ob_ref_shared, __ATOMIC_ACQUIRE);
    shared >>= _Py_REF_SHARED_SHIFT;
    if (owner == _Py_ThreadId()) {
        return (Py_ssize_t)__atomic_load_n(&object->ob_ref_local, __ATOMIC_RELAXED) + shared == own;
    }
    return owner == 0 && shared == own;
#else
    return Py_REFCNT(object) == own;
#endif
}

/*
 * The calling thread has made the object, and the only reference to it; another will drop that. It
 * is to go then: without a GIL, where its maker counts apart, it would wait until that has time.
 */
static inline void
mod_give_away(PyObject *object)
{
#ifdef Py_GIL_DISABLED
    /* Relaxed: nobody else knows it yet. */
    __atomic_store_n(&object->ob_tid, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&object->ob_ref_local, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&object->ob_ref_shared, _Py_REF_SHARED(1, _Py_REF_MERGED), __ATOMIC_RELAXED);
#else
    (void)object;
#endif
}

/* Slots of the module's definition that only some versions know (gh-104108, gh-116322). Ends with
   the closing slot. */
#if PY_VERSION_HEX >= 0x030D0000
#define MOD_VERSION_SLOTS                                                                          \
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},                    \
        {Py_mod_gil, Py_MOD_GIL_NOT_USED},                                                         \
    {                                                                                              \
        0, NULL                                                                                    \
    }
#elif PY_VERSION_HEX >= 0x030C0000
#define MOD_VERSION_SLOTS                                                                          \
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED}, { 0, NULL }
#else
#define MOD_VERSION_SLOTS {0, NULL}
#endif

/*
 * A mutex of the module's. Only taken attached; never held while Python code may run. From 3.13 it
 * is CPython's own (gh-108724, gh-117511), which detaches while it waits, as a thread must for whom
 * others stop the world. Before, the GIL is held as long as this is, so nobody ever waits.
 */
#if PY_VERSION_HEX >= 0x030D0000
typedef PyMutex mod_mutex;
#define MOD_MUTEX_INIT {0}
#else
typedef pthread_mutex_t mod_mutex;
#define MOD_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#endif

static inline void
mod_mutex_lock(mod_mutex *mutex)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyMutex_Lock(mutex);
#else
    (void)pthread_mutex_lock(mutex);
#endif
}

static inline void
mod_mutex_unlock(mod_mutex *mutex)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyMutex_Unlock(mutex);
#else
    (void)pthread_mutex_unlock(mutex);
#endif
}

/* In the child of a fork: whoever held it does not exist. */
static inline void
mod_mutex_reset(mod_mutex *mutex)
{
    *mutex = (mod_mutex)MOD_MUTEX_INIT;
}

/* Those that guard what there is once, each named for the file that it is of. */
extern struct mod_mutexes {
    mod_mutex code, families, interpose, late_threads, signal_hook, threads, tls;
} mod_mutexes;

/* In the child of a fork: whoever held them is not there. See lifecycle.h. */
void mod_mutexes_after_fork_child(void);

/* The exception that is set, or none, put aside while other code runs, and back. */
typedef struct {
    PyObject *type;
    PyObject *value;
    PyObject *traceback;
} mod_raised;

static inline mod_raised
mod_put_aside(void)
{
    mod_raised raised;
    PyErr_Fetch(&raised.type, &raised.value, &raised.traceback);
    return raised;
}

static inline void
mod_put_back(mod_raised raised)
{
    PyErr_Restore(raised.type, raised.value, raised.traceback);
}

/* The same with one object, which has its traceback: a new reference, or NULL: none was set. And
   set again: its context stays, as PyErr_SetObject() would not have it. Takes the reference. */
static inline PyObject *
mod_take_raised(void)
{
    mod_raised raised = mod_put_aside();
    if (raised.type != NULL) {
        PyErr_NormalizeException(&raised.type, &raised.value, &raised.traceback);
    }
    if (raised.traceback != NULL) {
        (void)PyException_SetTraceback(raised.value, raised.traceback);
    }
    Py_XDECREF(raised.type);
    Py_XDECREF(raised.traceback);
    return raised.value;
}

static inline void
mod_raise_again(PyObject *taken)
{
    PyErr_Restore(Py_NewRef(Py_TYPE(taken)), taken, PyException_GetTraceback(taken));
}

/* What a weak reference refers to: a new reference, or NULL if that is no more. */
static inline PyObject *
mod_referent(PyObject *reference)
{
#if PY_VERSION_HEX >= 0x030D0000 /* gh-105927: what returns a borrowed one is going */
    PyObject *referent;
    (void)PyWeakref_GetRef(reference, &referent);
    return referent;
#else
    PyObject *referent = PyWeakref_GET_OBJECT(reference);
    return referent == Py_None ? NULL : Py_NewRef(referent);
#endif
}

/* Is it a weak reference to something that is no more? Lets go of nothing. */
static inline bool
mod_is_dead_reference(PyObject *object)
{
    if (!PyWeakref_Check(object)) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030E0000 /* gh-128008 */
    return PyWeakref_IsDead(object);
#elif PY_VERSION_HEX >= 0x030D0000
    PyObject *referent;
    int alive = PyWeakref_GetRef(object, &referent);
    Py_XDECREF(referent);
    return alive == 0;
#else
    return PyWeakref_GET_OBJECT(object) == Py_None;
#endif
}

/* What a class has under that name, itself or by inheritance, as it is in the class's dictionary: a
   new reference, or NULL. Runs no Python code, keeps no exception set. */
PyObject *mod_find_in_class(PyTypeObject *type, const char *name);

/*
 * Call `look(arg)` while no other thread of the interpreter runs Python code or is about to: with a
 * GIL they do not anyway. It must not wait, and not run Python code; it may call this again.
 */
void mod_while_stopped(void (*look)(void *arg), void *arg);

/* Is the caller called so, where there is no GIL? A thread that has just been given a mutex may be
   stopped with it. */
bool mod_world_is_stopped(void);

#if PY_VERSION_HEX >= 0x030D0000
/* In mod_while_stopped: the state of the running thread with that id, good until the world
   goes on. NULL: there is none, or it is being cleared. */
PyThreadState *mod_find_thread_state(uintptr_t thread_id);
#endif

/*
 * Let the end of the interpreter take the thread with that id for a daemon. From 3.15 it does not
 * go by what `threading` knows alone (gh-136003): it goes round for ever while there is another
 * thread's state.
 */
void mod_count_as_daemon(uintptr_t thread_id);

/* If the lock stands for a thread's life (up to 3.12: gh-114271), see to it that the thread's end,
   after it has released the lock, calls `tell` with it: a function that is always the same. */
void mod_watch_end(const PyObject *lock, void (*tell)(const void *lock));

/* A module that is imported with this package: a new reference, or NULL with an exception set.
   While it is there, `__import__` is not called, which may be the program's and in Python. */
PyObject *mod_module_of_ours(const char *name);

/* The interpreter's dictionary for extensions, borrowed; or NULL with RuntimeError set. */
PyObject *mod_interpreter_dict(void);

/*
 * To be called once for each interpreter, before the rest. Python may be finalized and started
 * again in one process; thread state ids begin again then, and this keeps serials from repeating.
 * Returns 1 if this is such a new start, 0 if not, -1 with an exception set.
 */
int mod_new_interpreter(void);

/* The names of the calling thread. It must be attached (hold the GIL, where there is one). */
itr_thread mod_self(void);

/*
 * All live Python threads of this interpreter, in memory to be given back by PyMem_RawFree. Threads
 * that have been made but do not run yet are among them, with ITR_NO_THREAD_ID. Returns 0, or -1
 * with MemoryError set.
 */
int mod_list_threads(itr_thread **threads, size_t *count);

/*
 * An item of a dict, as a new reference in `*item`; NULL where there is none. Returns 1, 0 where
 * there is none, or -1 with an exception set.
 */
int mod_get_item(PyObject *dict, PyObject *key, PyObject **item);

/* Tell auditing hooks of a time.sleep, where the original does. 0, or -1 with an exception set. */
static inline int
mod_audit_sleep(PyObject *seconds)
{
#if PY_VERSION_HEX >= 0x030D0000 /* gh-108294 */
    return PySys_Audit("time.sleep", "O", seconds);
#else
    (void)seconds;
    return 0;
#endif
}

/*
 * A thread of C's own, which has no thread state, attaches to the main interpreter, and detaches
 * for good. False if there is no memory for a state: PyGILState_Ensure would end the process then,
 * or from 3.15 on hang the thread for ever, as it does when the interpreter ends (gh-87135).
 */
bool mod_attach_thread(void);
void mod_detach_thread(void);

/* Make a type that nobody in C needs to know, and add it to the module. 0, or -1 with an exception
   set. */
int mod_add_type(PyObject *module, PyType_Spec *spec);

/* Are the fields of structs that we look at where they were when this was built, as far as that can
   be told of the calling thread's own state? NULL, or the name of one that is not. */
const char *mod_strange_layout(void);

/* The slots for extensions that each code object has. A slot's number is good for an interpreter,
 * -1 if there is none left. `get` and `set` return 0, or -1, perhaps with an exception set. From
 * 3.12 they are of the unstable API (gh-91744), under other names. */
#if PY_VERSION_HEX >= 0x030C0000
#define mod_request_code_slot PyUnstable_Eval_RequestCodeExtraIndex
#define mod_get_code_slot(code, slot, value)                                                       \
    PyUnstable_Code_GetExtra((PyObject *)(code), slot, value)
#define mod_set_code_slot(code, slot, value)                                                       \
    PyUnstable_Code_SetExtra((PyObject *)(code), slot, value)
#else
#define mod_request_code_slot _PyEval_RequestCodeExtraIndex
#define mod_get_code_slot(code, slot, value) _PyCode_GetExtra((PyObject *)(code), slot, value)
#define mod_set_code_slot(code, slot, value) _PyCode_SetExtra((PyObject *)(code), slot, value)
#endif

#endif
