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
shape_of(const PyMethodDef *definition, const interruption_row *row)
{
    switch (definition->ml_flags & ~METH_COEXIST) {
    case METH_NOARGS:
    case METH_O:
    case METH_VARARGS:
        return INTERRUPTION_PAIR;
    case METH_VARARGS | METH_KEYWORDS:
        return INTERRUPTION_KEYWORDS;
    case METH_FASTCALL:
        return INTERRUPTION_FAST;
    case METH_FASTCALL | METH_KEYWORDS:
        return INTERRUPTION_FAST_KEYWORDS;
    case METH_METHOD | METH_FASTCALL | METH_KEYWORDS:
        return INTERRUPTION_FAST_CLASS;
    default:
        PyErr_Format(PyExc_RuntimeError, "%s.%s is called by a convention that is not known: %d",
                     row->module, row->name, definition->ml_flags);
        return -1;
    }
}

/* Find the row's method. 1; 0: there is none, and need not be; -1 with an exception set. */
static int
resolve(const interruption_row *row)
{
    PyMethodDef *definition = interruption_find_definition(row);
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
    interruption_method *method = row->method;
    int status = 1;
    interruption_mutex_lock(&interruption_mutexes.interpose);
    if (method->definition == NULL) {
        method->definition = definition;
        method->shape = (interruption_shape)shape;
        method->flags = definition->ml_flags & ~METH_COEXIST;
        /* Release, so that it can be read as soon as an exchange has been; see `exchange`. */
        atomic_store_explicit(&method->original, definition->ml_meth, memory_order_release);
    }
    else if (method->definition != definition) {
        status = -1;
    }
    interruption_mutex_unlock(&interruption_mutexes.interpose);
    if (status < 0) {
        PyErr_Format(PyExc_RuntimeError, "%s.%s is another method than before", row->module,
                     row->name);
    }
    return status;
}

int
interruption_family_find(const interruption_family *family)
{
    for (const interruption_row *row = family->rows; row->module != NULL; row++) {
        if (resolve(row) < 0) {
            return -1;
        }
    }
    return family->check == NULL || family->check() ? 0 : -1;
}

typedef struct {
    interruption_family *const *families;
    size_t count;
    bool ours;
    void (*also)(void *arg);
    void *arg;
} exchange;

/* What the method's entry point is exchanged for; NULL: it is not exchanged. */
static PyCFunction
replacement_of(const interruption_method *method)
{
    return method->definition == NULL ? NULL : method->functions[method->shape];
}

/* Has nobody but us replaced any of its methods? */
static bool
is_ours_alone(const interruption_family *family)
{
    for (const interruption_row *row = family->rows; row->module != NULL; row++) {
        const interruption_method *method = row->method;
        PyCFunction replacement = replacement_of(method);
        if (replacement != NULL && method->definition->ml_meth != interruption_original(method) &&
            method->definition->ml_meth != replacement) {
            return false;
        }
    }
    return true;
}

/* What somebody else has put in our place stays: he calls ours, perhaps. */
static void
put_methods(interruption_family *family, bool ours)
{
    for (const interruption_row *row = family->rows; row->module != NULL; row++) {
        interruption_method *method = row->method;
        PyCFunction replacement = replacement_of(method);
        PyCFunction original = interruption_original(method);
        if (replacement != NULL && method->definition->ml_meth == (ours ? original : replacement)) {
            interruption_identity_keep(method);
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
        interruption_family *family = of->families[i];
        if (family->enabled != of->ours && (!of->ours || is_ours_alone(family))) {
            put_methods(family, of->ours);
        }
    }
    if (of->also != NULL) {
        of->also(of->arg);
    }
}

void
interruption_families_exchange(interruption_family *const *families, size_t count, bool ours,
                               void (*also)(void *arg), void *arg)
{
    exchange of = {families, count, ours, also, arg};
    interruption_mutex_lock(&interruption_mutexes.interpose);
    interruption_while_stopped(put_all, &of);
    interruption_mutex_unlock(&interruption_mutexes.interpose);
}

int
interruption_family_enable(interruption_family *family)
{
    if (interruption_family_enabled(family)) {
        return 0;
    }
    if (interruption_family_find(family) < 0) {
        return -1;
    }
    interruption_families_exchange(&family, 1, true, NULL, NULL);
    if (!interruption_family_enabled(family)) {
        PyErr_Format(PyExc_RuntimeError, "somebody else has replaced one of the %s", family->name);
        return -1;
    }
    return 0;
}

void
interruption_family_disable(interruption_family *family)
{
    interruption_families_exchange(&family, 1, false, NULL, NULL);
}

bool
interruption_family_enabled(const interruption_family *family)
{
    interruption_mutex_lock(&interruption_mutexes.interpose);
    bool enabled = family->enabled;
    interruption_mutex_unlock(&interruption_mutexes.interpose);
    return enabled;
}

interruption_row_state
interruption_row_now(const interruption_row *row)
{
    const interruption_method *method = row->method;
    interruption_row_state now = INTERRUPTION_ROW_ORIGINAL;
    interruption_mutex_lock(&interruption_mutexes.interpose);
    if (method->definition == NULL) {
        now = INTERRUPTION_ROW_ABSENT;
    }
    else if (replacement_of(method) == NULL) {
        now = INTERRUPTION_ROW_HELPER;
    }
    else if (method->definition->ml_meth == replacement_of(method)) {
        now = INTERRUPTION_ROW_INTERPOSED;
    }
    interruption_mutex_unlock(&interruption_mutexes.interpose);
    return now;
}

/* Calls. -------------------------------------------------------------------------------------- */

/* The positional arguments, as a vector. */
static PyObject *const *
positional(const interruption_call *call, Py_ssize_t *count)
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
named(const interruption_call *call, const char *name)
{
    if (call->shape == INTERRUPTION_KEYWORDS) {
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
count_named(const interruption_call *call)
{
    if (call->keywords == NULL) {
        return 0;
    }
    return call->shape == INTERRUPTION_KEYWORDS ? PyDict_GET_SIZE(call->keywords)
                                                : PyTuple_GET_SIZE(call->keywords);
}

Py_ssize_t
interruption_call_count(const interruption_call *call)
{
    Py_ssize_t count;
    (void)positional(call, &count);
    return count + count_named(call);
}

PyObject *
interruption_call_argument(const interruption_call *call, Py_ssize_t index, const char *name)
{
    Py_ssize_t count;
    PyObject *const *vector = positional(call, &count);
    if (index < count) {
        return vector[index];
    }
    return name == NULL || count_named(call) == 0 ? NULL : named(call, name);
}

PyObject *
interruption_call_again(const interruption_call *call, PyObject *const *arguments, Py_ssize_t count)
{
    interruption_call again = {.method = call->method,
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
    PyObject *result = interruption_call_original(&again);
    Py_XDECREF(tuple);
    return result;
}

PyObject *
interruption_call_method(const interruption_method *method, PyObject *self,
                         PyObject *const *arguments, Py_ssize_t count)
{
    const interruption_call call = interruption_call_of(method, self);
    return interruption_call_again(&call, arguments, count);
}
