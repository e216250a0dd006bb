/*
 * See interpose.h.
 *
 * A PyMethodDef of a built-in lives as long as the process and is never written by anybody else;
 * the interpreter reads the entry point from it at every call, by a plain load; so it is exchanged
 * while nobody else runs Python code.
 * What ours need (`original`) is written before any is exchanged, and stays
 * for ever, so that a call which read the pointer long ago still finds it; also after the end of
 * the interpreter and in the next one, which finds its methods interposed already.
 */
#include "interpose/interpose.h"

#include "cpython/compat.h"
#include "interpose/identity.h"
#include "interpose/originals.h"

/* Held for a few instructions, in which no Python code runs. */

/* -1 with RuntimeError set: another convention than those we know. */
static int
shape_of(const PyMethodDef *definition, const mod_row *row)
{
    switch (definition->ml_flags & ~METH_COEXIST) {
    case METH_NOARGS:
    case METH_O:
    case METH_VARARGS:
        return MOD_PAIR;
    case METH_VARARGS | METH_KEYWORDS:
        return MOD_KEYWORDS;
    case METH_FASTCALL:
        return MOD_FAST;
    case METH_FASTCALL | METH_KEYWORDS:
        return MOD_FAST_KEYWORDS;
    case METH_METHOD | METH_FASTCALL | METH_KEYWORDS:
        return MOD_FAST_CLASS;
    default:
        PyErr_Format(PyExc_RuntimeError, "%s.%s is called by a convention that is not known: %d",
                     row->module, row->name, definition->ml_flags);
        return -1;
    }
}

/* Find the row's method. 1; 0: there is none, and need not be; -1 with an exception set. */
static int
resolve(const mod_row *row)
{
    PyMethodDef *definition = mod_find_definition(row);
    if (definition == NULL) {
        if (row->optional && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
            return 0;
        }
        return -1;
    }
    int shape = shape_of(definition, row);
    if (shape < 0) {
        return -1;
    }
    mod_method *method = row->method;
    int status = 1;
    mod_mutex_lock(&mod_mutexes.interpose);
    if (method->definition == NULL) {
        method->definition = definition;
        method->shape = (mod_shape)shape;
        method->flags = definition->ml_flags & ~METH_COEXIST;
        /* Release, so that it can be read as soon as an exchange has been; see `exchange`. */
        atomic_store_explicit(&method->original, definition->ml_meth, memory_order_release);
    }
    else if (method->definition != definition) {
        status = -1;
    }
    mod_mutex_unlock(&mod_mutexes.interpose);
    if (status < 0) {
        PyErr_Format(PyExc_RuntimeError, "%s.%s is another method than before", row->module,
                     row->name);
    }
    return status;
}

int
mod_family_find(const mod_family *family)
{
    for (const mod_row *row = family->rows; row->module != NULL; row++) {
        if (resolve(row) < 0) {
            return -1;
        }
    }
    return family->check == NULL || family->check() ? 0 : -1;
}

typedef struct {
    mod_family *const *families;
    size_t count;
    bool ours;
    void (*also)(void *arg);
    void *arg;
} exchange;

/* What the method's entry point is exchanged for; NULL: it is not exchanged. */
static PyCFunction
replacement_of(const mod_method *method)
{
    return method->definition == NULL ? NULL : method->functions[method->shape];
}

/* Has nobody but us replaced any of its methods? */
static bool
is_ours_alone(const mod_family *family)
{
    for (const mod_row *row = family->rows; row->module != NULL; row++) {
        const mod_method *method = row->method;
        PyCFunction replacement = replacement_of(method);
        if (replacement != NULL && method->definition->ml_meth != mod_original(method) &&
            method->definition->ml_meth != replacement) {
            return false;
        }
    }
    return true;
}

/* What somebody else has put in our place stays: he calls ours, perhaps. */
static void
put_methods(mod_family *family, bool ours)
{
    for (const mod_row *row = family->rows; row->module != NULL; row++) {
        mod_method *method = row->method;
        PyCFunction replacement = replacement_of(method);
        PyCFunction original = mod_original(method);
        if (replacement != NULL && method->definition->ml_meth == (ours ? original : replacement)) {
            mod_identity_keep(method);
            method->definition->ml_meth = ours ? replacement : original;
        }
    }
    family->enabled = ours;
}

/* The interpreter reads the pointers at each call, by plain loads: nobody calls meanwhile. */
static void
put_all(void *arg)
{
    const exchange *of = arg;
    for (size_t i = 0; i < of->count; i++) {
        mod_family *family = of->families[i];
        if (family->enabled != of->ours && (!of->ours || is_ours_alone(family))) {
            put_methods(family, of->ours);
        }
    }
    if (of->also != NULL) {
        of->also(of->arg);
    }
}

void
mod_families_exchange(mod_family *const *families, size_t count, bool ours, void (*also)(void *arg),
                      void *arg)
{
    exchange of = {families, count, ours, also, arg};
    mod_mutex_lock(&mod_mutexes.interpose);
    mod_while_stopped(put_all, &of);
    mod_mutex_unlock(&mod_mutexes.interpose);
}

int
mod_family_enable(mod_family *family)
{
    if (mod_family_enabled(family)) {
        return 0;
    }
    if (mod_family_find(family) < 0) {
        return -1;
    }
    mod_families_exchange(&family, 1, true, NULL, NULL);
    if (!mod_family_enabled(family)) {
        PyErr_Format(PyExc_RuntimeError, "somebody else has replaced one of the %s", family->name);
        return -1;
    }
    return 0;
}

void
mod_family_disable(mod_family *family)
{
    mod_families_exchange(&family, 1, false, NULL, NULL);
}

bool
mod_family_enabled(const mod_family *family)
{
    mod_mutex_lock(&mod_mutexes.interpose);
    bool enabled = family->enabled;
    mod_mutex_unlock(&mod_mutexes.interpose);
    return enabled;
}

mod_row_state
mod_row_now(const mod_row *row)
{
    const mod_method *method = row->method;
    mod_row_state now = MOD_ROW_ORIGINAL;
    mod_mutex_lock(&mod_mutexes.interpose);
    if (method->definition == NULL) {
        now = MOD_ROW_ABSENT;
    }
    else if (replacement_of(method) == NULL) {
        now = MOD_ROW_HELPER;
    }
    else if (method->definition->ml_meth == replacement_of(method)) {
        now = MOD_ROW_INTERPOSED;
    }
    mod_mutex_unlock(&mod_mutexes.interpose);
    return now;
}

/* Calls. -------------------------------------------------------------------------------------- */

/* The positional arguments, as a vector. */
static PyObject *const *
positional(const mod_call *call, Py_ssize_t *count)
{
    if (call->vector != NULL || call->argument == NULL) {
        *count = call->count;
        return call->vector;
    }
    if (call->method->flags == METH_O) {
        *count = 1;
        return &call->argument;
    }
    *count = PyTuple_GET_SIZE(call->argument);
    return ((PyTupleObject *)call->argument)->ob_item;
}

/* The argument of that name, borrowed, or NULL. Names are almost always the interned ones. */
static PyObject *
named(const mod_call *call, const char *name)
{
    if (call->shape == MOD_KEYWORDS) {
        return PyDict_GetItemString(call->keywords, name);
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(call->keywords); i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(call->keywords, i), name) == 0) {
            return call->vector[call->count + i];
        }
    }
    return NULL;
}

static Py_ssize_t
count_named(const mod_call *call)
{
    if (call->keywords == NULL) {
        return 0;
    }
    return call->shape == MOD_KEYWORDS ? PyDict_GET_SIZE(call->keywords)
                                       : PyTuple_GET_SIZE(call->keywords);
}

Py_ssize_t
mod_call_count(const mod_call *call)
{
    Py_ssize_t count;
    (void)positional(call, &count);
    return count + count_named(call);
}

PyObject *
mod_call_argument(const mod_call *call, Py_ssize_t index, const char *name)
{
    Py_ssize_t count;
    PyObject *const *vector = positional(call, &count);
    if (index < count) {
        return vector[index];
    }
    return name == NULL || count_named(call) == 0 ? NULL : named(call, name);
}

PyObject *
mod_call_again(const mod_call *call, PyObject *const *arguments, Py_ssize_t count)
{
    mod_call again = {.method = call->method,
                      .original = call->original,
                      .shape = call->shape,
                      .self = call->self,
                      .defining = call->defining};
    PyObject *tuple = NULL;
    if (call->method->flags & METH_FASTCALL) {
        again.vector = arguments;
        again.count = count;
    }
    else if (call->method->flags & METH_VARARGS) {
        tuple = PyTuple_New(count);
        if (tuple == NULL) {
            return NULL;
        }
        for (Py_ssize_t i = 0; i < count; i++) {
            PyTuple_SET_ITEM(tuple, i, Py_NewRef(arguments[i]));
        }
        again.argument = tuple;
    }
    else if (call->method->flags & METH_O) {
        again.argument = arguments[0];
    }
    PyObject *result = mod_call_original(&again);
    Py_XDECREF(tuple);
    return result;
}

PyObject *
mod_call_method(const mod_method *method, PyObject *self, PyObject *const *arguments,
                Py_ssize_t count)
{
    const mod_call call = mod_call_of(method, self);
    return mod_call_again(&call, arguments, count);
}
