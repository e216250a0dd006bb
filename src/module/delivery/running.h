/*
 * What Python code a thread runs, and what a call will run: for monitoring.c, which sets events on
 * it.
 */
#ifndef MOD_RUNNING_H
#define MOD_RUNNING_H

#include "thread/thread.h"

/* A code, and what is needed to know whether it is protected: strong references. */
typedef struct {
    PyCodeObject *code;
    PyObject *globals; /* or NULL: not known */
} mod_running_code;

typedef struct {
    const mod_thread *thread;
    mod_running_code *codes; /* in memory for PyMem_RawFree */
    size_t count;
    size_t capacity;
} mod_running;

/*
 * Under the mutex of the threads' list: the codes of the thread's frames, out to its region's own,
 * and of generators that have entered regions and are suspended, with what those wait for. The
 * thread is kept from running meanwhile. Where there is no memory, some are missing.
 */
void mod_find_running(const mod_thread *thread, mod_running *found);

/*
 * What Python code does a call of it run, or one that is given it: a function or method, a
 * generator or coroutine and what that waits for, a step of a task of asyncio's, a
 * functools.partial? None, if that cannot be told. Runs none.
 */
void mod_find_called(PyObject *callable, mod_running *found);

#endif
