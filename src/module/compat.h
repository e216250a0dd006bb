/*
 * Everything that depends on the version of CPython, or on how it was built, behind one name each.
 * The code is in compat.c; nowhere else is PY_VERSION_HEX or Py_GIL_DISABLED looked at.
 */
#ifndef INTERRUPTION_COMPAT_H
#define INTERRUPTION_COMPAT_H

#include "itr_registry.h"
#include "state.h"

#if PY_VERSION_HEX < 0x030D0000
#include <pthread.h>
#endif

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

/*
 * A lock for a few instructions, taken attached. Where there is a GIL it is never contended, as
 * long as nothing that is done under it gives the GIL up; without one, who waits for it detaches.
 */
#if PY_VERSION_HEX >= 0x030D0000
typedef PyMutex interruption_mutex;
#define INTERRUPTION_MUTEX_INIT {0}
#define interruption_mutex_lock PyMutex_Lock
#define interruption_mutex_unlock PyMutex_Unlock
#else
typedef pthread_mutex_t interruption_mutex;
#define INTERRUPTION_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define interruption_mutex_lock (void)pthread_mutex_lock
#define interruption_mutex_unlock (void)pthread_mutex_unlock
#endif

/* The slots for extensions that each code object has. A slot's number is good for an interpreter,
 * -1 if there is none left. `get` and `set` return 0, or -1, perhaps with an exception set. */
#if PY_VERSION_HEX >= 0x030C0000
#define interruption_request_code_slot PyUnstable_Eval_RequestCodeExtraIndex
#define interruption_get_code_slot(code, slot, value)                                              \
    PyUnstable_Code_GetExtra((PyObject *)(code), slot, value)
#define interruption_set_code_slot(code, slot, value)                                              \
    PyUnstable_Code_SetExtra((PyObject *)(code), slot, value)
#else
#define interruption_request_code_slot _PyEval_RequestCodeExtraIndex
#define interruption_get_code_slot(code, slot, value)                                              \
    _PyCode_GetExtra((PyObject *)(code), slot, value)
#define interruption_set_code_slot(code, slot, value)                                              \
    _PyCode_SetExtra((PyObject *)(code), slot, value)
#endif

#endif
