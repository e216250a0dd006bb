/*
 * Everything that depends on the version of CPython, or on how it was built, behind one name each.
 * The code is in compat.c; nowhere else is PY_VERSION_HEX or Py_GIL_DISABLED looked at.
 */
#ifndef INTERRUPTION_COMPAT_H
#define INTERRUPTION_COMPAT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "itr_registry.h"
#include "state.h"

/*
 * A short lock. Where there is no GIL it detaches while it waits, so that it never holds up a
 * garbage collection. Where there is one, it is taken only with the GIL held and never across what
 * lets go of the GIL, so that nobody ever waits for it.
 */
#if PY_VERSION_HEX >= 0x030D0000
typedef PyMutex interruption_mutex;
#define INTERRUPTION_MUTEX_INIT {0}

static inline void
interruption_mutex_lock(interruption_mutex *mutex)
{
    PyMutex_Lock(mutex);
}

static inline void
interruption_mutex_unlock(interruption_mutex *mutex)
{
    PyMutex_Unlock(mutex);
}
#else
typedef pthread_mutex_t interruption_mutex;
#define INTERRUPTION_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER

static inline void
interruption_mutex_lock(interruption_mutex *mutex)
{
    (void)pthread_mutex_lock(mutex);
}

static inline void
interruption_mutex_unlock(interruption_mutex *mutex)
{
    (void)pthread_mutex_unlock(mutex);
}
#endif

/*
 * Sums and exchanges by attached threads. With a GIL they need not be atomic operations, only not
 * torn: relaxed, paired with one another through the GIL. Without one they are sequentially
 * consistent.
 */
#ifdef Py_GIL_DISABLED
#define INTERRUPTION_FREE_THREADED 1

static inline uint64_t
interruption_add(_Atomic uint64_t *to, uint64_t amount)
{
    return atomic_fetch_add(to, amount);
}

static inline bool
interruption_exchange_if(_Atomic(PyObject *) *where, PyObject *expected, PyObject *wanted)
{
    return atomic_compare_exchange_strong(where, &expected, wanted);
}
#else
#define INTERRUPTION_FREE_THREADED 0

static inline uint64_t
interruption_add(_Atomic uint64_t *to, uint64_t amount)
{
    uint64_t before = atomic_load_explicit(to, memory_order_relaxed);
    atomic_store_explicit(to, before + amount, memory_order_relaxed);
    return before;
}

static inline bool
interruption_exchange_if(_Atomic(PyObject *) *where, PyObject *expected, PyObject *wanted)
{
    if (atomic_load_explicit(where, memory_order_relaxed) != expected) {
        return false;
    }
    atomic_store_explicit(where, wanted, memory_order_relaxed);
    return true;
}
#endif

/*
 * Are `own` references, all of them made by the calling thread, the only ones to the object? Then
 * nobody can get at it any more, but through a weak reference.
 */
static inline bool
interruption_references_are(PyObject *object, Py_ssize_t own)
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

/* Slots of the module's definition that only some versions know. Ends with the closing slot. */
#if PY_VERSION_HEX >= 0x030D0000
#define INTERRUPTION_VERSION_SLOTS                                                                 \
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},                    \
        {Py_mod_gil, Py_MOD_GIL_NOT_USED},                                                         \
    {                                                                                              \
        0, NULL                                                                                    \
    }
#elif PY_VERSION_HEX >= 0x030C0000
#define INTERRUPTION_VERSION_SLOTS                                                                 \
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED}, { 0, NULL }
#else
#define INTERRUPTION_VERSION_SLOTS {0, NULL}
#endif

/*
 * To be called once for each interpreter, before the rest. Python may be finalized and started
 * again in one process; thread state ids begin again then, and this keeps serials from repeating.
 * Returns 1 if this is such a new start, 0 if not, -1 with an exception set.
 */
int interruption_new_interpreter(void);

/* The names of the calling thread. It must be attached (hold the GIL, where there is one). */
itr_thread interruption_self(void);

/*
 * All live Python threads of this interpreter, in memory to be given back by PyMem_RawFree. Threads
 * that have been made but do not run yet are among them, with ITR_NO_THREAD_ID. Returns 0, or -1
 * with MemoryError set.
 */
int interruption_list_threads(itr_thread **threads, size_t *count);

/* Which frames are of no use in telling where a thread is. Compared by identity. */
typedef struct {
    PyObject *wrapper_file;   /* a co_filename; or NULL */
    PyObject *const *but_not; /* code objects, and NULL */
} interruption_places;

/*
 * Where the calling thread, `self`, is in Python: the code object (a new reference; NULL: nowhere)
 * and the place in it, as PyCode_Addr2Line takes it. Frames of functions that are called `acquire`,
 * `__enter__` and the like, and of `wrapper_file`, are passed over if there is another one below.
 * False, and nothing, if the innermost frame's code is one of `but_not`.
 *
 * `*plain` is the thread's own and NULL to begin with: the last code object for which none of that
 * was so, to be quick when it comes again (it may have gone, and a wrapper come in its place; then
 * that is told). Makes no frame objects, runs no Python code.
 */
bool interruption_current_place(PyThreadState *self, const interruption_places *places,
                                PyObject **plain, PyObject **code, int *lasti);

/* To be called before the first of these in an interpreter. 0, or -1 with an exception set. */
int interruption_current_place_init(void);

#endif
