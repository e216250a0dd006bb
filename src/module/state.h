/*
 * The module's state, and what every file of the module includes.
 *
 * The state is written while the module is being executed and cleared when it is freed; in between
 * it is only read, so it needs no guard. After it is cleared (interpreter exit, in a `__del__`) its
 * members are NULL: whoever uses one says what happens then.
 */
#ifndef MOD_STATE_H
#define MOD_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>

/* Of a function that a hot path calls seldom: keeps the hot path short. */
#define MOD_SELDOM __attribute__((noinline, cold))

typedef struct {
    PyObject *module;          /* this module; borrowed: it is freed with this */
    PyTypeObject *thread_exit; /* interruption.ThreadExit */
    PyObject *anchor_key;      /* see current.c: in a thread state's dictionary */
    PyObject *threading;       /* the standard library's module */
    PyObject *thread_type;     /* threading.Thread */

    /* see protected.h; outlives the others: until the module is freed */
    struct mod_protected *protected_code;
} mod_state;

/* The state of the module in the running interpreter, for C functions that are called without it;
   NULL while there is none. atomic: release by the module's execution and clearing, acquire by
   those. */
extern _Atomic(mod_state *) mod_state_now;

static inline mod_state *
mod_get_state(PyObject *module)
{
    return (mod_state *)PyModule_GetState(module);
}

#endif
