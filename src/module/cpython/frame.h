/*
 * CPython's frames, as far as we look at them; what differs between versions is in frame.c.
 *
 * A frame has two forms: the interpreter's own, which costs nothing but may only be named here (by
 * its address) and asked for its code, and the frame object, made when somebody wants one. The
 * address of a frame names it as long as it runs or is suspended; after that it may name another.
 */
#ifndef MOD_FRAME_H
#define MOD_FRAME_H

#include <stdatomic.h>
#include <stdbool.h>

#include "state.h"

/* Names that functions are known by, and one of an attribute. Interned and kept, as those of code
   objects are: so they are the same objects. */
enum mod_name {
    MOD_ENTER,
    MOD_AENTER,
    MOD_ENTER_CONTEXT,
    MOD_ACQUIRE,
    MOD_ACQUIRE_LOCK,
    MOD_ACQUIRE_RESTORE,
    MOD_WRAPPERS, /* those before are no place to tell of: see mod_current_place */
    MOD_EXIT = MOD_WRAPPERS,
    MOD_AEXIT,
    MOD_ENTER_ASYNC_CONTEXT,
    MOD_DEL,
    MOD_INIT,
    MOD_MARK, /* see marks.h */
    MOD_NAMES
};

extern _Atomic(PyObject *) mod_names[MOD_NAMES];

/* Borrowed. */
static inline PyObject *
mod_name(int which)
{
    /* Relaxed: written before anybody comes here. */
    return atomic_load_explicit(&mod_names[which], memory_order_relaxed);
}

static inline bool
mod_is_named(const PyCodeObject *code, int which)
{
    return code->co_name == mod_name(which);
}

/* To be called once for each interpreter. 0, or -1 with MemoryError set. */
int mod_names_init(void);

/* The calling thread's innermost frame, or NULL. An address, not to be followed. */
static inline void *
mod_frame_now(PyThreadState *tstate)
{
#if PY_VERSION_HEX >= 0x030D0000 /* gh-108035 */
    return tstate->current_frame;
#else
    return tstate->cframe->current_frame;
#endif
}

/* Of a frame that runs in the calling thread: its code (a new reference; NULL if it has none, as a
   frame made by C may), and where it is in it, in bytes; then -1. */
PyCodeObject *mod_frame_place(void *frame, int *lasti);

/* The address of the frame that the object stands for. */
void *mod_frame_address(PyFrameObject *frame);

/* The value of the argument with that index among the code's variables: a new reference, or NULL if
   it has none any more. Keeps no exception set. */
PyObject *mod_frame_argument(PyFrameObject *frame, PyCodeObject *code, int index);

/* The index of the variable with that name among those of the code; -1: it has none. */
int mod_find_variable(PyCodeObject *code, const char *name);

/* The value of the frame's variable with that name: a new reference, or NULL if it has none, or not
   yet. Keeps no exception set. */
PyObject *mod_frame_variable(PyFrameObject *frame, PyCodeObject *code, const char *name);

/*
 * Of a thread that cannot run, or the calling one: the name of the stack that its Python frames lie
 * on; NULL before the first. It has another for each greenlet: who switches from one to another has
 * to exchange the stack, for the frames of those that are suspended stay there. The first piece of
 * a stack is kept as long as the stack is.
 */
static inline const void *
mod_stack_now(const PyThreadState *tstate)
{
    const _PyStackChunk *piece = tstate->datastack_chunk;
    while (piece != NULL && piece->previous != NULL) {
        piece = piece->previous;
    }
    return piece;
}

/*
 * The same: the name of the innermost generator or coroutine that runs, Python's own or Cython's;
 * NULL if none does. Each puts the exceptions that it handles on top of its resumer's, in a list.
 */
static inline const void *
mod_generator_now(const PyThreadState *tstate)
{
    return tstate->exc_info == &tstate->exc_state ? NULL : tstate->exc_info;
}

/* The one outside that one, which runs; or NULL. */
static inline const void *
mod_generator_below(const PyThreadState *tstate, const void *generator)
{
    const _PyErr_StackItem *below = ((const _PyErr_StackItem *)generator)->previous_item;
    return below == &tstate->exc_state ? NULL : below;
}

/* Is it the generator whose frame that is? */
bool mod_is_generator_of(const void *generator, PyFrameObject *frame);

/* Has the generator, which is the calling thread's innermost, no frame, so that it is compiled? */
bool mod_has_no_frame(PyThreadState *tstate, const void *generator);

/* Does the calling thread run a compiled generator that is inside of all others? */
static inline bool
mod_compiled_generator_runs(PyThreadState *tstate)
{
    const void *generator = mod_generator_now(tstate);
    return generator != NULL && mod_has_no_frame(tstate, generator);
}

/* Is it of a function, or a generator, that C code has called or resumed? Calls that Python code
   makes do not go through C, but for some of objects that are no functions. Of a running frame. */
bool mod_frame_is_called_by_c(PyFrameObject *frame);

/* The function that it is a call of, if of one: a new reference, or NULL. */
PyObject *mod_frame_function(PyFrameObject *frame);

/* Does it belong to a generator, coroutine or asynchronous generator? */
static inline bool
mod_is_generator_code(const PyCodeObject *code)
{
    return (code->co_flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
}

/* The objects of frames are made when they are asked for, and are asked for under our locks. Up to
   3.11 whoever makes an object may have to collect garbage first, by which finalizers run, and with
   them other threads, which may wait for such a lock: not here. Later versions collect between two
   instructions (gh-97922). The caller has the GIL until that is over, so nobody sees the collector
   switched off. */
#if PY_VERSION_HEX < 0x030C0000
static inline int
mod_pause_collector(void)
{
    return PyGC_Disable();
}

static inline void
mod_resume_collector(int enabled)
{
    if (enabled) {
        (void)PyGC_Enable();
    }
}
#else
static inline int
mod_pause_collector(void)
{
    return 0;
}

static inline void
mod_resume_collector(int Py_UNUSED(enabled))
{
}
#endif

/* PyThreadState_GetFrame. */
static inline PyFrameObject *
mod_frame_of_thread(PyThreadState *tstate)
{
    int enabled = mod_pause_collector();
    PyFrameObject *frame = PyThreadState_GetFrame(tstate);
    mod_resume_collector(enabled);
    return frame;
}

/* PyFrame_GetBack. */
static inline PyFrameObject *
mod_frame_before(PyFrameObject *frame)
{
    int enabled = mod_pause_collector();
    PyFrameObject *back = PyFrame_GetBack(frame);
    mod_resume_collector(enabled);
    return back;
}

/* From frame to frame, outwards. Each returns a new reference; NULL: there is none, or, if `*lost`
   is true then, there is no memory for its object. No exception is set. */

static inline PyFrameObject *
mod_frame_innermost(PyThreadState *tstate, bool *lost)
{
    PyFrameObject *frame = mod_frame_of_thread(tstate);
    *lost = frame == NULL && mod_frame_now(tstate) != NULL;
    return frame;
}

/* Takes the reference that it is given. An exception that is set already stays, if none is lost. */
static inline PyFrameObject *
mod_frame_back(PyFrameObject *frame, bool *lost)
{
    bool raising = PyErr_Occurred() != NULL;
    PyFrameObject *back = mod_frame_before(frame);
    Py_DECREF(frame);
    *lost = back == NULL && PyErr_Occurred() != NULL && !raising;
    if (*lost) {
        PyErr_Clear();
    }
    return back;
}

/*
 * From frame to frame, outwards, of the calling thread or one that cannot run:
 *
 *     mod_walk walk = mod_walk_begin(tstate);
 *     for (; walk.frame != NULL; mod_walk_on(&walk)) { ... }
 *     mod_walk_end(&walk);
 *
 * An exception that is set already stays, if no frame is lost.
 */
typedef struct {
    PyFrameObject *frame; /* strong; NULL: there is none any more */
    PyCodeObject *code;   /* what it runs; strong */
    bool lost;            /* there is no memory for the next one's object */
} mod_walk;

mod_walk mod_walk_begin(PyThreadState *tstate);
void mod_walk_on(mod_walk *walk);
void mod_walk_end(mod_walk *walk);

/* 3.11: is the trace function called for each instruction of the frame? Returns what was before. */
bool mod_frame_trace_opcodes(PyFrameObject *frame, bool trace);

/*
 * For a process that is about to end, and whose threads cannot be asked: what is there to be seen
 * of a frame without the GIL. The innermost frame from `frame` on that has code, and that code
 * (borrowed) and place; NULL: there is none. Whoever holds the GIL may be changing it: to be called
 * in a copy of the process. Allocates nothing.
 */
void *mod_peek_at_frame(void *frame, PyCodeObject **code, int *lasti);

/* The frame that has called that one. */
void *mod_frame_below(void *frame);

/* Which frames are of no use in telling where a thread is. Compared by identity. */
typedef struct {
    PyObject *wrapper_file;   /* a co_filename; or NULL */
    PyObject *const *but_not; /* code objects, and NULL */
} mod_places;

/*
 * Where the calling thread, `self`, is in Python: the code object (borrowed; NULL: nowhere) and the
 * place in it, as PyCode_Addr2Line takes it. Frames of functions that are called `acquire`,
 * `__enter__` and the like, and of `wrapper_file`, are passed over if there is another one below.
 * False, and nothing, if the innermost frame's code is one of `but_not`.
 *
 * `*plain` is the thread's own and NULL to begin with: the last code object for which none of that
 * was so, to be quick when it comes again (it may have gone, and a wrapper come in its place; then
 * that is told). Makes no frame objects, runs no Python code.
 */
bool mod_current_place(PyThreadState *self, const mod_places *places, PyObject **plain,
                       PyObject **code, int *lasti);

/* (filename, line, function), or None for no code. NULL with an exception set. */
PyObject *mod_describe_place(const PyCodeObject *code, int lasti);

/* Are the fields of frames where they were when this was built? From 3.13 the interpreter tells
   debuggers where they are. NULL, or the name of one that is elsewhere. */
const char *mod_strange_frames(void);

/* Do the above hold for this interpreter? 0, or -1 with ImportError set. */
int mod_check_frames(void);

#endif
