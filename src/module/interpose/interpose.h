/*
 * Interposing: exchanging the C entry point of a built-in method or function for one of ours, in
 * place, in its PyMethodDef. Names, docs, signatures and identities stay, and whoever has the
 * method already, by name or bound, calls ours from then on.
 *
 * Which convention a method is called by differs between versions, and ours must have the same. So
 * a family of methods is a table of mod_row, each with an MOD_REPLACEMENT: one
 * function around any convention, and a quick look whether it is wanted. See blocking/sync/locks.c.
 * What was tried before: docs/rejected.md.
 */
#ifndef MOD_INTERPOSE_H
#define MOD_INTERPOSE_H

#include "interpose/method.h"

/* One call of a replaced method. */
typedef struct {
    const mod_method *method;
    PyCFunction original;
    mod_shape shape;
    PyObject *self;
    PyObject *argument;      /* PAIR: NULL, the argument, or a tuple of them; KEYWORDS: a tuple */
    PyTypeObject *defining;  /* FAST_CLASS: the class that the method is of */
    PyObject *const *vector; /* FAST, FAST_KEYWORDS, FAST_CLASS */
    Py_ssize_t count;        /* of positional arguments in the vector */
    PyObject *keywords; /* KEYWORDS: a dict or NULL; FAST_KEYWORDS, FAST_CLASS: a tuple or NULL */
} mod_call;

/* What is interposed together or not at all. */
typedef struct {
    const char *name;
    const mod_row *rows; /* the last has no module */
    bool (*check)(void); /* NULL, or: is the rest as we expect? Called after the rows were found;
                            true, or false with an exception set */
    bool enabled;        /* guarded by interpose.c's mutex */
} mod_family;

/*
 * Find a family's methods. 0, or -1 with an exception set: ImportError (no such module),
 * AttributeError (no such method), RuntimeError (a layout or a convention that we do not know).
 * Imports the modules; may run Python code. Nothing is exchanged.
 */
int mod_family_find(const mod_family *family);

/*
 * Interpose families that have been found, or put the originals back; and call `also(arg)` (NULL:
 * nothing): all in one step, while nobody else runs. Calls that are under way end in our functions.
 * A family of which somebody else has replaced a method meanwhile stays as it is.
 */
void mod_families_exchange(mod_family *const *families, size_t count, bool ours,
                           void (*also)(void *arg), void *arg);

/* Find and interpose one. 0, also if it was before; or -1 with an exception set, and nothing is
   exchanged. */
int mod_family_enable(mod_family *family);

/* Put its originals back. */
void mod_family_disable(mod_family *family);

bool mod_family_enabled(const mod_family *family);

/* How a row of a family that was looked for stands. */
typedef enum {
    MOD_ROW_ABSENT, /* there is no such method */
    MOD_ROW_HELPER, /* only its original is wanted */
    MOD_ROW_ORIGINAL,
    MOD_ROW_INTERPOSED
} mod_row_state;

mod_row_state mod_row_now(const mod_row *row);

/* Call the original with the arguments that came. */
static inline PyObject *
mod_call_original(const mod_call *call)
{
    switch (call->shape) {
    case MOD_KEYWORDS:
        return ((PyCFunctionWithKeywords)(void (*)(void))call->original)(call->self, call->argument,
                                                                         call->keywords);
    case MOD_FAST:
        return ((PyObject * (*)(PyObject *, PyObject *const *, Py_ssize_t))(
                    void (*)(void))call->original)(call->self, call->vector, call->count);
    case MOD_FAST_KEYWORDS:
        return ((PyObject * (*)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *))(void (*)(
            void))call->original)(call->self, call->vector, call->count, call->keywords);
    case MOD_FAST_CLASS:
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
static inline mod_call
mod_call_rebuilt(const mod_call *call)
{
    return (mod_call){.method = call->method,
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
mod_call_is_bare(const mod_call *call)
{
    return call->shape == MOD_PAIR
               ? call->argument == NULL
               : call->shape == MOD_FAST_KEYWORDS && call->count == 0 && call->keywords == NULL;
}

/* How many arguments came. */
Py_ssize_t mod_call_count(const mod_call *call);

/* The argument at that place among the positional ones or (name not NULL) with that name; borrowed.
   NULL: it was not given. */
PyObject *mod_call_argument(const mod_call *call, Py_ssize_t index, const char *name);

/* Call the original again with other positional arguments, and no others. */
PyObject *mod_call_again(const mod_call *call, PyObject *const *arguments, Py_ssize_t count);

/* A call of the original of a method of an enabled family, whatever its convention, to be called
   again with other arguments; but it must not be one that wants to know its class. */
static inline mod_call
mod_call_of(const mod_method *method, PyObject *self)
{
    return (mod_call){
        .method = method, .original = mod_original(method), .shape = method->shape, .self = self};
}

/* The same, and call it. */
PyObject *mod_call_method(const mod_method *method, PyObject *self, PyObject *const *arguments,
                          Py_ssize_t count);

/* What a method without arguments answers; false also if it fails. */
static inline bool
mod_says_yes(const mod_method *method, PyObject *self)
{
    PyObject *answer = mod_original(method)(self, NULL);
    if (answer == NULL) {
        PyErr_Clear();
        return false;
    }
    Py_DECREF(answer);
    return answer == Py_True;
}

/* The descriptor of an object, by its method `fileno`. -1: it is closed. Keeps no exception set. */
static inline int
mod_descriptor_of(const mod_method *fileno, PyObject *self)
{
    PyObject *number = mod_original(fileno)(self, NULL);
    long fd = number == NULL ? -1 : PyLong_AsLong(number);
    Py_XDECREF(number);
    PyErr_Clear();
    return fd < 0 || fd > INT_MAX ? -1 : (int)fd;
}

#define MOD_AS_FUNCTION(function) ((PyCFunction)(void (*)(void))(function))

/* Define `mod_method id`, a method whose original alone is wanted. */
#define MOD_ORIGINAL(id) static mod_method id

/* One convention of a replacement: the entry point, which where it is not wanted only looks and
   goes on to the original, and so needs no stack; and the rest. */
#define MOD_ENTRY(id, wanted, around, which, parameters, arguments, ...)                           \
    __attribute__((noinline)) static PyObject *id##_wanted_##which parameters                      \
    {                                                                                              \
        return around(&(mod_call){.method = &id,                                                   \
                                  .original = mod_original(&id),                                   \
                                  .shape = which,                                                  \
                                  .self = self,                                                    \
                                  __VA_ARGS__});                                                   \
    }                                                                                              \
    static PyObject *id##_##which parameters                                                       \
    {                                                                                              \
        if (wanted(self)) {                                                                        \
            return id##_wanted_##which arguments;                                                  \
        }                                                                                          \
        return mod_call_original(&(mod_call){                                                      \
            .original = mod_original(&id), .shape = which, .self = self, __VA_ARGS__});            \
    }

/* Define `mod_method id`, replaced by `around(call)` where `wanted(self)`, whatever its
   convention. */
#define MOD_REPLACEMENT(id, wanted, around)                                                        \
    static mod_method id;                                                                          \
    MOD_ENTRY(id, wanted, around, MOD_PAIR, (PyObject * self, PyObject * argument),                \
              (self, argument), .argument = argument)                                              \
    MOD_ENTRY(id, wanted, around, MOD_KEYWORDS,                                                    \
              (PyObject * self, PyObject * argument, PyObject * keywords),                         \
              (self, argument, keywords), .argument = argument, .keywords = keywords)              \
    MOD_ENTRY(id, wanted, around, MOD_FAST,                                                        \
              (PyObject * self, PyObject *const *vector, Py_ssize_t count), (self, vector, count), \
              .vector = vector, .count = count)                                                    \
    MOD_ENTRY(id, wanted, around, MOD_FAST_KEYWORDS,                                               \
              (PyObject * self, PyObject *const *vector, Py_ssize_t count, PyObject *keywords),    \
              (self, vector, count, keywords), .vector = vector, .count = count,                   \
              .keywords = keywords)                                                                \
    MOD_ENTRY(id, wanted, around, MOD_FAST_CLASS,                                                  \
              (PyObject * self, PyTypeObject * defining, PyObject *const *vector, size_t count,    \
               PyObject *keywords),                                                                \
              (self, defining, vector, count, keywords), .defining = defining, .vector = vector,   \
              .count = (Py_ssize_t)count, .keywords = keywords)                                    \
    static mod_method id = {                                                                       \
        .functions = {MOD_AS_FUNCTION(id##_MOD_PAIR), MOD_AS_FUNCTION(id##_MOD_KEYWORDS),          \
                      MOD_AS_FUNCTION(id##_MOD_FAST), MOD_AS_FUNCTION(id##_MOD_FAST_KEYWORDS),     \
                      MOD_AS_FUNCTION(id##_MOD_FAST_CLASS)}}

#endif
