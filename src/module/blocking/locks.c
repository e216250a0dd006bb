/*
 * See locks.h. What a thread takes inside its region is noted in its list (held.h).
 *
 * Outside a region a replacement is a thread-local load, for a release of a plain lock one more
 * load, and the original. All that can fail is the original's: it has the arguments as they came.
 *
 * A release of a lock that the thread itself has not noted strikes it from the list of whoever has
 * it, before the original: after it, the lock may be taken, and noted, again. Its own entry goes
 * afterwards, if the original has released.
 */
#include "locks.h"

#include <structmember.h> /* T_INT */

#include "held.h"

/* What a method without arguments answers; false also if it fails. */
static bool
says_yes(const interruption_method *method, PyObject *lock)
{
    PyObject *answer = interruption_original(method)(lock, NULL);
    if (answer == NULL) {
        PyErr_Clear();
        return false;
    }
    Py_DECREF(answer);
    return answer == Py_True;
}

/* What is the same for all of them. --------------------------------------------------------------
 */

/* Where these are inlined, the convention is known and the call costs no detour. */
#define INLINE __attribute__((always_inline)) static inline

/* Inside a region everything is. */
INLINE bool
is_inside(PyObject *Py_UNUSED(lock))
{
    return interruption_current_held() != NULL;
}

/* And wherever somebody else may have noted the lock. */
INLINE bool
is_inside_or_taken(PyObject *lock)
{
    return interruption_current_held() != NULL || interruption_taken(lock);
}

INLINE PyObject *
take(const interruption_call *call, const interruption_lock_kind *kind)
{
    PyObject *result = interruption_call_original(call);
    interruption_held *held = interruption_current_held();
    if (result != NULL && result != Py_False && held != NULL) {
        interruption_held_push(held, kind, call->self, 1);
    }
    return result;
}

INLINE PyObject *
release(const interruption_call *call, const interruption_lock_kind *kind)
{
    interruption_held *held = interruption_current_held();
    interruption_held_entry *own = NULL;
    if (held != NULL) {
        own = interruption_held_find(held, call->self);
    }
    if (own == NULL && !kind->recursive && interruption_taken(call->self)) {
        interruption_held_strike(call->self);
    }
    PyObject *result = interruption_call_original(call);
    if (own != NULL && result != NULL) {
        interruption_held_pop(held, own);
    }
    return result;
}

/* Only in the child of a fork, on a lock that some other thread may have held. */
INLINE PyObject *
reset(const interruption_call *call)
{
    PyObject *result = interruption_call_original(call);
    if (result != NULL) {
        interruption_held_strike(call->self);
    }
    return result;
}

/* _thread.lock ----------------------------------------------------------------------------------
 */

INTERRUPTION_ORIGINAL(lock_locked);

static bool
lock_looks_held(PyObject *lock)
{
    return says_yes(&lock_locked, lock);
}

static const interruption_lock_kind plain = {.recursive = false, .looks_held = lock_looks_held};

INLINE PyObject *
lock_take(const interruption_call *call)
{
    return take(call, &plain);
}

INLINE PyObject *
lock_release(const interruption_call *call)
{
    return release(call, &plain);
}

/* Where an exit checks its arguments, it must not be taken for a release when they are wrong. */
INLINE PyObject *
lock_leave(const interruption_call *call)
{
    if (call->shape == INTERRUPTION_FAST && call->count != 3) {
        return interruption_call_original(call);
    }
    return release(call, &plain);
}

INTERRUPTION_REPLACEMENT(lock_acquire, is_inside, lock_take);
INTERRUPTION_REPLACEMENT(lock_acquire_lock, is_inside, lock_take);
INTERRUPTION_REPLACEMENT(lock_enter, is_inside, lock_take);
INTERRUPTION_REPLACEMENT(lock_do_release, is_inside_or_taken, lock_release);
INTERRUPTION_REPLACEMENT(lock_release_lock, is_inside_or_taken, lock_release);
INTERRUPTION_REPLACEMENT(lock_exit, is_inside_or_taken, lock_leave);
INTERRUPTION_REPLACEMENT(lock_reset, is_inside_or_taken, reset);

/* _thread.RLock ---------------------------------------------------------------------------------
 */

INTERRUPTION_ORIGINAL(rlock_is_owned);

static bool
rlock_looks_held(PyObject *lock)
{
    return says_yes(&rlock_is_owned, lock);
}

static const interruption_lock_kind recursive = {.recursive = true, .looks_held = rlock_looks_held};

INLINE PyObject *
rlock_take(const interruption_call *call)
{
    return take(call, &recursive);
}

INLINE PyObject *
rlock_release(const interruption_call *call)
{
    return release(call, &recursive);
}

INLINE PyObject *
rlock_save(const interruption_call *call)
{
    PyObject *state = interruption_call_original(call);
    interruption_held *held = interruption_current_held();
    if (state != NULL && held != NULL) {
        interruption_held_save(held, call->self, state);
    }
    return state;
}

/* The state that was restored, and how many levels it says; as an argument or in a tuple of them.
 */
static PyObject *
restored_state(const interruption_call *call, int *levels)
{
    PyObject *state = call->vector == NULL ? call->argument : call->vector[0];
    if (PyTuple_Check(state) && PyTuple_GET_SIZE(state) == 1) {
        state = PyTuple_GET_ITEM(state, 0);
    }
    PyObject *count = PySequence_GetItem(state, 0);
    *levels = count == NULL ? 1 : (int)PyLong_AsLong(count);
    Py_XDECREF(count);
    PyErr_Clear();
    return state;
}

INLINE PyObject *
rlock_restore(const interruption_call *call)
{
    PyObject *result = interruption_call_original(call);
    interruption_held *held = interruption_current_held();
    if (result != NULL && held != NULL) {
        int levels;
        PyObject *state = restored_state(call, &levels);
        interruption_held_restore(held, &recursive, call->self, state, levels);
    }
    return result;
}

INTERRUPTION_REPLACEMENT(rlock_acquire, is_inside, rlock_take);
INTERRUPTION_REPLACEMENT(rlock_enter, is_inside, rlock_take);
INTERRUPTION_REPLACEMENT(rlock_do_release, is_inside, rlock_release);
INTERRUPTION_REPLACEMENT(rlock_exit, is_inside, rlock_release);
INTERRUPTION_REPLACEMENT(rlock_release_save, is_inside, rlock_save);
INTERRUPTION_REPLACEMENT(rlock_acquire_restore, is_inside, rlock_restore);
INTERRUPTION_REPLACEMENT(rlock_reset, is_inside_or_taken, reset);

static const interruption_row lock_rows[] = {
    {"_thread", "LockType", "locked", &lock_locked, false},
    {"_thread", "LockType", "acquire", &lock_acquire, false},
    {"_thread", "LockType", "acquire_lock", &lock_acquire_lock, true},
    {"_thread", "LockType", "__enter__", &lock_enter, false},
    {"_thread", "LockType", "release", &lock_do_release, false},
    {"_thread", "LockType", "release_lock", &lock_release_lock, true},
    {"_thread", "LockType", "__exit__", &lock_exit, false},
    {"_thread", "LockType", "_at_fork_reinit", &lock_reset, true},
    {"_thread", "RLock", "_is_owned", &rlock_is_owned, false},
    {"_thread", "RLock", "acquire", &rlock_acquire, false},
    {"_thread", "RLock", "__enter__", &rlock_enter, false},
    {"_thread", "RLock", "release", &rlock_do_release, false},
    {"_thread", "RLock", "__exit__", &rlock_exit, false},
    {"_thread", "RLock", "_release_save", &rlock_release_save, false},
    {"_thread", "RLock", "_acquire_restore", &rlock_acquire_restore, false},
    {"_thread", "RLock", "_at_fork_reinit", &rlock_reset, true},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_locks = {.name = "locks", .rows = lock_rows};

/* _multiprocessing.SemLock ----------------------------------------------------------------------
 */

INTERRUPTION_ORIGINAL(semaphore_is_zero);
INTERRUPTION_ORIGINAL(semaphore_is_mine);

/* Places of the members in a SemLock. Written by find_members before anything is interposed. */
static Py_ssize_t kind_offset, maximum_offset;

enum { RECURSIVE_MUTEX = 0, SEMAPHORE = 1 }; /* as in multiprocessing/synchronize.py */

static int
member(PyObject *semaphore, Py_ssize_t offset)
{
    return *(const int *)((const char *)semaphore + offset);
}

static bool
process_lock_looks_held(PyObject *lock)
{
    return says_yes(&semaphore_is_zero, lock);
}

static bool
process_rlock_looks_held(PyObject *lock)
{
    return says_yes(&semaphore_is_mine, lock);
}

static const interruption_lock_kind process_plain = {.recursive = false,
                                                     .looks_held = process_lock_looks_held};
static const interruption_lock_kind process_recursive = {.recursive = true,
                                                         .looks_held = process_rlock_looks_held};

/* NULL: it is no lock, but counts permits. */
static const interruption_lock_kind *
kind_of_semaphore(PyObject *semaphore)
{
    if (member(semaphore, kind_offset) == RECURSIVE_MUTEX) {
        return &process_recursive;
    }
    return member(semaphore, maximum_offset) == 1 ? &process_plain : NULL;
}

INLINE PyObject *
semaphore_take(const interruption_call *call)
{
    const interruption_lock_kind *kind = kind_of_semaphore(call->self);
    return kind == NULL ? interruption_call_original(call) : take(call, kind);
}

INLINE PyObject *
semaphore_release(const interruption_call *call)
{
    const interruption_lock_kind *kind = kind_of_semaphore(call->self);
    return kind == NULL ? interruption_call_original(call) : release(call, kind);
}

/* As lock_leave. */
INLINE PyObject *
semaphore_leave(const interruption_call *call)
{
    if (call->shape == INTERRUPTION_FAST && call->count > 3) {
        return interruption_call_original(call);
    }
    return semaphore_release(call);
}

INTERRUPTION_REPLACEMENT(semaphore_acquire, is_inside, semaphore_take);
INTERRUPTION_REPLACEMENT(semaphore_enter, is_inside, semaphore_take);
INTERRUPTION_REPLACEMENT(semaphore_do_release, is_inside_or_taken, semaphore_release);
INTERRUPTION_REPLACEMENT(semaphore_exit, is_inside_or_taken, semaphore_leave);

static const interruption_row semaphore_rows[] = {
    {"_multiprocessing", "SemLock", "_is_zero", &semaphore_is_zero, false},
    {"_multiprocessing", "SemLock", "_is_mine", &semaphore_is_mine, false},
    {"_multiprocessing", "SemLock", "acquire", &semaphore_acquire, false},
    {"_multiprocessing", "SemLock", "__enter__", &semaphore_enter, false},
    {"_multiprocessing", "SemLock", "release", &semaphore_do_release, false},
    {"_multiprocessing", "SemLock", "__exit__", &semaphore_exit, false},
    {NULL, NULL, NULL, NULL, false},
};

/* The place of a C int among the members of SemLock; -1 with an exception set. */
static Py_ssize_t
find_member(PyObject *type, const char *name)
{
    PyObject *found = PyObject_GetAttrString(type, name);
    if (found == NULL) {
        return -1;
    }
    Py_ssize_t offset = -1;
    if (Py_IS_TYPE(found, &PyMemberDescr_Type) && PyDescr_TYPE(found) == (PyTypeObject *)type) {
        const PyMemberDef *definition = ((PyMemberDescrObject *)found)->d_member;
        offset = definition->type == T_INT ? definition->offset : -1;
    }
    Py_DECREF(found);
    if (offset < 0) {
        PyErr_Format(PyExc_RuntimeError, "SemLock.%s is not a C int", name);
    }
    return offset;
}

static bool
find_members(void)
{
    PyObject *module = PyImport_ImportModule("_multiprocessing");
    PyObject *type = module == NULL ? NULL : PyObject_GetAttrString(module, "SemLock");
    Py_ssize_t kind = type == NULL ? -1 : find_member(type, "kind");
    Py_ssize_t maximum = kind < 0 ? -1 : find_member(type, "maxvalue");
    Py_XDECREF(type);
    Py_XDECREF(module);
    if (maximum < 0) {
        return false;
    }
    kind_offset = kind;
    maximum_offset = maximum;
    return true;
}

interruption_family interruption_process_locks = {
    .name = "process locks", .rows = semaphore_rows, .check = find_members};
