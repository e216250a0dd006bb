/*
 * See joins.h. The end of a thread is an event in its handle, which no Python sees and nobody else
 * can wait for. But on its way there the thread clears its state, with all that is in the state's
 * dictionary. So who joins it puts a capsule there, the *trip*, which wakes those who wait in the
 * parking lot, at its address. From there to the event it takes the time of what is still to be
 * cleared, almost always microseconds: that bit is waited for in the original, in slices.
 */
#include "blocking/sync/joins.h"

#include <stdlib.h>

#include "cpython/compat.h"
#include "blocking/numbers.h"
#include "blocking/wait.h"

#define CAPSULE "interruption._interruption._trip"

/* One for each thread that is or was joined. */
typedef struct {
    _Atomic size_t references; /* atomic: the capsule, and each of those who wait. Release and
                                  acquire, so that the last one comes after all */
    _Atomic bool fired;        /* atomic: written by whoever clears the thread's state, looked at by
                                  those who wait once they are in the lot; sequentially consistent
                                  with the entry */
} trip;

static void
drop_trip(trip *of)
{
    if (atomic_fetch_sub_explicit(&of->references, 1, memory_order_acq_rel) == 1) {
        free(of);
    }
}

/* The capsule goes: the thread's state is being cleared. */
static void
fire(PyObject *capsule)
{
    trip *of = PyCapsule_GetPointer(capsule, CAPSULE);
    atomic_store(&of->fired, true);
    interruption_wake(of, SIZE_MAX);
    drop_trip(of);
}

/* A new one with its capsule; NULL with an exception set. */
static PyObject *
new_trip(void)
{
    trip *made = malloc(sizeof(*made));
    if (made == NULL) {
        return PyErr_NoMemory();
    }
    atomic_init(&made->references, 1);
    atomic_init(&made->fired, false);
    PyObject *capsule = PyCapsule_New(made, CAPSULE, fire);
    if (capsule == NULL) {
        free(made);
    }
    return capsule;
}

/* Putting it there. --------------------------------------------------------------------------- */

/* What is needed for it is made beforehand, and what is left is dropped afterwards. */
typedef struct {
    uintptr_t thread_id;
    PyObject *key;        /* strong */
    PyObject *capsule;    /* strong; a new trip's */
    PyObject *dictionary; /* strong, or NULL: it is the thread state's */
    trip *found;          /* with a reference; NULL: there is no such thread, or no memory */
} place;

/* While nobody else runs. */
static void
put_there(void *arg)
{
    place *at = arg;
    PyThreadState *tstate = interruption_find_thread_state(at->thread_id);
    if (tstate == NULL) {
        return;
    }
    if (tstate->dict == NULL) {
        tstate->dict = at->dictionary;
        at->dictionary = NULL;
    }
    PyObject *capsule = PyDict_GetItemWithError(tstate->dict, at->key);
    if (capsule == NULL && !PyErr_Occurred() &&
        PyDict_SetItem(tstate->dict, at->key, at->capsule) == 0) {
        capsule = at->capsule;
    }
    if (capsule == NULL) {
        PyErr_Clear();
        return;
    }
    at->found = PyCapsule_GetPointer(capsule, CAPSULE);
    /* Relaxed: the capsule has one, and cannot go meanwhile. */
    (void)atomic_fetch_add_explicit(&at->found->references, 1, memory_order_relaxed);
}

/* The trip of a thread, with a reference. NULL: it does not run any more, or not yet, or there is
   no memory for one. */
static trip *
trip_of(uintptr_t thread_id)
{
    place at = {.thread_id = thread_id, .key = PyUnicode_InternFromString(CAPSULE)};
    at.capsule = at.key == NULL ? NULL : new_trip();
    at.dictionary = at.capsule == NULL ? NULL : PyDict_New();
    if (at.dictionary != NULL) {
        /* They will go in the other thread, and are to go at once. */
        interruption_give_away(at.capsule);
        interruption_give_away(at.dictionary);
        interruption_while_stopped(put_there, &at);
    }
    PyErr_Clear();
    Py_XDECREF(at.dictionary);
    Py_XDECREF(at.capsule);
    Py_XDECREF(at.key);
    return at.found;
}

/* Waiting. ------------------------------------------------------------------------------------ */

INTERRUPTION_ORIGINAL(handle_is_done);

static PyObject *join_handle(const interruption_call *call);
static PyObject *set_done(const interruption_call *call);

INTERRUPTION_REPLACEMENT(handle_join, interruption_called_inside, join_handle);
INTERRUPTION_REPLACEMENT(handle_set_done, interruption_called_always, set_done);

/* The end of the program: the main thread's handle says so, but the thread goes on. */
static PyObject *
set_done(const interruption_call *call)
{
    PyObject *result = interruption_call_original(call);
    if (result != NULL) {
        itr_lot_wake_all();
    }
    return result;
}

typedef struct {
    const interruption_call *call;
    trip *of;
} joiner;

static bool
is_done(PyObject *handle)
{
    return interruption_says_yes(&handle_is_done, handle);
}

/* See interruption_try. */
static int
try_join(void *arg)
{
    const joiner *self = arg;
    return atomic_load(&self->of->fired) || is_done(self->call->self);
}

/* The ident of the thread that the handle is of; 0 if it has none yet. */
static uintptr_t
ident_of_handle(PyObject *handle)
{
    PyObject *ident = PyObject_GetAttrString(handle, "ident");
    unsigned long long value = ident == NULL ? 0 : PyLong_AsUnsignedLongLong(ident);
    Py_XDECREF(ident);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return (uintptr_t)value;
}

/* What a join(timeout=None) is to do. False: it does not wait, or the original says what is wrong.
 */
static bool
join_may_wait(const interruption_call *call, itr_deadline *deadline)
{
    PyObject *timeout = interruption_call_argument(call, 0, NULL);
    if (interruption_call_count(call) != (timeout != NULL) ||
        !interruption_deadline_of(timeout, INTERRUPTION_NONE_IS_EVER, deadline)) {
        return false;
    }
    uintptr_t ident = ident_of_handle(call->self);
    return ident != 0 && ident != (uintptr_t)PyThread_get_thread_ident() && !is_done(call->self) &&
           !Py_IsFinalizing();
}

/* Wait for a trip in the lot; results as there. */
static int
wait_for_trip(const interruption_waiting *waiting, joiner *self, itr_deadline deadline)
{
    return interruption_wait_in_lot(waiting, self->of, try_join, self, deadline);
}

/* The thread has no trip to wait for: it begins or ends. A slice of that. 1; 0 when the time is up;
   -1 with an exception set. */
static int
wait_shortly(const interruption_waiting *waiting, const interruption_call *call, int64_t *slice,
             itr_deadline deadline)
{
    itr_deadline until = interruption_next_slice(slice);
    PyObject *result =
        interruption_wait_in_original(call, false, until < deadline ? until : deadline);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    if (is_done(call->self)) {
        return 1;
    }
    if (interruption_wait_check(waiting) < 0) {
        return -1;
    }
    return itr_now() < deadline;
}

/* Wait until the thread is done: 1; 0 when the time is up; INTERRUPTION_WAIT_OFF; -1 with an
   exception set. */
static int
wait_for_thread_end(const interruption_waiting *waiting, const interruption_call *call,
                    itr_deadline deadline)
{
    uintptr_t ident = ident_of_handle(call->self);
    int64_t slice = 0;
    int result = 1;
    bool fired = false;
    while (result == 1 && !is_done(call->self)) {
        joiner self = {call, fired ? NULL : trip_of(ident)};
        if (self.of != NULL) {
            result = wait_for_trip(waiting, &self, deadline);
            fired = atomic_load(&self.of->fired);
            drop_trip(self.of);
        }
        else {
            result = wait_shortly(waiting, call, &slice, deadline);
        }
    }
    return result;
}

/* A join(timeout=0) only asks whether it has ended (S10b). */
static int
enter_join(const interruption_call *call)
{
    PyObject *timeout = interruption_call_argument(call, 0, NULL);
    return timeout != NULL && interruption_is_no_time(timeout) ? 0 : interruption_wait_entry();
}

static PyObject *
join_handle(const interruption_call *call)
{
    itr_deadline deadline;
    interruption_waiting waiting;
    if (enter_join(call) < 0) {
        return NULL;
    }
    if (!join_may_wait(call, &deadline) || !interruption_wait_begin(&waiting)) {
        return interruption_call_original(call);
    }
    switch (wait_for_thread_end(&waiting, call, deadline)) {
    case 1:
        return interruption_call_again(call, NULL, 0);
    case INTERRUPTION_WAIT_OFF:
        return interruption_wait_in_original(call, false, deadline);
    case 0:
        Py_RETURN_NONE;
    default:
        return NULL;
    }
}

static const interruption_row join_rows[] = {
    {"_thread", "_ThreadHandle", "is_done", &handle_is_done, false},
    {"_thread", "_ThreadHandle", "join", &handle_join, false},
    {"_thread", "_ThreadHandle", "_set_done", &handle_set_done, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_joins = {.name = "joins", .rows = join_rows};
