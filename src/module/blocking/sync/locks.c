/*
 * What a thread takes inside its region is noted in its lockset (held_locks.h). Where
 * it has to wait for it, it does so in the parking lot, at the address of the lock, and each
 * release wakes one of those (S10); threads outside of regions wait in the original, as they did,
 * and are woken by it.
 *
 * Outside a region a replacement is a thread-local load, for a release of a plain lock one more
 * load, and the original. All that can fail is the original's: it has the arguments as they came.
 */
#include "blocking/interposed.h"
#include "blocking/sync/lock_calls.h"

ITR_TLS const PyObject *mod_left_lock;

/* Somebody else may wait for the lock. Without a GIL that is to be asked after the release. */
MOD_INLINE bool
is_inside_or_waited_for(PyObject *lock)
{
    return MOD_FREE_THREADED || mod_current_lockset() != NULL || mod_waited_for(lock);
}

/* Only in the child of a fork, on a lock that some other thread may have held. */
MOD_INLINE PyObject *
reset(const mod_call *call)
{
    PyObject *result = mod_call_original(call);
    if (result != NULL) {
        mod_forget_lock(call->self);
    }
    return result;
}

/* Waiting. ------------------------------------------------------------------------------------ */

/* A lock that is waited for. */
typedef struct {
    PyObject *lock;
    const mod_acquiring *how;
} wanted_lock;

/* See mod_try. */
static int
try_lock(void *arg)
{
    const wanted_lock *wanted = arg;
    return mod_try_lock(wanted->how, wanted->lock);
}

/*
 * Leave Condition.wait, whose own lock this is: from here on a notify() passes us over, because it
 * finds the lock released; threading has it so that a wait which ended in an exception, and is
 * still in the queue, costs no notification. If the lock is released already, one was spent on us:
 * then that is the result (S10d).
 */
static bool
leave_queue(void *arg)
{
    const wanted_lock *wanted = arg;
    PyObject *released = mod_call_method(wanted->how->release, wanted->lock, NULL, 0);
    if (released == NULL) {
        PyErr_Clear();
        return false;
    }
    Py_DECREF(released);
    return true;
}

/* The thread that a lock stands for has ended. */
static void
tell_of_end(const void *lock)
{
    mod_wake(lock, 1);
}

/* Acquire a lock that another thread holds. */
MOD_SELDOM static PyObject *
wait_for_lock(const mod_call *call, const mod_acquiring *how)
{
    wanted_lock wanted = {call->self, how};
    itr_deadline deadline;
    mod_waiting waiting;
    mod_caller caller;
    mod_left_lock = NULL;
    if (!mod_lock_wait_begin(call, how, true, &waiting, &caller, &deadline)) {
        return mod_call_original(call);
    }
    if (caller == MOD_CALLER_NOTIFIED) {
        waiting.may_leave = leave_queue;
    }
    if (caller == MOD_CALLER_JOIN) {
        mod_watch_end(call->self, tell_of_end);
        mod_left_lock = call->self; /* unless it gets it */
    }
    int result = mod_wait_in_lot(&waiting, call->self, try_lock, &wanted, deadline);
    if (result >= 0) {
        mod_left_lock = NULL;
    }
    if (result == MOD_WAIT_OFF) {
        const mod_call again = mod_call_of(how->acquire, call->self);
        return mod_wait_in_original(&again, true, deadline);
    }
    return result < 0 ? NULL : PyBool_FromLong(result);
}

MOD_SELDOM static int
enter_asked(const mod_call *call, const mod_acquiring *how)
{
    mod_caller caller = MOD_CALLER_LIBRARY;
    int status = mod_lock_enter_asked(call, how, true, &caller);
    mod_left_lock = status < 0 && caller == MOD_CALLER_JOIN ? call->self : NULL;
    return status;
}

/* _thread.lock ----------------------------------------------------------------------------------
 */

MOD_ORIGINAL(original_locked);

static bool
lock_looks_held(PyObject *lock)
{
    return mod_says_yes(&original_locked, lock);
}

static const mod_lock_kind plain = {.recursive = false, .looks_held = lock_looks_held};

MOD_INLINE PyObject *lock_take(const mod_call *call);

MOD_INLINE PyObject *
lock_release(const mod_call *call)
{
    return mod_release_noted(call, &plain);
}

/* Where an exit checks its arguments, it must not be taken for a release when they are wrong. */
MOD_INLINE PyObject *
lock_leave(const mod_call *call)
{
    if (call->shape == MOD_FAST && call->count != 3) {
        return mod_call_original(call);
    }
    return mod_release_noted(call, &plain);
}

MOD_REPLACEMENT(lock_acquire, mod_called_inside, lock_take);
MOD_REPLACEMENT(lock_acquire_lock, mod_called_inside, lock_take);
MOD_REPLACEMENT(lock_enter, mod_called_inside, lock_take);
MOD_REPLACEMENT(lock_do_release, mod_called_inside_or_noted, lock_release);
MOD_REPLACEMENT(lock_release_lock, mod_called_inside_or_noted, lock_release);
MOD_REPLACEMENT(lock_exit, mod_called_inside_or_noted, lock_leave);
MOD_REPLACEMENT(lock_reset, mod_called_inside_or_noted, reset);

static const mod_acquiring lock_acquiring = {.acquire = &lock_acquire,
                                             .release = &lock_do_release,
                                             .flag = "blocking",
                                             .ever = MOD_MINUS_ONE_IS_EVER,
                                             .caller = mod_caller_of_lock};

MOD_SELDOM static PyObject *
lock_take_slowly(const mod_call *call)
{
    if (mod_is_asked() && enter_asked(call, &lock_acquiring) < 0) {
        return NULL;
    }
    PyObject *result = !MOD_FREE_THREADED && !lock_looks_held(call->self)
                           ? mod_call_original(call)
                           : wait_for_lock(call, &lock_acquiring);
    return mod_note_taken(call->self, result, &plain);
}

MOD_INLINE PyObject *
lock_take(const mod_call *call)
{
    if (!mod_is_asked() && mod_took_lock(call, &lock_acquiring)) {
        return mod_note_taken(call->self, Py_NewRef(Py_True), &plain);
    }
    /* With a GIL, a lock that is free now is free for the original, too. */
    if (MOD_FREE_THREADED || mod_is_asked() || lock_looks_held(call->self)) {
        const mod_call rebuilt = mod_call_rebuilt(call);
        return lock_take_slowly(&rebuilt);
    }
    return mod_note_taken(call->self, mod_call_original(call), &plain);
}

/* _thread.RLock ---------------------------------------------------------------------------------
 */

MOD_ORIGINAL(rlock_is_owned);
MOD_ORIGINAL(rlock_locked);

static bool
rlock_looks_held(PyObject *lock)
{
    return mod_says_yes(&rlock_is_owned, lock);
}

/* Its text tells, on all versions, and to all threads. Its own: that of a subclass may be
   anything, and runs Python code. */
static bool
rlock_looks_taken_by(PyObject *lock, unsigned long ident)
{
    const PyTypeObject *type = Py_TYPE(lock);
    while (type->tp_base != NULL && type->tp_base != &PyBaseObject_Type) {
        type = type->tp_base;
    }
    PyObject *text = type->tp_repr(lock);
    const char *words = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    const char *owner = words == NULL ? NULL : strstr(words, "owner=");
    bool taken = owner == NULL || strtoul(owner + strlen("owner="), NULL, 10) == ident;
    Py_XDECREF(text);
    PyErr_Clear();
    return taken;
}

static const mod_lock_kind recursive = {
    .recursive = true, .looks_held = rlock_looks_held, .looks_taken_by = rlock_looks_taken_by};

MOD_INLINE PyObject *rlock_take(const mod_call *call);

MOD_INLINE PyObject *
rlock_release(const mod_call *call)
{
    return mod_release_noted(call, &recursive);
}

MOD_INLINE PyObject *
rlock_save(const mod_call *call)
{
    PyObject *state = mod_call_original(call);
    mod_lockset *set = mod_current_lockset();
    if (state != NULL) {
        mod_wake(call->self, 1);
    }
    if (state != NULL && set != NULL) {
        mod_lockset_pause(set, call->self);
    }
    return state;
}

/* How many levels the state says that was restored; as an argument or in a tuple of them. */
static int
restored_levels(const mod_call *call)
{
    PyObject *state = call->vector == NULL ? call->argument : call->vector[0];
    assert(state != NULL); /* the original has taken it */
    if (PyTuple_Check(state) && PyTuple_GET_SIZE(state) == 1) {
        state = PyTuple_GET_ITEM(state, 0);
    }
    PyObject *count = PySequence_GetItem(state, 0);
    int levels = count == NULL ? 1 : (int)PyLong_AsLong(count);
    Py_XDECREF(count);
    PyErr_Clear();
    return levels;
}

MOD_INLINE PyObject *
rlock_restore(const mod_call *call)
{
    PyObject *result = mod_call_original(call);
    mod_lockset *set = mod_current_lockset();
    if (result != NULL && set != NULL) {
        mod_lockset_resume(set, &recursive, call->self, restored_levels(call));
    }
    return result;
}

MOD_REPLACEMENT(rlock_acquire, mod_called_inside, rlock_take);
MOD_REPLACEMENT(rlock_enter, mod_called_inside, rlock_take);
MOD_REPLACEMENT(rlock_do_release, is_inside_or_waited_for, rlock_release);
MOD_REPLACEMENT(rlock_exit, is_inside_or_waited_for, rlock_release);
MOD_REPLACEMENT(rlock_release_save, is_inside_or_waited_for, rlock_save);
MOD_REPLACEMENT(rlock_acquire_restore, mod_called_inside, rlock_restore);
MOD_REPLACEMENT(rlock_reset, mod_called_inside_or_noted, reset);

/* Is it surely free for the calling thread? From 3.14 on it can tell (gh-115942); it stays so while
   we have the GIL. */
MOD_INLINE bool
rlock_is_free(PyObject *lock)
{
    return !MOD_FREE_THREADED && mod_original(&rlock_locked) != NULL &&
           (!mod_says_yes(&rlock_locked, lock) || mod_says_yes(&rlock_is_owned, lock));
}

static const mod_acquiring rlock_acquiring = {.acquire = &rlock_acquire,
                                              .release = &rlock_do_release,
                                              .flag = "blocking",
                                              .ever = MOD_MINUS_ONE_IS_EVER,
                                              .caller = mod_caller_of_lock};

__attribute__((noinline)) static PyObject *
rlock_take_slowly(const mod_call *call)
{
    if (mod_is_asked() && enter_asked(call, &rlock_acquiring) < 0) {
        return NULL;
    }
    /* Without arguments it is tried at once. */
    int taken = mod_call_count(call) > 0 ? 0 : mod_try_lock(&rlock_acquiring, call->self);
    PyObject *result = taken > 0    ? Py_NewRef(Py_True)
                       : taken == 0 ? wait_for_lock(call, &rlock_acquiring)
                                    : NULL;
    return mod_note_taken(call->self, result, &recursive);
}

MOD_INLINE PyObject *
rlock_take(const mod_call *call)
{
    if (!mod_is_asked() && mod_took_lock(call, &rlock_acquiring)) {
        return mod_note_taken(call->self, Py_NewRef(Py_True), &recursive);
    }
    if (mod_is_asked() || !rlock_is_free(call->self)) {
        const mod_call rebuilt = mod_call_rebuilt(call);
        return rlock_take_slowly(&rebuilt);
    }
    return mod_note_taken(call->self, mod_call_original(call), &recursive);
}

static const mod_row lock_rows[] = {
    {"_thread", "LockType", "locked", &original_locked, false},
    {"_thread", "LockType", "acquire", &lock_acquire, false},
    {"_thread", "LockType", "acquire_lock", &lock_acquire_lock, true},
    {"_thread", "LockType", "__enter__", &lock_enter, false},
    {"_thread", "LockType", "release", &lock_do_release, false},
    {"_thread", "LockType", "release_lock", &lock_release_lock, true},
    {"_thread", "LockType", "__exit__", &lock_exit, false},
    {"_thread", "LockType", "_at_fork_reinit", &lock_reset, true},
    {"_thread", "RLock", "_is_owned", &rlock_is_owned, false},
    {"_thread", "RLock", "locked", &rlock_locked, true},
    {"_thread", "RLock", "acquire", &rlock_acquire, false},
    {"_thread", "RLock", "__enter__", &rlock_enter, false},
    {"_thread", "RLock", "release", &rlock_do_release, false},
    {"_thread", "RLock", "__exit__", &rlock_exit, false},
    {"_thread", "RLock", "_release_save", &rlock_release_save, false},
    {"_thread", "RLock", "_acquire_restore", &rlock_acquire_restore, false},
    {"_thread", "RLock", "_at_fork_reinit", &rlock_reset, true},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_locks = {.name = "locks", .rows = lock_rows};
