/*
 * CPython's frames, as far as we look at them; what differs between versions is in frame.c.
 *
 * A frame has two forms: the interpreter's own, which costs nothing but may only be named here (by
 * its address) and asked for its code, and the frame object, made when somebody wants one. The
 * address of a frame names it as long as it runs or is suspended; after that it may name another.
 */
#ifndef INTERRUPTION_FRAME_H
#define INTERRUPTION_FRAME_H

#include <stdbool.h>

#include "state.h"

/* The calling thread's innermost frame, or NULL. An address, not to be followed. */
static inline void *
interruption_frame_now(PyThreadState *tstate)
{
#if PY_VERSION_HEX >= 0x030D0000
    return tstate->current_frame;
#else
    return tstate->cframe->current_frame;
#endif
}

/* Of a frame that runs in the calling thread: its code (a new reference; NULL if it has none, as a
   frame made by C may), and where it is in it, in bytes. */
PyCodeObject *interruption_frame_code(void *frame);
int interruption_frame_lasti(void *frame);

/* Both at once; `*lasti` is -1 where there is no code. */
PyCodeObject *interruption_frame_place(void *frame, int *lasti);

/* The address of the frame that the object stands for. */
void *interruption_frame_address(PyFrameObject *frame);

/* The value of the argument with that index among the code's variables: a new reference, or NULL if
   it has none any more. Keeps no exception set. */
PyObject *interruption_frame_argument(PyFrameObject *frame, PyCodeObject *code, int index);

/* Does it belong to a generator, coroutine or asynchronous generator? */
static inline bool
interruption_is_generator_code(const PyCodeObject *code)
{
    return (code->co_flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
}

/* The next outer frame; takes the reference that it is given, returns a new one or NULL. */
static inline PyFrameObject *
interruption_frame_back(PyFrameObject *frame)
{
    PyFrameObject *back = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    return back;
}

/* 3.11: is the trace function called for each instruction of the frame? Returns what was before. */
bool interruption_frame_trace_opcodes(PyFrameObject *frame, bool trace);

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

/* Do the above hold for this interpreter? 0, or -1 with ImportError set. */
int interruption_check_frames(void);

#endif
