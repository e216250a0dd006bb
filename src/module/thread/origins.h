/*
 * Whose block is it that is being entered or left (S21)? That of a frame further out, if the
 * innermost one is an `__enter__`, or if the generator of a context manager has it around its
 * `yield`; and a generator's, if others run in between. By the owner.
 */
#ifndef MOD_ORIGINS_H
#define MOD_ORIGINS_H

#include "cpython/frame.h"

/* Where a block is entered or left: seen from the calling thread's innermost frame. */
typedef struct {
    PyFrameObject *generator; /* the generator it belongs to, or NULL; strong */
    const void *compiled;     /* the compiled generator it belongs to, or NULL */
    PyFrameObject *base;      /* the frame whose block it is, or NULL; strong */
    bool coroutine;           /* that is a coroutine's, or was entered by one on its behalf */
    bool loose;
    bool lost; /* there was no memory to look further */
} mod_origin;

/* To be released. No exception is set. */
void mod_find_origin(PyThreadState *tstate, mod_origin *found);
void mod_release_origin(mod_origin *found);

/* Is the code a wrapper's: does a frame of it enter or leave blocks for another frame? */
bool mod_is_wrapper(const PyCodeObject *code);

/* Of a wrapper's: does it enter them? */
bool mod_is_entering(const PyCodeObject *code);

#endif
