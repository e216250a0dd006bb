/*
 * multiprocessing's locks and semaphores. Locks are noted as those of threads are (lock_calls.h);
 * what counts permits is no lock. Who releases one may be another process, which tells us nothing:
 * a wait that may be interrupted tries in slices.
 */
#include "blocking/interposed.h"

#include <structmember.h> /* T_INT */

#include "cpython/frame.h"
#include "blocking/sync/lock_calls.h"
#include "interpose/originals.h"

MOD_ORIGINAL(semaphore_is_zero);
MOD_ORIGINAL(semaphore_is_mine);

/* Places of the members in a SemLock. Written by find_members before anything is interposed. */
static Py_ssize_t kind_offset, maximum_offset;

enum { RECURSIVE_MUTEX = 0 }; /* as in multiprocessing/synchronize.py */

static int
member(PyObject *semaphore, Py_ssize_t offset)
{
    return *(const int *)((const char *)semaphore + offset);
}

static bool
process_lock_looks_held(PyObject *lock)
{
    return mod_says_yes(&semaphore_is_zero, lock);
}

static bool
process_rlock_looks_held(PyObject *lock)
{
    return mod_says_yes(&semaphore_is_mine, lock);
}

static bool
process_rlock_looks_taken_by(PyObject *lock, unsigned long Py_UNUSED(ident))
{
    return process_lock_looks_held(lock); /* by whom, only the taker can tell */
}

static const mod_lock_kind process_plain = {.recursive = false,
                                            .looks_held = process_lock_looks_held};
static const mod_lock_kind process_recursive = {.recursive = true,
                                                .looks_held = process_rlock_looks_held,
                                                .looks_taken_by = process_rlock_looks_taken_by};

/* NULL: it is no lock, but counts permits. */
static const mod_lock_kind *
kind_of_semaphore(PyObject *semaphore)
{
    if (member(semaphore, kind_offset) == RECURSIVE_MUTEX) {
        return &process_recursive;
    }
    return member(semaphore, maximum_offset) == 1 ? &process_plain : NULL;
}

static PyObject *semaphore_take(const mod_call *call);
MOD_REPLACEMENT(semaphore_acquire, mod_called_inside, semaphore_take);
MOD_REPLACEMENT(semaphore_enter, mod_called_inside, semaphore_take);

static const mod_acquiring acquiring = {.acquire = &semaphore_acquire,
                                        .flag = "block",
                                        .ever = MOD_NONE_IS_EVER,
                                        .caller = mod_caller_of_process_lock};

/* Leaving Condition.wait. -------------------------------------------------------------------------
 *
 * multiprocessing.Condition counts its sleepers in one semaphore and those that have woken in
 * another. notify() takes a sleeper off the first, releases a permit to wake it, and waits until
 * somebody has counted himself in the second; permits that are left then are taken back. Whoever
 * times out counts himself, too: if that is what notify() has waited for, the notification is lost,
 * though others sleep on.
 *
 * Who is interrupted shall not lose one (S10d). He takes a sleeper off the first semaphore himself,
 * and does not count himself in the second. If there is none to take off, they are all accounted
 * for by a notify() that is under way: then a permit is there for each, or comes at once, and that
 * is the result. So the sleepers left, with those taken off by notify() and not yet counted as
 * woken, are always as many as wait and as have been counted and not looked at, as without us.
 */

/* The wait that the calling thread leaves so, until its `finally` has tried to count it; compared
   only. Thread-local. */
static ITR_TLS struct {
    const void *frame;     /* of Condition.wait; NULL: none */
    const PyObject *woken; /* the semaphore that is not to be released */
} left;

/* The SemLock in an attribute of a condition; a new reference, or NULL with no exception set. */
static PyObject *
semaphore_of(PyObject *condition, const char *name, PyTypeObject *type)
{
    PyObject *wrapper = PyObject_GetAttrString(condition, name);
    PyObject *semaphore = wrapper == NULL ? NULL : PyObject_GetAttrString(wrapper, "_semlock");
    Py_XDECREF(wrapper);
    PyErr_Clear();
    if (semaphore != NULL && !Py_IS_TYPE(semaphore, type)) {
        Py_CLEAR(semaphore);
    }
    return semaphore;
}

/* See mod_try. */
static int
try_semaphore(void *semaphore)
{
    return mod_try_lock(&acquiring, semaphore);
}

/* The calling thread is about to leave Condition.wait by an exception. False: it has been notified,
   and has to wait for its permit. If something is not as expected it leaves as it would by any
   other exception. */
static bool
withdraw(void *semaphore)
{
    PyThreadState *tstate = mod_thread_self->tstate;
    mod_walk walk = mod_walk_begin(tstate);
    PyObject *condition = walk.frame == NULL ? NULL : mod_frame_argument(walk.frame, walk.code, 0);
    mod_walk_end(&walk);
    if (condition == NULL) {
        return true;
    }
    PyTypeObject *type = Py_TYPE((PyObject *)semaphore);
    PyObject *sleeping = semaphore_of(condition, "_sleeping_count", type);
    PyObject *woken = semaphore_of(condition, "_woken_count", type);
    int taken = sleeping == NULL || woken == NULL ? -1 : try_semaphore(sleeping);
    PyErr_Clear();
    if (taken > 0) {
        left.frame = mod_frame_now(tstate);
        left.woken = woken;
    }
    Py_XDECREF(sleeping);
    Py_XDECREF(woken);
    Py_DECREF(condition);
    return taken != 0;
}

/* Is it released by who has left so? Once. */
static bool
is_not_to_be_counted(const PyObject *semaphore)
{
    if (left.frame == NULL || left.woken != semaphore ||
        left.frame != mod_frame_now(PyThreadState_Get())) {
        return false;
    }
    left.frame = NULL;
    return true;
}

/* Waiting. ------------------------------------------------------------------------------------ */

static PyObject *
acquire(const mod_call *call, const mod_lock_kind *kind)
{
    itr_deadline deadline;
    mod_waiting waiting;
    mod_caller caller;
    if (!mod_call_deadline(call, acquiring.flag, acquiring.ever, &deadline)) {
        return mod_call_original(call);
    }
    int taken = try_semaphore(call->self);
    if (taken == 0) {
        if (!mod_lock_wait_begin(call, &acquiring, kind != NULL, &waiting, &caller, &deadline)) {
            return mod_call_original(call);
        }
        if (caller == MOD_CALLER_NOTIFIED) {
            if (kind != NULL) {
                /* the condition's own lock, acquired again (S10d) */
                return mod_call_original(call);
            }
            waiting.may_leave = withdraw;
        }
        taken = mod_wait_trying(&waiting, try_semaphore, call->self, deadline);
    }
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

/*
 * Is the thread that takes it the one to release it? Not so with the room in a Queue, which whoever
 * gets the item releases: in a Queue(1) that looks like a lock. It is acquired with both arguments,
 * which spares other callers the question.
 */
static bool
is_held_by_taker(const mod_call *call)
{
    mod_state *state = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    return mod_call_count(call) < 2 || state == NULL ||
           mod_caller_of_process_lock(state, PyThreadState_Get()) != MOD_CALLER_EVENT;
}

static PyObject *
semaphore_take(const mod_call *call)
{
    const mod_lock_kind *kind = kind_of_semaphore(call->self);
    mod_caller caller;
    if (mod_is_asked() && mod_lock_enter_asked(call, &acquiring, kind != NULL, &caller) < 0) {
        return NULL;
    }
    PyObject *result = acquire(call, kind);
    if (result == NULL || kind == NULL || (kind == &process_plain && !is_held_by_taker(call))) {
        return result;
    }
    return mod_note_taken(call->self, result, kind);
}

MOD_INLINE PyObject *
semaphore_release(const mod_call *call)
{
    const mod_lock_kind *kind = kind_of_semaphore(call->self);
    if (kind != NULL) {
        return mod_release_noted(call, kind);
    }
    if (is_not_to_be_counted(call->self)) {
        Py_RETURN_NONE;
    }
    return mod_call_original(call);
}

/* Where an exit checks its arguments, it must not be taken for a release when they are wrong. */
MOD_INLINE PyObject *
semaphore_leave(const mod_call *call)
{
    if (call->shape == MOD_FAST && call->count > 3) {
        return mod_call_original(call);
    }
    return semaphore_release(call);
}

MOD_REPLACEMENT(semaphore_do_release, mod_called_inside_or_noted, semaphore_release);
MOD_REPLACEMENT(semaphore_exit, mod_called_inside_or_noted, semaphore_leave);

static const mod_row semaphore_rows[] = {
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
    PyObject *type = (PyObject *)mod_find_type(semaphore_rows);
    Py_ssize_t kind = type == NULL ? -1 : find_member(type, "kind");
    Py_ssize_t maximum = kind < 0 ? -1 : find_member(type, "maxvalue");
    Py_XDECREF(type);
    if (maximum < 0) {
        return false;
    }
    kind_offset = kind;
    maximum_offset = maximum;
    return true;
}

mod_family mod_process_locks = {
    .name = "process locks", .rows = semaphore_rows, .check = find_members};
