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
#include "interpose.h"

#include "compat.h"

/* Held for a few instructions, in which no Python code runs. */
static interruption_mutex mutex = INTERRUPTION_MUTEX_INIT;

static PyMethodDef *
method_of_type(PyObject *type, const interruption_row *row)
{
    PyObject *found = PyObject_GetAttrString(type, row->name);
    if (found == NULL) {
        return NULL;
    }
    PyMethodDef *definition = NULL;
    if (Py_IS_TYPE(found, &PyMethodDescr_Type) && PyDescr_TYPE(found) == (PyTypeObject *)type) {
        definition = ((PyMethodDescrObject *)found)->d_method;
    }
    else {
        PyErr_Format(PyExc_RuntimeError, "%s.%s.%s is not a built-in method", row->module,
                     row->type, row->name);
    }
    Py_DECREF(found);
    return definition;
}

static PyMethodDef *
function_of_module(PyObject *module, const interruption_row *row)
{
    PyObject *found = PyObject_GetAttrString(module, row->name);
    if (found == NULL) {
        return NULL;
    }
    PyMethodDef *definition = NULL;
    if (PyCFunction_CheckExact(found)) {
        definition = ((PyCFunctionObject *)found)->m_ml;
    }
    else {
        PyErr_Format(PyExc_RuntimeError, "%s.%s is not a built-in function", row->module,
                     row->name);
    }
    Py_DECREF(found);
    return definition;
}

/* The definition that the row names; NULL with an exception set. It outlives every reference. */
static PyMethodDef *
find(const interruption_row *row)
{
    PyObject *module = PyImport_ImportModule(row->module);
    if (module == NULL) {
        return NULL;
    }
    PyMethodDef *definition = NULL;
    if (row->type == NULL) {
        definition = function_of_module(module, row);
    }
    else {
        PyObject *type = PyObject_GetAttrString(module, row->type);
        if (type != NULL && PyType_Check(type)) {
            definition = method_of_type(type, row);
        }
        else if (type != NULL) {
            PyErr_Format(PyExc_RuntimeError, "%s.%s is not a type", row->module, row->type);
        }
        Py_XDECREF(type);
    }
    Py_DECREF(module);
    return definition;
}

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
    PyMethodDef *definition = find(row);
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
    interruption_mutex_lock(&mutex);
    if (method->definition == NULL) {
        method->definition = definition;
        method->shape = (interruption_shape)shape;
        /* Release, so that it can be read as soon as an exchange has been; see `exchange`. */
        atomic_store_explicit(&method->original, definition->ml_meth, memory_order_release);
    }
    else if (method->definition != definition) {
        status = -1;
    }
    interruption_mutex_unlock(&mutex);
    if (status < 0) {
        PyErr_Format(PyExc_RuntimeError, "%s.%s is another method than before", row->module,
                     row->name);
    }
    return status;
}

typedef struct {
    const interruption_family *family;
    bool ours;
} exchange;

/* Only what has the entry point that we expect is exchanged: another library may have been here. */
static void
put_all(void *arg)
{
    const exchange *of = arg;
    for (const interruption_row *row = of->family->rows; row->module != NULL; row++) {
        interruption_method *method = row->method;
        PyCFunction replacement = method->functions[method->shape];
        if (method->definition == NULL || replacement == NULL) {
            continue;
        }
        PyCFunction original = interruption_original(method);
        if (method->definition->ml_meth == (of->ours ? original : replacement)) {
            method->definition->ml_meth = of->ours ? replacement : original;
        }
    }
}

/* The interpreter reads the pointers at each call, by plain loads: nobody calls meanwhile. */
static void
put(const interruption_family *family, bool ours)
{
    exchange of = {family, ours};
    interruption_while_stopped(put_all, &of);
}

int
interruption_family_enable(interruption_family *family)
{
    if (interruption_family_enabled(family)) {
        return 0;
    }
    for (const interruption_row *row = family->rows; row->module != NULL; row++) {
        if (resolve(row) < 0) {
            return -1;
        }
    }
    if (family->check != NULL && !family->check()) {
        return -1;
    }
    interruption_mutex_lock(&mutex);
    put(family, true);
    family->enabled = true;
    interruption_mutex_unlock(&mutex);
    return 0;
}

void
interruption_family_disable(interruption_family *family)
{
    interruption_mutex_lock(&mutex);
    if (family->enabled) {
        put(family, false);
        family->enabled = false;
    }
    interruption_mutex_unlock(&mutex);
}

bool
interruption_family_enabled(const interruption_family *family)
{
    interruption_mutex_lock(&mutex);
    bool enabled = family->enabled;
    interruption_mutex_unlock(&mutex);
    return enabled;
}
