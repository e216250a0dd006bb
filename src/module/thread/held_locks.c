/*
 * See held_locks.h.
 *
 * A list is written by its owner alone, but for `lock` of an entry, which others may set to NULL.
 * Its memory is exchanged, and threads walk each other's lists, under `held_mutex`, in which no
 * Python code runs and nothing is allocated. An entry taken out keeps its references until the
 * owner drops them, at a moment at which the list is whole, for dropping may run Python code that
 * takes locks.
 */
#include "thread/held_locks.h"

#include <pthread.h>

#include "cpython/compat.h"
#include "cpython/frame.h"

ITR_TLS interruption_held *interruption_thread_held;
_Atomic uint32_t interruption_noting;

interruption_slot interruption_slots[INTERRUPTION_SLOTS];

static interruption_mutex held_mutex = INTERRUPTION_MUTEX_INIT;
static interruption_held *held_lists; /* guarded by held_mutex: those that have had an entry */
static unsigned epoch = 1; /* how many forks made this process, and one; written in the child of
                              a fork, which has one thread */

/* What takes a lock for others to release, and so never holds it: Condition.wait, which waits for
   that; up to 3.12 two methods of Thread, whose lock stands for the thread's life (and is taken
   anew in the child of a fork). And their file, whose places do not help a user. Only compared.
   Written by interruption_held_init, before the interpreter has a lock interposed. */
enum { TAKERS_FOR_OTHERS = 3 };
static const char *const takers_for_others[TAKERS_FOR_OTHERS][2] = {
    {"Condition", "wait"},
    {"Thread", "_set_tstate_lock"},
    {"Thread", "_reset_internal_locks"},
};
static PyObject *taker_codes[TAKERS_FOR_OTHERS + 1]; /* as many as there are */
static interruption_places places = {.but_not = taker_codes};

static size_t
count_of(const interruption_held *held)
{
    /* Relaxed: by the owner, who alone writes it. */
    return atomic_load_explicit(&held->count, memory_order_relaxed);
}

static void
set_count(interruption_held *held, size_t count)
{
    /* Release: pairs with the acquire of those who walk the list. */
    atomic_store_explicit(&held->count, count, memory_order_release);
}

/* By the owner, who alone puts another lock than NULL there. Relaxed: what it reads is its own, or
   NULL. */
static PyObject *
lock_of(const interruption_held_entry *entry)
{
    return atomic_load_explicit(&entry->lock, memory_order_relaxed);
}

/* Take a lock out of an entry. False: somebody else has. */
static bool
take_out_lock(interruption_held_entry *entry, PyObject *lock)
{
    if (!interruption_exchange_if(&entry->lock, lock, NULL)) {
        return false;
    }
    (void)interruption_add(interruption_taken_slot(lock), 0 - interruption_taken_mark(lock));
    return true;
}

/* Drop what an entry had hold of, after it was taken out. Python code may run. */
static void
drop_entry(interruption_held *held, PyObject *object, PyObject *code)
{
    /* Whoever reads an entry says so first and then looks at its lock; we took the lock out first
       and look now. So either it saw no lock, or we see it and wait. With a GIL it has finished. */
    if (INTERRUPTION_FREE_THREADED && atomic_load(&held->being_read)) {
        interruption_mutex_lock(&held_mutex);
        interruption_mutex_unlock(&held_mutex);
    }
    Py_XDECREF(code);
    Py_XDECREF(object);
}

/* Has the program no reference to it any more? */
static bool
is_dropped(const interruption_held *held, PyObject *object)
{
    size_t count = count_of(held);
    if (Py_REFCNT(object) > (Py_ssize_t)count) {
        return false;
    }
    Py_ssize_t own = 0;
    for (size_t i = 0; i < count; i++) {
        own += held->entries[i].object == object;
    }
    return interruption_references_are(object, own);
}

/* Is it nothing but memory and references? If the lock was dropped, make it so. */
static bool
is_dead(const interruption_held *held, interruption_held_entry *entry)
{
    PyObject *lock = lock_of(entry);
    if (lock == NULL) {
        return entry->saved_levels == 0 || is_dropped(held, entry->object);
    }
    if (!is_dropped(held, lock)) {
        return false;
    }
    (void)take_out_lock(entry, lock);
    return true;
}

/* Take dead entries off the end. Python code may run, so everything is read anew each time. */
static void
trim(interruption_held *held)
{
    size_t count;
    while ((count = count_of(held)) > 0) {
        interruption_held_entry *last = &held->entries[count - 1];
        if (!is_dead(held, last)) {
            break;
        }
        PyObject *object = last->object, *code = last->code;
        set_count(held, count - 1);
        drop_entry(held, object, code);
    }
}

/* Which of the entries is one to keep: a lock that is held, or one that will be restored. */
static bool
is_live(const interruption_held *held, interruption_held_entry *entry)
{
    if (is_dead(held, entry)) {
        return false;
    }
    PyObject *lock = lock_of(entry);
    if (lock == NULL || entry->kind->looks_held(lock)) {
        return true;
    }
    (void)take_out_lock(entry, lock);
    return false;
}

size_t
interruption_held_validate(interruption_held *held)
{
    size_t live = 0;
    for (size_t i = count_of(held); i-- > 0;) {
        live += is_live(held, &held->entries[i]);
    }
    return live;
}

/* Put it into the list of lists, if it is not there. Under the mutex. */
static void
link_held(interruption_held *held)
{
    if (held->epoch == epoch) {
        return;
    }
    held->epoch = epoch;
    held->next = held_lists;
    held->link = &held_lists;
    if (held_lists != NULL) {
        held_lists->link = &held->next;
    }
    held_lists = held;
}

/* Exchange the memory for such that has room, and lose the dead entries on the way. 0, or -1: there
   is no memory. Python code may run at the end. */
__attribute__((noinline)) static int
make_room_for_entry(interruption_held *held)
{
    size_t count = count_of(held), live = interruption_held_validate(held), capacity = 16;
    while (capacity < live * 2) {
        capacity *= 2;
    }
    interruption_held_entry *entries = PyMem_RawCalloc(capacity, sizeof(*entries));
    if (entries == NULL) {
        return -1;
    }
    interruption_held_entry *old = held->entries;
    size_t kept = 0;
    interruption_mutex_lock(&held_mutex);
    for (size_t i = 0; i < count; i++) {
        if (lock_of(&old[i]) == NULL && old[i].saved_levels == 0) {
            continue;
        }
        interruption_held_entry *to = &entries[kept++];
        to->object = old[i].object;
        to->code = old[i].code;
        to->kind = old[i].kind;
        to->lasti = old[i].lasti;
        to->levels = old[i].levels;
        to->saved_levels = old[i].saved_levels;
        atomic_init(&to->lock, lock_of(&old[i]));
        old[i].object = old[i].code = NULL;
    }
    held->entries = entries;
    held->capacity = capacity;
    set_count(held, kept);
    link_held(held);
    interruption_mutex_unlock(&held_mutex);
    for (size_t i = 0; i < count; i++) {
        Py_XDECREF(old[i].code);
        Py_XDECREF(old[i].object);
    }
    PyMem_RawFree(old);
    return 0;
}

/* Room for one more entry; NULL: no memory. */
static interruption_held_entry *
new_entry(interruption_held *held)
{
    while (count_of(held) == held->capacity || held->epoch != epoch) {
        if (make_room_for_entry(held) < 0) {
            held->unrecorded = true;
            return NULL;
        }
    }
    return &held->entries[count_of(held)];
}

/* Make the entry after the last, filled in but for its lock, part of the list. */
static void
publish(interruption_held *held, interruption_held_entry *entry, PyObject *lock)
{
    /* Release: pairs with the acquire of those who walk the list. */
    atomic_store_explicit(&entry->lock, lock, memory_order_release);
    set_count(held, count_of(held) + 1);
    if (lock != NULL) {
        (void)interruption_add(interruption_taken_slot(lock), interruption_taken_mark(lock));
    }
}

interruption_held_entry *
interruption_held_find(const interruption_held *held, PyObject *lock)
{
    for (size_t i = count_of(held); i-- > 0;) {
        if (lock_of(&held->entries[i]) == lock) {
            return &held->entries[i];
        }
    }
    return NULL;
}

void
interruption_held_push(interruption_held *held, const interruption_lock_kind *kind, PyObject *lock,
                       int levels)
{
    interruption_held_entry *entry = kind->recursive ? interruption_held_find(held, lock) : NULL;
    if (entry != NULL) {
        entry->levels += levels;
        return;
    }
    entry = new_entry(held);
    if (entry == NULL) {
        return;
    }
    if (!interruption_current_place(held->thread_state, &places, &held->plain_code, &entry->code,
                                    &entry->lasti)) {
        return;
    }
    entry->object = Py_NewRef(lock);
    entry->kind = kind;
    entry->levels = levels;
    entry->saved_levels = 0;
    publish(held, entry, lock);
}

void
interruption_held_pop(interruption_held *held, interruption_held_entry *entry)
{
    if (entry->levels > 1) {
        entry->levels--;
        return;
    }
    PyObject *lock = lock_of(entry);
    if (lock != NULL) {
        (void)take_out_lock(entry, lock);
    }
    if (entry != &held->entries[0] || count_of(held) != 1) {
        trim(held);
        return;
    }
    /* The same for the only one. */
    PyObject *object = entry->object, *code = entry->code;
    set_count(held, 0);
    drop_entry(held, object, code);
}

void
interruption_held_save(interruption_held *held, PyObject *lock, PyObject *state)
{
    interruption_held_entry *taken = interruption_held_find(held, lock);
    if (taken == NULL) {
        return;
    }
    /* The entry becomes that of the saved state, with the place. The lock stays alive without us:
       somebody has just called its method, and will restore it. */
    (void)take_out_lock(taken, lock);
    taken->saved_levels = taken->levels;
    PyObject *object = taken->object;
    taken->object = Py_NewRef(state);
    drop_entry(held, object, NULL);
}

void
interruption_held_restore(interruption_held *held, const interruption_lock_kind *kind,
                          PyObject *lock, PyObject *state, int levels)
{
    for (size_t i = count_of(held); i-- > 0;) {
        interruption_held_entry *saved = &held->entries[i];
        if (saved->saved_levels == 0 || saved->object != state) {
            continue;
        }
        PyObject *object = saved->object;
        saved->object = Py_NewRef(lock);
        saved->kind = kind;
        saved->levels = saved->saved_levels;
        saved->saved_levels = 0;
        /* As in `publish`, in its old place. */
        atomic_store_explicit(&saved->lock, lock, memory_order_release);
        (void)interruption_add(interruption_taken_slot(lock), interruption_taken_mark(lock));
        drop_entry(held, object, NULL);
        return;
    }
    interruption_held_push(held, kind, lock, levels);
}

bool
interruption_holds_lock(interruption_held *held, PyObject **code, int *lasti)
{
    *code = NULL;
    *lasti = -1;
    for (size_t i = count_of(held); i-- > 0;) {
        interruption_held_entry *entry = &held->entries[i];
        if (entry->saved_levels == 0 && is_live(held, entry)) {
            *code = Py_XNewRef(entry->code);
            *lasti = entry->lasti;
            return true;
        }
    }
    return held->unrecorded;
}

/* Read one entry, with references; false if there is nothing to read. Under the mutex. */
static bool
read_entry(interruption_held *held, size_t index, interruption_held_entry *to)
{
    /* Both acquire: they pair with the releases in `publish`. */
    if (index >= atomic_load_explicit(&held->count, memory_order_acquire)) {
        return false;
    }
    const interruption_held_entry *entry = &held->entries[index];
    to->object = Py_XNewRef(atomic_load(&entry->lock)); /* seq_cst: see `drop_entry` */
    if (to->object == NULL) {
        return false;
    }
    to->code = Py_XNewRef(entry->code);
    to->lasti = entry->lasti;
    to->kind = entry->kind;
    return true;
}

bool
interruption_held_by_other(interruption_held *held, PyObject **lock, PyObject **code, int *lasti)
{
    size_t index = atomic_load_explicit(&held->count, memory_order_acquire); /* a start */
    while (index-- > 0) {
        interruption_held_entry entry;
        interruption_mutex_lock(&held_mutex);
        atomic_store(&held->being_read, true);
        bool found = read_entry(held, index, &entry);
        atomic_store(&held->being_read, false);
        interruption_mutex_unlock(&held_mutex);
        if (!found) {
            continue;
        }
        if (entry.kind->recursive || entry.kind->looks_held(entry.object)) {
            *lock = entry.object;
            *code = entry.code;
            *lasti = entry.lasti;
            return true;
        }
        Py_XDECREF(entry.code);
        Py_DECREF(entry.object);
    }
    return false;
}

void
interruption_held_clear(interruption_held *held)
{
    held->unrecorded = false;
    for (size_t i = count_of(held); i-- > 0;) {
        interruption_held_entry *entry = &held->entries[i];
        PyObject *lock = lock_of(entry);
        if (held->epoch != epoch) {
            atomic_init(&entry->lock, NULL); /* its thread is not in this process */
        }
        else if (lock != NULL) {
            (void)take_out_lock(entry, lock);
        }
        entry->saved_levels = 0;
    }
    trim(held);
}

/* Take it out of the list of lists, if it is there. Under the mutex. */
static void
unlink_list(interruption_held *held)
{
    if (held->epoch == epoch) {
        *held->link = held->next;
        if (held->next != NULL) {
            held->next->link = held->link;
        }
        held->epoch = 0;
    }
}

bool
interruption_held_leave(interruption_held *held, interruption_held *to)
{
    PyObject *code;
    int lasti;
    if (held->epoch != epoch || !interruption_holds_lock(held, &code, &lasti) || code == NULL) {
        return false; /* or nobody would be told a place */
    }
    Py_DECREF(code);
    interruption_mutex_lock(&held_mutex);
    unlink_list(held);
    to->entries = held->entries;
    to->capacity = held->capacity;
    set_count(to, count_of(held));
    link_held(to);
    held->entries = NULL;
    held->capacity = 0;
    set_count(held, 0);
    interruption_mutex_unlock(&held_mutex);
    held->unrecorded = false;
    return true;
}

int
interruption_held_is_left(const interruption_held *left, size_t index, unsigned long ident,
                          PyObject **code, int *lasti)
{
    if (index >= count_of(left) || left->epoch != epoch) {
        return -1; /* in the child of a fork they are the parent's affair */
    }
    const interruption_held_entry *entry = &left->entries[index];
    PyObject *lock = lock_of(entry); /* kept by `object` */
    *code = entry->code;
    *lasti = entry->lasti;
    if (lock == NULL || is_dropped(left, lock)) {
        return 0;
    }
    return entry->kind->recursive ? entry->kind->looks_taken_by(lock, ident)
                                  : entry->kind->looks_held(lock);
}

void
interruption_held_destroy(interruption_held *held)
{
    interruption_held_clear(held);
    interruption_mutex_lock(&held_mutex);
    unlink_list(held);
    interruption_held_entry *entries = held->entries;
    held->entries = NULL;
    held->capacity = 0;
    interruption_mutex_unlock(&held_mutex);
    PyMem_RawFree(entries);
}

void
interruption_held_strike(PyObject *lock)
{
    interruption_mutex_lock(&held_mutex);
    for (interruption_held *held = held_lists; held != NULL; held = held->next) {
        /* Acquire: pairs with set_count. */
        size_t count = atomic_load_explicit(&held->count, memory_order_acquire);
        for (size_t i = 0; i < count; i++) {
            (void)take_out_lock(&held->entries[i], lock);
        }
    }
    interruption_mutex_unlock(&held_mutex);
}

/* In the child of a fork there is the calling thread alone. The others' lists are none of ours any
   more, whatever they were in the midst of; their memory is theirs who destroys them, or lost. */
void
interruption_held_after_fork_child(void)
{
    interruption_held *own = interruption_thread_held;
    bool linked = own != NULL && own->epoch == epoch;
    interruption_mutex_reset(&held_mutex);
    held_lists = NULL;
    epoch++;
    for (size_t i = 0; i < INTERRUPTION_SLOTS; i++) {
        atomic_init(&interruption_slots[i].taken, 0);
        atomic_init(&interruption_slots[i].waiters, 0);
    }
    if (!linked) {
        return;
    }
    link_held(own);
    atomic_init(&own->being_read, false);
    for (size_t i = 0; i < count_of(own); i++) {
        PyObject *lock = lock_of(&own->entries[i]);
        if (lock != NULL) {
            (void)interruption_add(interruption_taken_slot(lock), interruption_taken_mark(lock));
        }
    }
}

/* The code of a method of a class in threading, borrowed; NULL if there is none: there is none in
   this version, or somebody has put his own there, which is then code like any other. */
static PyObject *
code_of_method(PyObject *threading, const char *type_name, const char *name)
{
    PyObject *type = PyObject_GetAttrString(threading, type_name);
    PyObject *method = type == NULL ? NULL : PyObject_GetAttrString(type, name);
    PyObject *code = NULL;
    if (method != NULL && PyFunction_Check(method)) {
        code = PyFunction_GET_CODE(method);
    }
    Py_XDECREF(method);
    Py_XDECREF(type);
    PyErr_Clear();
    return code;
}

int
interruption_held_init(PyObject *threading)
{
    if (interruption_current_place_init() < 0) {
        return -1;
    }
    /* With references, for the addresses to stay taken as long as the interpreter lives. */
    size_t count = 0;
    for (size_t i = 0; i < TAKERS_FOR_OTHERS; i++) {
        PyObject *code =
            code_of_method(threading, takers_for_others[i][0], takers_for_others[i][1]);
        if (code != NULL) {
            taker_codes[count++] = Py_NewRef(code);
            places.wrapper_file = Py_NewRef(((PyCodeObject *)code)->co_filename);
        }
    }
    taker_codes[count] = NULL;
    return 0;
}
