/*
 * See armed.h.
 *
 * Code that is gone leaves a dead reference behind, which goes when the set is out of room: it only
 * grows if more than half of it is alive then. So its size depends on what is alive, and not on how
 * much has been.
 */
#include "armed.h"
#include "compat.h"

enum { SMALLEST = 16 };

/* Where the code is, or where it would be put. There is a free place. */
static interruption_armed_entry *
find_armed(const interruption_armed *set, const void *key)
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
count_alive(const interruption_armed *set)
{
    size_t alive = 0;
    for (size_t i = 0; i < set->capacity; i++) {
        alive += set->entries[i].key != NULL &&
                 !interruption_is_dead_reference(set->entries[i].reference);
    }
    return alive;
}

/* Make room for one more, at most three quarters full. False: there is no memory. */
static bool
make_room_for_code(interruption_armed *set)
{
    if (4 * (set->count + 1) <= 3 * set->capacity) {
        return true;
    }
    interruption_armed larger = {.capacity = SMALLEST};
    for (size_t needed = 2 * (count_alive(set) + 1); larger.capacity < needed;) {
        larger.capacity *= 2;
    }
    larger.entries = PyMem_RawCalloc(larger.capacity, sizeof(*larger.entries));
    if (larger.entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < set->capacity; i++) {
        interruption_armed_entry *from = &set->entries[i];
        if (from->key == NULL) {
            continue;
        }
        if (interruption_is_dead_reference(from->reference)) {
            Py_DECREF(from->reference); /* has no callback: nothing runs */
            continue;
        }
        *find_armed(&larger, from->key) = *from;
        larger.count++;
    }
    PyMem_RawFree(set->entries);
    *set = larger;
    return true;
}

bool
interruption_armed_add(interruption_armed *set, PyCodeObject *code)
{
    if (!make_room_for_code(set)) {
        return false;
    }
    interruption_armed_entry *entry = find_armed(set, code);
    if (entry->key != NULL && !interruption_is_dead_reference(entry->reference)) {
        return false;
    }
    PyObject *reference = PyWeakref_NewRef((PyObject *)code, NULL);
    if (reference == NULL) {
        PyErr_Clear();
        return false;
    }
    if (entry->key != NULL) {
        Py_SETREF(entry->reference, reference); /* another code had the address, and is gone */
        return true;
    }
    *entry = (interruption_armed_entry){code, reference};
    set->count++;
    return true;
}

interruption_armed
interruption_armed_take(interruption_armed *set, void (*visit)(PyCodeObject *code, void *arg),
                        void *arg)
{
    interruption_armed taken = *set;
    *set = (interruption_armed){.count = 0};
    for (size_t i = 0; i < taken.capacity; i++) {
        interruption_armed_entry *entry = &taken.entries[i];
        if (entry->key == NULL) {
            continue;
        }
        PyObject *code = interruption_referent(entry->reference);
        if (code != NULL) {
            visit((PyCodeObject *)code, arg);
        }
        Py_XSETREF(entry->reference, code);
    }
    return taken;
}

void
interruption_armed_free(interruption_armed *taken)
{
    for (size_t i = 0; i < taken->capacity; i++) {
        Py_XDECREF(taken->entries[i].reference);
    }
    PyMem_RawFree(taken->entries);
    *taken = (interruption_armed){.count = 0};
}
