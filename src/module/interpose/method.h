/*
 * A built-in method that is interposed, and where it is found: what interpose.c keeps of it.
 */
#ifndef MOD_METHOD_H
#define MOD_METHOD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "state.h"

/* The C shapes that the conventions come down to. */
typedef enum {
    MOD_PAIR,          /* METH_NOARGS, METH_O, METH_VARARGS: self and one more */
    MOD_KEYWORDS,      /* METH_VARARGS | METH_KEYWORDS */
    MOD_FAST,          /* METH_FASTCALL */
    MOD_FAST_KEYWORDS, /* METH_FASTCALL | METH_KEYWORDS */
    MOD_FAST_CLASS,    /* METH_METHOD | METH_FASTCALL | METH_KEYWORDS */
    MOD_SHAPES
} mod_shape;

/* A method, and what takes its place. Lives as long as the process, as the method's table does. */
typedef struct mod_method {
    PyCFunction functions[MOD_SHAPES]; /* constant; all NULL: only `original` is wanted */
    _Atomic(PyCFunction) original; /* atomic: release before the first exchange, under interpose.c's
                                      mutex; never changed afterwards. NULL: never found */
    PyMethodDef *definition;       /* guarded by interpose.c's mutex; never changed afterwards */
    struct mod_method *alike;      /* identity.c's: see there */
    mod_shape shape;               /* written before `original`, never changed afterwards */
    int flags;                     /* the same; METH_... */
} mod_method;

/* Where a method is found. A row that is not `optional` and not found refuses the whole family. */
typedef struct {
    const char *module;
    const char *type; /* NULL: a function of the module */
    const char *name;
    mod_method *method;
    bool optional; /* some version or platform is without it */
} mod_row;

/* The original of a method of an enabled family, for calls of our own. */
static inline PyCFunction
mod_original(const mod_method *method)
{
    /* Relaxed: whoever runs one of our functions was sent here by the exchange, which was made
       after the store while nobody else ran; see interpose.c. */
    return atomic_load_explicit(&method->original, memory_order_relaxed);
}

#endif
