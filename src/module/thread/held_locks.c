/*
 * See held_locks.h.
 *
 * The lists of the table are guarded by `guards`, each of which is for every 64th of them; with a
 * GIL nothing is locked, for nothing between two lines here lets go of it. In both no Python code
 * runs and nothing is allocated. What is taken out keeps its references until the owner drops them,
 * at a moment at which its list is whole, for dropping may run Python code that takes locks.
 */
#include "thread/held_locks.h"

#include "cpython/compat.h"
#include "cpython/frame.h"
#include "safepoints/making.h"

ITR_TLS mod_lockset *mod_thread_lockset;
_Atomic uint32_t mod_noting;

mod_slot mod_slots[MOD_SLOTS];

enum { GUARDS = 64 };
static mod_mutex guards[GUARDS]; /* zeroed is free, in builds that use them */

/* What takes a lock for others to release, and so never holds it: Condition.wait, which waits for
   that; up to 3.12 two methods of Thread, whose lock stands for the thread's life (and is taken
   anew in the child of a fork). And their file, whose places do not help a user. Only compared.
   Written by mod_locksets_init, before the interpreter has a lock interposed. */
enum { TAKERS_FOR_OTHERS = 3 };
static const char *const takers_for_others[TAKERS_FOR_OTHERS] = {
    "Condition.wait",
    "Thread._set_tstate_lock",
    "Thread._reset_internal_locks",
};
static PyObject *taker_codes[TAKERS_FOR_OTHERS + 1]; /* as many as there are */
static mod_places places = {.but_not = taker_codes};

/* The table. ---------------------------------------------------------------------------------- */

static void
lock_slot(const mod_slot *slot)
{
    if (MOD_FREE_THREADED) {
        mod_mutex_lock(&guards[(slot - mod_slots) % GUARDS]);
    }
}

static void
unlock_slot(const mod_slot *slot)
{
    if (MOD_FREE_THREADED) {
        mod_mutex_unlock(&guards[(slot - mod_slots) % GUARDS]);
    }
}

/* By the owner, or under the guard. */
static PyObject *
lock_of(const mod_held_lock *held)
{
    /* Acquire: pairs with unlink_held, which is done with it when its lock is NULL. */
    return atomic_load_explicit(&held->lock, memory_order_acquire);
}

/* Under the guard. */
static mod_held_lock *
at_place(_Atomic(mod_held_lock *) *place)
{
    return atomic_load_explicit(place, memory_order_relaxed);
}

/* By the owner: it is one of that lock. */
static void
link_held(mod_held_lock *held, PyObject *lock)
{
    mod_slot *slot = mod_slot_of(lock);
    lock_slot(slot);
    atomic_store_explicit(&held->lock, lock, memory_order_relaxed); /* under the guard */
    atomic_store_explicit(&held->alike, at_place(&slot->held), memory_order_relaxed);
    /* Release: pairs with the acquire of mod_may_be_noted. */
    atomic_store_explicit(&slot->held, held, memory_order_release);
    unlock_slot(slot);
}

/* It stands at `*place`. Under the guard. */
static void
unlink_held(_Atomic(mod_held_lock *) *place, mod_held_lock *held)
{
    /* Relaxed: whoever sees the one before looks under the guard. */
    atomic_store_explicit(place, at_place(&held->alike), memory_order_relaxed);
    /* Release: pairs with `lock_of`. From here on its memory is the owner's alone. */
    atomic_store_explicit(&held->lock, NULL, memory_order_release);
}

/* By the owner. */
static void
forget(mod_held_lock *held)
{
    PyObject *lock = lock_of(held);
    if (lock == NULL) {
        return;
    }
    mod_slot *slot = mod_slot_of(lock);
    lock_slot(slot);
    _Atomic(mod_held_lock *) *place = &slot->held;
    while (at_place(place) != held && at_place(place) != NULL) {
        place = &at_place(place)->alike;
    }
    if (at_place(place) != NULL) { /* else somebody has been quicker */
        unlink_held(place, held);
    }
    unlock_slot(slot);
}

void
mod_forget_lock(PyObject *lock)
{
    /* Another interpreter has other locks, and perhaps another GIL. */
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return;
    }
    mod_slot *slot = mod_slot_of(lock);
    lock_slot(slot);
    for (_Atomic(mod_held_lock *) *place = &slot->held; at_place(place) != NULL;) {
        mod_held_lock *held = at_place(place);
        if (lock_of(held) == lock) {
            unlink_held(place, held);
        }
        else {
            place = &held->alike;
        }
    }
    unlock_slot(slot);
}

/* What is noted. ------------------------------------------------------------------------------ */

/* Has the program no reference to it any more? */
static bool
is_dropped(const mod_lockset *set, PyObject *object)
{
    if (Py_REFCNT(object) > (Py_ssize_t)set->count) {
        return false;
    }
    Py_ssize_t own = 0;
    for (const mod_held_lock *held = set->innermost; held != NULL; held = held->outer) {
        own += held->object == object;
    }
    return mod_references_are(object, own);
}

bool
mod_is_held(const mod_lockset *set, mod_held_lock *held)
{
    PyObject *lock = lock_of(held);
    if (lock != NULL && (is_dropped(set, lock) || !held->kind->looks_held(lock))) {
        forget(held);
        lock = NULL;
    }
    return lock != NULL;
}

/* Is it there for a lock that is held, or will be again? */
static bool
is_to_keep(const mod_lockset *set, mod_held_lock *held)
{
    return held->paused ? !is_dropped(set, held->object) : mod_is_held(set, held);
}

/* It is out of the list: drop the lock, keep the memory, and the code, for most often it is the
   same that takes the next one. Python code may run. */
static void
discard(mod_lockset *set, mod_held_lock *held)
{
    PyObject *object = held->object;
    held->outer = set->free;
    set->free = held;
    Py_DECREF(object);
}

/* Take out what is not wanted. Python code may run at the end. */
static void
sweep(mod_lockset *set)
{
    mod_held_lock *unwanted = NULL, **last = &unwanted;
    for (mod_held_lock *held = set->innermost; held != NULL; held = held->outer) {
        if (!is_to_keep(set, held)) {
            held->paused = false;
        }
    }
    for (mod_held_lock **place = &set->innermost; *place != NULL;) {
        mod_held_lock *held = *place;
        if (lock_of(held) != NULL || held->paused) {
            place = &held->outer;
            continue;
        }
        *place = held->outer;
        set->count--;
        *last = held;
        last = &held->outer;
    }
    *last = NULL;
    set->enough = 2 * set->count;
    while (unwanted != NULL) {
        mod_held_lock *held = unwanted;
        unwanted = held->outer;
        discard(set, held);
    }
}

/* The innermost are taken out that have no lock. Python code may run. */
static void
trim(mod_lockset *set)
{
    mod_held_lock *held = set->innermost;
    while (held != NULL && lock_of(held) == NULL && !held->paused) {
        set->innermost = held->outer;
        set->count--;
        discard(set, held);
        held = set->innermost;
    }
}

/* See to it that there is memory for one more. False: there is none. Python code may run. */
MOD_SELDOM static bool
have_memory(mod_lockset *set)
{
    enum { FEW = 16 };
    if (set->count >= FEW && set->count >= set->enough) {
        sweep(set);
    }
    if (set->free == NULL) {
        set->free = PyMem_RawCalloc(1, sizeof(*set->free));
        set->unrecorded = set->unrecorded || set->free == NULL;
    }
    return set->free != NULL;
}

/* Fill in where it is taken. False: for somebody else. Python code may run. */
static bool
find_place(mod_lockset *set, mod_held_lock *held)
{
    PyObject *code, *before = held->code;
    if (!mod_current_place(set->thread_state, &places, &set->plain_code, &code, &held->lasti)) {
        return false;
    }
    if (code != before) {
        held->code = Py_XNewRef(code);
        Py_XDECREF(before);
    }
    return true;
}

void
mod_lockset_add(mod_lockset *set, const mod_lock_kind *kind, PyObject *lock, int levels)
{
    mod_held_lock *held = kind->recursive ? mod_lockset_find(set, lock) : NULL;
    if (held != NULL && held->entered >= set->scope) { /* or it is taken again in a scope */
        held->levels += levels;
        return;
    }
    if (set->free == NULL && !have_memory(set)) {
        return;
    }
    held = set->free;
    set->free = held->outer;
    held->object = lock;
    held->kind = kind;
    held->levels = levels;
    held->entered = set->entered;
    if (!find_place(set, held)) {
        held->outer = set->free;
        set->free = held;
        return;
    }
    Py_INCREF(held->object);
    held->outer = set->innermost;
    set->innermost = held;
    set->count++;
    link_held(held, held->object);
}

void
mod_lockset_remove(mod_lockset *set, mod_held_lock *held)
{
    if (held->levels > 1) {
        held->levels--;
        return;
    }
    forget(held);
    trim(set);
}

void
mod_lockset_pause(mod_lockset *set, PyObject *lock)
{
    /* One that is taken again in a scope is there more than once. */
    mod_held_lock *held;
    while ((held = mod_lockset_find(set, lock)) != NULL) {
        forget(held);
        held->paused = true;
    }
}

void
mod_lockset_resume(mod_lockset *set, const mod_lock_kind *kind, PyObject *lock, int levels)
{
    bool found = false;
    for (mod_held_lock *held = set->innermost; held != NULL; held = held->outer) {
        if (held->paused && held->object == lock) {
            held->paused = false;
            link_held(held, lock);
            found = true;
        }
    }
    if (!found) {
        mod_lockset_add(set, kind, lock, levels);
    }
}

/* Looking. ------------------------------------------------------------------------------------ */

bool
mod_holds_lock(mod_lockset *set, uint64_t scope, PyObject **code, int *lasti)
{
    *code = NULL;
    *lasti = -1;
    mod_held_lock *held = set->innermost;
    for (; held != NULL && held->entered >= scope; held = held->outer) {
        if (mod_is_held(set, held)) {
            *code = Py_XNewRef(held->code);
            *lasti = held->lasti;
            return true;
        }
    }
    return set->unrecorded;
}

typedef struct {
    const mod_lockset *set;
    uint64_t scope;
    PyObject *lock; /* strong, or NULL: there is none */
    PyObject *code; /* strong, or NULL */
    int lasti;
} reading;

/* While the owner cannot run. */
static void
read_innermost(void *arg)
{
    reading *to = arg;
    const mod_held_lock *held = to->set->innermost;
    for (; held != NULL && held->entered >= to->scope && to->lock == NULL; held = held->outer) {
        PyObject *lock = lock_of(held);
        if (lock != NULL && (held->kind->recursive || held->kind->looks_held(lock))) {
            to->lock = Py_NewRef(lock);
            to->code = Py_XNewRef(held->code);
            to->lasti = held->lasti;
        }
    }
}

bool
mod_other_holds_lock(const mod_lockset *set, uint64_t scope, PyObject **lock, PyObject **code,
                     int *lasti)
{
    reading found = {.set = set, .scope = scope};
    mod_while_stopped(read_innermost, &found);
    if (found.lock != NULL) {
        *lock = found.lock;
        *code = found.code;
        *lasti = found.lasti;
    }
    return found.lock != NULL;
}

/* Ends. --------------------------------------------------------------------------------------- */

void
mod_lockset_clear(mod_lockset *set)
{
    set->unrecorded = false;
    set->scope = 0;
    for (mod_held_lock *held = set->innermost; held != NULL; held = held->outer) {
        forget(held);
        held->paused = false;
    }
    trim(set);
}

bool
mod_lockset_leave(mod_lockset *set, mod_lockset *to)
{
    PyObject *code;
    int lasti;
    if (!mod_holds_lock(set, 0, &code, &lasti) || code == NULL) {
        return false; /* or nobody would be told a place */
    }
    Py_DECREF(code);
    to->innermost = set->innermost;
    to->count = set->count;
    set->innermost = NULL;
    set->count = 0;
    return true;
}

bool
mod_is_left(const mod_lockset *left, const mod_held_lock *held, unsigned long ident)
{
    PyObject *lock = lock_of(held); /* kept by `object` */
    if (lock == NULL || is_dropped(left, lock)) {
        return false;
    }
    return held->kind->recursive ? held->kind->looks_taken_by(lock, ident)
                                 : held->kind->looks_held(lock);
}

void
mod_lockset_destroy(mod_lockset *set)
{
    mod_lockset_clear(set);
    while (set->free != NULL) {
        mod_held_lock *held = set->free;
        set->free = held->outer;
        Py_XDECREF(held->code);
        PyMem_RawFree(held);
    }
}

/* In the child of a fork there is the calling thread alone. What others held, or have left, is
   nothing of ours any more; its memory is theirs who destroy it, or lost. */
void
mod_locksets_after_fork_child(void)
{
    const mod_lockset *own = mod_thread_lockset;
    mod_held_lock *innermost = own == NULL ? NULL : own->innermost;
    for (size_t i = 0; i < GUARDS; i++) {
        mod_mutex_reset(&guards[i]);
    }
    for (size_t i = 0; i < MOD_SLOTS; i++) {
        mod_held_lock *held = at_place(&mod_slots[i].held);
        for (; held != NULL; held = at_place(&held->alike)) {
            held->levels = -held->levels; /* it was in the table */
            atomic_init(&held->lock, NULL);
        }
        atomic_init(&mod_slots[i].held, NULL);
        atomic_init(&mod_slots[i].waiters, 0);
    }
    for (mod_held_lock *held = innermost; held != NULL; held = held->outer) {
        if (held->levels < 0) {
            held->levels = -held->levels;
            link_held(held, held->object);
        }
    }
}

void
mod_locksets_init(PyObject *threading)
{
    /* With references, for the addresses to stay taken as long as the interpreter lives. One that
       is not there is none of this version, or somebody has put his own there, in C. */
    size_t count = 0;
    for (size_t i = 0; i < TAKERS_FOR_OTHERS; i++) {
        PyObject *code = mod_find_code_of(threading, takers_for_others[i]);
        if (code != NULL) {
            taker_codes[count++] = code;
            places.wrapper_file = Py_NewRef(((PyCodeObject *)code)->co_filename);
        }
    }
    taker_codes[count] = NULL;
}
