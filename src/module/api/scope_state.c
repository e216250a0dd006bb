/* See scope_state.h. */
#include "api/scope_state.h"

#include "itr_registry.h"

_Atomic uint32_t mod_scope_forks;

static uintptr_t *
place_of_thread(mod_scope *of, uintptr_t thread_id)
{
    if (of->first == thread_id) {
        return &of->first;
    }
    for (uint32_t i = 0; i < of->count; i++) {
        if (of->others[i] == thread_id) {
            return &of->others[i];
        }
    }
    return NULL;
}

static bool
have_room(mod_scope *of)
{
    if (of->count < of->capacity) {
        return true;
    }
    uint32_t capacity = of->capacity == 0 ? 4 : 2 * of->capacity;
    uintptr_t *larger = PyMem_RawRealloc(of->others, capacity * sizeof(*larger));
    if (larger == NULL) {
        return false;
    }
    of->others = larger;
    of->capacity = capacity;
    return true;
}

int
mod_scope_add_another(mod_scope *of, uintptr_t thread_id)
{
    if (place_of_thread(of, thread_id) != NULL) {
        return 0;
    }
    if (of->first == 0) {
        of->first = thread_id;
    }
    else if (have_room(of)) {
        of->others[of->count++] = thread_id;
    }
    else {
        return -1;
    }
    of->was_entered = true;
    return 1;
}

void
mod_scope_remove_another(mod_scope *of, uintptr_t thread_id)
{
    uintptr_t *place = place_of_thread(of, thread_id);
    if (place != NULL) {
        *place = of->others[--of->count];
    }
}

void
mod_scope_forget_thread(PyObject *scope, uintptr_t thread_id)
{
    mod_scope *of = (mod_scope *)scope;
    mod_scope_lock(of);
    mod_scope_remove_thread(of, thread_id);
    mod_scope_unlock(of);
}

void
mod_scope_forget_entering(PyObject *scope, uintptr_t thread_id)
{
    mod_scope *of = (mod_scope *)scope;
    mod_scope_lock(of);
    mod_scope_remove_thread(of, thread_id);
    of->entering--;
    mod_scope_unlock(of);
}

void
mod_scope_note_expired(PyObject *scope, uintptr_t thread_id)
{
    mod_scope *of = (mod_scope *)scope;
    itr_record *record = itr_find(thread_id);
    bool expired = record != NULL && itr_has_expired(record, of->number);
    if (record != NULL) {
        itr_release(record);
    }
    mod_scope_lock(of);
    of->expired = of->expired || expired;
    mod_scope_unlock(of);
}

int
mod_scope_copy_threads(const mod_scope *of, uintptr_t **threads, size_t *count)
{
    /* The first is asked first: tasks of a group that it has opened are in it, too, and when they
       have ended for it, it has been asked. */
    *count = of->count + (of->first != 0);
    *threads = NULL;
    if (*count == 0) {
        return 0;
    }
    *threads = PyMem_RawMalloc(*count * sizeof(**threads));
    if (*threads == NULL) {
        return -1;
    }
    size_t first = 0;
    if (of->first != 0) {
        (*threads)[first++] = of->first;
    }
    for (uint32_t i = 0; i < of->count; i++) {
        (*threads)[first + i] = of->others[i];
    }
    return 0;
}

void
mod_scope_free_threads(mod_scope *of)
{
    if (of->others != NULL) {
        PyMem_RawFree(of->others);
    }
}
