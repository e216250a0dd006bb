/*
 * Interposing: exchanging the C entry point of a built-in method or function for one of ours, in
 * place, in its PyMethodDef. Names, docs, signatures and identities stay, and whoever has the
 * method already, by name or bound, calls ours from then on.
 *
 * Which convention a method is called by differs between versions, and ours must have the same. So
 * a family of methods is a table of interruption_row, each with an INTERRUPTION_REPLACEMENT: one
 * function around any convention, and a quick look whether it is wanted. See blocking/sync/locks.c.
 * What was tried before: docs/rejected.md.
 */
#ifndef INTERRUPTION_INTERPOSE_H
#define INTERRUPTION_INTERPOSE_H

#include "interpose/method.h"

/* One call of a replaced method. */
typedef struct {
    const interruption_method *method;
    PyCFunction original;
    interruption_shape shape;
    PyObject *self;
    PyObject *argument;      /* PAIR: NULL, the argument, or a tuple of them; KEYWORDS: a tuple */
    PyTypeObject *defining;  /* FAST_CLASS: the class that the method is of */
    PyObject *const *vector; /* FAST, FAST_KEYWORDS, FAST_CLASS */
    Py_ssize_t count;        /* of positional arguments in the vector */
    PyObject *keywords; /* KEYWORDS: a dict or NULL; FAST_KEYWORDS, FAST_CLASS: a tuple or NULL */
} interruption_call;

/* What is interposed together or not at all. */
typedef struct {
    const char *name;
    const interruption_row *rows; /* the last has no module */
    bool (*check)(void); /* NULL, or: is the rest as we expect? Called after the rows were found;
                            true, or false with an exception set */
    bool enabled;        /* guarded by interpose.c's mutex */
} interruption_family;

/*
 * Find a family's methods. 0, or -1 with an exception set: ImportError (no such module),
 * AttributeError (no such method), RuntimeError (a layout or a convention that we do not know).
 * Imports the modules; may run Python code. Nothing is exchanged.
 */
int interruption_family_find(const interruption_family *family);

/*
 * Interpose families that have been found, or put the originals back; and call `also(arg)` (NULL:
 * nothing): all in one step, while nobody else runs. Calls that are under way end in our functions.
 * A family of which somebody else has replaced a method meanwhile stays as it is.
 */
void interruption_families_exchange(interruption_family *const *families, size_t count, bool ours,
                                    void (*also)(void *arg), void *arg);

/* Find and interpose one. 0, also if it was before; or -1 with an exception set, and nothing is
   exchanged. */
int interruption_family_enable(interruption_family *family);

/* Put its originals back. */
void interruption_family_disable(interruption_family *family);

bool interruption_family_enabled(const interruption_family *family);

/* How a row of a family that was looked for stands. */
typedef enum {
    INTERRUPTION_ROW_ABSENT, /* there is no such method */
    INTERRUPTION_ROW_HELPER, /* only its original is wanted */
    INTERRUPTION_ROW_ORIGINAL,
    INTERRUPTION_ROW_INTERPOSED
} interruption_row_state;

interruption_row_state interruption_row_now(const interruption_row *row);

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
    case INTERRUPTION_FAST_CLASS:
        return ((PyCMethod)(void (*)(void))call->original)(call->self, call->defining, call->vector,
                                                           call->count, call->keywords);
    default:
        return call->original(call->self, call->argument);
    }
}

/*
 * For a function that is inlined into a replacement and seldom needs its call as a whole: the call,
 * put together only where that is so.
 */
static inline interruption_call
interruption_call_rebuilt(const interruption_call *call)
{
    return (interruption_call){.method = call->method,
                               .original = call->original,
                               .shape = call->shape,
                               .self = call->self,
                               .argument = call->argument,
                               .defining = call->defining,
                               .vector = call->vector,
                               .count = call->count,
                               .keywords = call->keywords};
}

/* Is it a call without arguments? To be inlined into a replacement: false also where that is not to
   be seen at once. */
static inline bool
interruption_call_is_bare(const interruption_call *call)
{
    return call->shape == INTERRUPTION_PAIR ? call->argument == NULL
                                            : call->shape == INTERRUPTION_FAST_KEYWORDS &&
                                                  call->count == 0 && call->keywords == NULL;
}

/* How many arguments came. */
Py_ssize_t interruption_call_count(const interruption_call *call);

/* The argument at that place among the positional ones or (name not NULL) with that name; borrowed.
   NULL: it was not given. */
PyObject *interruption_call_argument(const interruption_call *call, Py_ssize_t index,
                                     const char *name);

/* Call the original again with other positional arguments, and no others. */
PyObject *interruption_call_again(const interruption_call *call, PyObject *const *arguments,
                                  Py_ssize_t count);

/* A call of the original of a method of an enabled family, whatever its convention, to be called
   again with other arguments; but it must not be one that wants to know its class. */
static inline interruption_call
interruption_call_of(const interruption_method *method, PyObject *self)
{
    return (interruption_call){.method = method,
                               .original = interruption_original(method),
                               .shape = method->shape,
                               .self = self};
}

/* The same, and call it. */
PyObject *interruption_call_method(const interruption_method *method, PyObject *self,
                                   PyObject *const *arguments, Py_ssize_t count);

/* What a method without arguments answers; false also if it fails. */
static inline bool
interruption_says_yes(const interruption_method *method, PyObject *self)
{
    PyObject *answer = interruption_original(method)(self, NULL);
    if (answer == NULL) {
        PyErr_Clear();
        return false;
    }
    Py_DECREF(answer);
    return answer == Py_True;
}

/* The descriptor of an object, by its method `fileno`. -1: it is closed. Keeps no exception set. */
static inline int
interruption_descriptor_of(const interruption_method *fileno, PyObject *self)
{
    PyObject *number = interruption_original(fileno)(self, NULL);
    long fd = number == NULL ? -1 : PyLong_AsLong(number);
    Py_XDECREF(number);
    PyErr_Clear();
    return fd < 0 || fd > INT_MAX ? -1 : (int)fd;
}

#define INTERRUPTION_AS_FUNCTION(function) ((PyCFunction)(void (*)(void))(function))

/* Define `interruption_method id`, a method whose original alone is wanted. */
#define INTERRUPTION_ORIGINAL(id) static interruption_method id

/* One convention of a replacement: the entry point, which where it is not wanted only looks and
   goes on to the original, and so needs no stack; and the rest. */
#define INTERRUPTION_ENTRY(id, wanted, around, which, parameters, arguments, ...)                  \
    __attribute__((noinline)) static PyObject *id##_wanted_##which parameters                      \
    {                                                                                              \
        return around(&(interruption_call){.method = &id,                                          \
                                           .original = interruption_original(&id),                 \
                                           .shape = which,                                         \
                                           .self = self,                                           \
                                           __VA_ARGS__});                                          \
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
    INTERRUPTION_ENTRY(id, wanted, around, INTERRUPTION_FAST_CLASS,                                \
                       (PyObject * self, PyTypeObject * defining, PyObject *const *vector,         \
                        size_t count, PyObject *keywords),                                         \
                       (self, defining, vector, count, keywords), .defining = defining,            \
                       .vector = vector, .count = (Py_ssize_t)count, .keywords = keywords)         \
    static interruption_method id = {                                                              \
        .functions = {INTERRUPTION_AS_FUNCTION(id##_INTERRUPTION_PAIR),                            \
                      INTERRUPTION_AS_FUNCTION(id##_INTERRUPTION_KEYWORDS),                        \
                      INTERRUPTION_AS_FUNCTION(id##_INTERRUPTION_FAST),                            \
                      INTERRUPTION_AS_FUNCTION(id##_INTERRUPTION_FAST_KEYWORDS),                   \
                      INTERRUPTION_AS_FUNCTION(id##_INTERRUPTION_FAST_CLASS)}}

#endif
