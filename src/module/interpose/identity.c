/*
 * See identity.h. All variables of this file, and the `alike` of methods, are written while nobody
 * else runs (under interpose.c's mutex besides), and read by whoever hashes a built-in function.
 *
 * The slots stay when the originals are put back: then they tell the same as CPython's own.
 */
#include "interpose/identity.h"

enum { BUCKETS = 256 };

/* The methods that have ever been exchanged, by their definitions' addresses. */
static mod_method *method_buckets[BUCKETS];

/* CPython's own; NULL: ours are not in their place yet. */
static hashfunc original_hash;
static richcmpfunc original_compare;

static mod_method **
bucket_of_method(const PyMethodDef *definition)
{
    return &method_buckets[(uintptr_t)definition / sizeof(*definition) % BUCKETS];
}

static const mod_method *
find_kept(const PyMethodDef *definition)
{
    const mod_method *method = *bucket_of_method(definition);
    while (method != NULL && method->definition != definition) {
        method = method->alike;
    }
    return method;
}

/* A built-in function as CPython's hash and comparison see it: they look at its type, at what it is
   bound to, and at the entry point. */
typedef struct {
    PyCFunctionObject function;
    PyMethodDef definition;
} stand_in;

/* The object itself, or what stands for it as it was before the exchange. */
static PyObject *
as_before(PyObject *object, stand_in *made)
{
    if (!PyCFunction_Check(object)) {
        return object;
    }
    const PyCFunctionObject *function = (const PyCFunctionObject *)object;
    const mod_method *method = find_kept(function->m_ml);
    if (method == NULL) {
        return object;
    }
    made->definition = *function->m_ml;
    made->definition.ml_meth = mod_original(method);
    made->function = (PyCFunctionObject){.m_ml = &made->definition, .m_self = function->m_self};
    Py_SET_TYPE(&made->function, Py_TYPE(object));
    return (PyObject *)&made->function;
}

static Py_hash_t
hash(PyObject *self)
{
    stand_in made;
    return original_hash(as_before(self, &made));
}

static PyObject *
compare_functions(PyObject *self, PyObject *other, int operation)
{
    stand_in made_self, made_other;
    return original_compare(as_before(self, &made_self), as_before(other, &made_other), operation);
}

/* The second inherits both from the first. */
static void
take_slots(void)
{
    PyTypeObject *types[] = {&PyCFunction_Type, &PyCMethod_Type};
    original_hash = PyCFunction_Type.tp_hash;
    original_compare = PyCFunction_Type.tp_richcompare;
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (types[i]->tp_hash == original_hash && types[i]->tp_richcompare == original_compare) {
            types[i]->tp_hash = hash;
            types[i]->tp_richcompare = compare_functions;
        }
    }
}

void
mod_identity_keep(mod_method *method)
{
    if (original_hash == NULL) {
        take_slots();
    }
    if (find_kept(method->definition) == NULL) {
        mod_method **bucket = bucket_of_method(method->definition);
        method->alike = *bucket;
        *bucket = method;
    }
}
