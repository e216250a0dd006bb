/*
 * See armed.h.
 *
 * A code object has one weak reference without a callback, which everybody who makes one shares: so
 * two are of the same code if they are the same. They are searched one by one, but only for code
 * that several threads are armed for. Those of code that is gone go when the set is out of room,
 * and it only grows if more than half are alive then. So its size depends on what is alive, and not
 * on how much has been.
 */
#include "thread/armed.h"
#include "cpython/compat.h"

enum { SMALLEST = 16 };

static bool
is_armed(const mod_armed *set, const PyObject *reference)
{
    size_t i = 0;
    while (i < set->count && set->references[i] != reference) {
        i++;
    }
    return i < set->count;
}

/* Make room for one more. False: there is no memory. */
static bool
make_room_for_code(mod_armed *set)
{
    if (set->count < set->capacity) {
        return true;
    }
    size_t alive = 0;
    for (size_t i = 0; i < set->count; i++) {
        PyObject *reference = set->references[i];
        if (mod_is_dead_reference(reference)) {
            Py_DECREF(reference); /* has no callback: nothing runs */
        }
        else {
            set->references[alive++] = reference;
        }
    }
    set->count = alive;
    if (2 * alive < set->capacity) {
        return true;
    }
    size_t capacity = set->capacity == 0 ? SMALLEST : 2 * set->capacity;
    PyObject **larger = PyMem_RawRealloc(set->references, capacity * sizeof(*larger));
    if (larger != NULL) {
        set->references = larger;
        set->capacity = capacity;
    }
    return set->count < set->capacity;
}

bool
mod_armed_add(mod_armed *set, PyCodeObject *code, mod_armed_in *in)
{
    if (in->one == set) {
        return false;
    }
    PyObject *reference = PyWeakref_NewRef((PyObject *)code, NULL);
    if (reference == NULL) {
        PyErr_Clear();
        return false;
    }
    if ((in->sets > 0 && is_armed(set, reference)) || !make_room_for_code(set)) {
        Py_DECREF(reference);
        return false;
    }
    set->references[set->count++] = reference;
    in->sets++;
    in->one = set;
    return true;
}

PyCodeObject *
mod_armed_next(mod_armed *set)
{
    for (; set->taken < set->count; set->taken++) {
        PyObject *code = mod_referent(set->references[set->taken]);
        if (code != NULL) {
            return (PyCodeObject *)code;
        }
    }
    return NULL;
}

void
mod_armed_remove(mod_armed *set, PyCodeObject *code, mod_armed_in *in)
{
    PyObject *reference = set->references[set->taken];
    set->references[set->taken++] = (PyObject *)code;
    in->sets--;
    in->one = in->one == set ? NULL : in->one;
    Py_DECREF(reference);
}

mod_armed
mod_armed_take(mod_armed *set)
{
    mod_armed taken = *set;
    *set = (mod_armed){.count = 0};
    return taken;
}

void
mod_armed_free(mod_armed *taken)
{
    for (size_t i = 0; i < taken->count; i++) {
        Py_DECREF(taken->references[i]);
    }
    PyMem_RawFree(taken->references);
    *taken = (mod_armed){.count = 0};
}
