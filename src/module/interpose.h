/*
 * Interposing: exchanging the C entry point of a built-in method or function for one of ours, in
 * place, in its PyMethodDef. Names, docs, signatures and identities stay, and whoever has the
 * method already, by name or bound, calls ours from then on.
 *
 * Which convention a method is called by differs between versions, and ours must have the same. So
 * a family of methods is a table of interruption_row, each with an INTERRUPTION_REPLACEMENT: one
 * function around any convention, and a quick look whether it is wanted. See blocking/locks.c.
 */
#ifndef INTERRUPTION_INTERPOSE_H
#define INTERRUPTION_INTERPOSE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "state.h"

/* The C shapes that the conventions come down to. */
typedef enum {
    INTERRUPTION_PAIR,          /* METH_NOARGS, METH_O, METH_VARARGS: self and one more */
    INTERRUPTION_KEYWORDS,      /* METH_VARARGS | METH_KEYWORDS */
    INTERRUPTION_FAST,          /* METH_FASTCALL */
    INTERRUPTION_FAST_KEYWORDS, /* METH_FASTCALL | METH_KEYWORDS */
    INTERRUPTION_SHAPES
} interruption_shape;

/* One call of a replaced method. */
typedef struct {
    PyCFunction original;
    interruption_shape shape;
    PyObject *self;
    PyObject *argument;      /* PAIR: NULL, the argument, or a tuple of them; KEYWORDS: a tuple */
    PyObject *const *vector; /* FAST, FAST_KEYWORDS */
    Py_ssize_t count;        /* of positional arguments in the vector */
    PyObject *keywords;      /* KEYWORDS: a dict or NULL; FAST_KEYWORDS: a tuple or NULL */
} interruption_call;

/* A method, and what takes its place. Lives as long as the process, as the method's table does. */
typedef struct {
    PyCFunction functions[INTERRUPTION_SHAPES]; /* constant; all NULL: only `original` is wanted */
    _Atomic(PyCFunction) original; /* atomic: release before the first exchange, under interpose.c's
                                      mutex; never changed afterwards. NULL: never found */
    PyMethodDef *definition;       /* guarded by interpose.c's mutex */
    interruption_shape shape;      /* guarded by interpose.c's mutex */
} interruption_method;

/* Where a method is found. A row that is not `optional` and not found refuses the whole family. */
typedef struct {
    const char *module;
    const char *type; /* NULL: a function of the module */
    const char *name;
    interruption_method *method;
    bool optional; /* some version or platform is without it */
} interruption_row;

/* What is interposed together or not at all. */
typedef struct {
    const char *name;
    const interruption_row *rows; /* the last has no module */
    bool (*check)(void); /* NULL, or: is the rest as we expect? Called after the rows were found;
                            true, or false with an exception set */
    bool enabled;        /* guarded by interpose.c's mutex */
} interruption_family;

/*
 * Interpose a family. 0, also if it was before; or -1 with an exception set, and nothing is
 * exchanged: ImportError (no such module), AttributeError (no such method), RuntimeError (a layout
 * or a convention that we do not know). Imports the modules; may run Python code.
 */
int interruption_family_enable(interruption_family *family);

/* Put the originals back. Calls that are under way end in our functions. */
void interruption_family_disable(interruption_family *family);

bool interruption_family_enabled(const interruption_family *family);

/* The original of a method of an enabled family, for calls of our own. */
static inline PyCFunction
interruption_original(const interruption_method *method)
{
    /* Relaxed: whoever runs one of our functions was sent here by the exchange, which was made
       after the store while nobody else ran; see interpose.c. */
    return atomic_load_explicit(&method->original, memory_order_relaxed);
}

/* Call the original with the arguments that came. */
static inline PyObject *
interruption_call_original(const interruption_call *call)
{
    switch (call->shape) {
    case INTERRUPTION_KEYWORDS:
        return ((PyCFunctionWithKeywords)(void (*)(void))call->original)(call->self, call->argument,
                                                                         call->keywords);
    case INTERRUPTION_FAST:
        return ((PyObject * (*)(PyObject *, PyObject *const *, Py_ssize_t))(
                    void (*)(void))call->original)(call->self, call->vector, call->count);
    case INTERRUPTION_FAST_KEYWORDS:
        return ((PyObject * (*)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *))(void (*)(
            void))call->original)(call->self, call->vector, call->count, call->keywords);
    default:
        return call->original(call->self, call->argument);
    }
}

#define INTERRUPTION_AS_FUNCTION(function) ((PyCFunction)(void (*)(void))(function))

/* Define `interruption_method id`, a method whose original alone is wanted. */
#define INTERRUPTION_ORIGINAL(id) static interruption_method id

/* One convention of a replacement: the entry point, which where it is not wanted only looks and
   goes on to the original, and so needs no stack; and the rest. */
#define INTERRUPTION_ENTRY(id, wanted, around, which, parameters, arguments, ...)                  \
    __attribute__((noinline)) static PyObject *id##_wanted_##which parameters                      \
    {                                                                                              \
        return around(&(interruption_call){                                                        \
            .original = interruption_original(&id), .shape = which, .self = self, __VA_ARGS__});   \
    }                                                                                              \
    static PyObject *id##_##which parameters                                                       \
    {                                                                                              \
        if (wanted(self)) {                                                                        \
            return id##_wanted_##which arguments;                                                  \
        }                                                                                          \
        return interruption_call_original(&(interruption_call){                                    \
            .original = interruption_original(&id), .shape = which, .self = self, __VA_ARGS__});   \
    }

/* Define `interruption_method id`, replaced by `around(call)` where `wanted(self)`, whatever its
   convention. */
#define INTERRUPTION_REPLACEMENT(id, wanted, around)                                               \
    static interruption_method id;                                                                 \
    INTERRUPTION_ENTRY(id, wanted, around, INTERRUPTION_PAIR,                                      \
                       (PyObject * self, PyObject * argument), (self, argument),                   \
                       .argument = argument)                                                       \
    INTERRUPTION_ENTRY(id, wanted, around, INTERRUPTION_KEYWORDS,                                  \
                       (PyObject * self, PyObject * argument, PyObject * keywords),                \
                       (self, argument, keywords), .argument = argument, .keywords = keywords)     \
    INTERRUPTION_ENTRY(id, wanted, around, INTERRUPTION_FAST,                                      \
                       (PyObject * self, PyObject *const *vector, Py_ssize_t count),               \
                       (self, vector, count), .vector = vector, .count = count)                    \
    INTERRUPTION_ENTRY(                                                                            \
        id, wanted, around, INTERRUPTION_FAST_KEYWORDS,                                            \
        (PyObject * self, PyObject *const *vector, Py_ssize_t count, PyObject *keywords),          \
        (self, vector, count, keywords), .vector = vector, .count = count, .keywords = keywords)   \
    static interruption_method id = {                                                              \
        .functions = {INTERRUPTION_AS_FUNCTION(id##_INTERRUPTION_PAIR),                            \
                      INTERRUPTION_AS_FUNCTION(id##_INTERRUPTION_KEYWORDS),                        \
                      INTERRUPTION_AS_FUNCTION(id##_INTERRUPTION_FAST),                            \
                      INTERRUPTION_AS_FUNCTION(id##_INTERRUPTION_FAST_KEYWORDS)}}

#endif
