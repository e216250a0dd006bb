/*
 * See armed.h.
 *
 * Code that is gone leaves a dead reference behind, which goes when the set is out of room: it only
 * grows if more than half of it is alive then. So its size depends on what is alive, and not on how
 * much has been.
 */
#include "thread/armed.h"
#include "cpython/compat.h"

enum { SMALLEST = 16 };

/* Where the code is, or where it would be put. There is a free place. */
static mod_armed_entry *
find_armed(const mod_armed *set, const void *key)
{
    uintptr_t hash = (uintptr_t)key / 16;
    hash ^= hash / 4096;
    size_t i = hash & (set->capacity - 1);
    while (set->entries[i].key != NULL && set->entries[i].key != key) {
        i = (i + 1) & (set->capacity - 1);
    }
    return &set->entries[i];
}

static size_t
count_alive(const mod_armed *set)
{
    size_t alive = 0;
    for (size_t i = 0; i < set->capacity; i++) {
        alive += set->entries[i].key != NULL && !mod_is_dead_reference(set->entries[i].reference);
    }
    return alive;
}

/* Free the places, and the references in them to what is gone. */
static void
free_places(mod_armed_entry *entries, size_t capacity)
{
    for (size_t i = 0; i < capacity; i++) {
        if (entries[i].key != NULL && mod_is_dead_reference(entries[i].reference)) {
            Py_DECREF(entries[i].reference); /* has no callback: nothing runs */
        }
    }
    PyMem_RawFree(entries);
}

/* Make room for one more, at most three quarters full. False: there is no memory. */
static bool
make_room_for_code(mod_armed *set)
{
    if (4 * (set->count + 1) <= 3 * set->capacity) {
        return true;
    }
    mod_armed larger = {.capacity = SMALLEST};
    for (size_t needed = 2 * (count_alive(set) + 1); larger.capacity < needed;) {
        larger.capacity *= 2;
    }
    larger.entries = PyMem_RawCalloc(larger.capacity, sizeof(*larger.entries));
    if (larger.entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < set->capacity; i++) {
        mod_armed_entry *from = &set->entries[i];
        if (from->key != NULL && !mod_is_dead_reference(from->reference)) {
            *find_armed(&larger, from->key) = *from;
            larger.count++;
        }
    }
    const mod_armed smaller = *set;
    *set = larger;
    free_places(smaller.entries, smaller.capacity);
    return true;
}

bool
mod_armed_add(mod_armed *set, PyCodeObject *code, unsigned *counter)
{
    if (!make_room_for_code(set)) {
        return false;
    }
    mod_armed_entry *entry = find_armed(set, code);
    if (entry->key != NULL && !mod_is_dead_reference(entry->reference)) {
        return false;
    }
    PyObject *reference = PyWeakref_NewRef((PyObject *)code, NULL);
    if (reference == NULL) {
        PyErr_Clear();
        return false;
    }
    PyObject *dead = entry->reference; /* another code had the address, and is gone; or NULL */
    set->count += entry->key == NULL;
    *entry = (mod_armed_entry){code, reference};
    ++*counter;
    Py_XDECREF(dead);
    return true;
}

PyCodeObject *
mod_armed_next(mod_armed *set)
{
    for (; set->taken < set->capacity; set->taken++) {
        const mod_armed_entry *entry = &set->entries[set->taken];
        PyObject *code = entry->key == NULL ? NULL : mod_referent(entry->reference);
        if (code != NULL) {
            return (PyCodeObject *)code;
        }
    }
    return NULL;
}

void
mod_armed_remove(mod_armed *set, PyCodeObject *code, unsigned *counter)
{
    mod_armed_entry *entry = &set->entries[set->taken];
    PyObject *reference = entry->reference;
    entry->reference = (PyObject *)code;
    set->taken++;
    --*counter;
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
    for (size_t i = 0; i < taken->capacity; i++) {
        Py_XDECREF(taken->entries[i].reference);
    }
    PyMem_RawFree(taken->entries);
    *taken = (mod_armed){.count = 0};
}
