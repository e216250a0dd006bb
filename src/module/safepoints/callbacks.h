/*
 * Which frames the interpreter has called at a moment of its own, where an exception would be
 * swallowed or hit something else (S9): finalizers, callbacks of weak references, signal handlers,
 * callbacks of the garbage collector.
 *
 * They are told by where they are called from, and by what with. From C: a function that Python
 * code has called itself is none. And with what the interpreter gives to such a function, by
 * position. A function that is none but is called so, by C code, is taken for one.
 */
#ifndef MOD_CALLBACKS_H
#define MOD_CALLBACKS_H

#include "cpython/frame.h"

/* By the thread that the frame runs in, or while that cannot run. No Python code runs; never fails.
 */
bool mod_is_callback(PyFrameObject *frame, PyCodeObject *code);

#endif
