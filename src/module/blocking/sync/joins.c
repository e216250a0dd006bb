/*
 * From 3.13 on (gh-114271) a thread is joined by its handle. The end of a thread is an event in its
 * handle, which no Python sees and nobody else can wait for. But on its way there the thread clears
 * its state, with all that is in the state's dictionary. So who joins it puts a capsule there,
 * whose end wakes those who wait in the parking lot, at the thread's id. From there to the event it
 * takes the time of what is still to be cleared, almost always microseconds: that bit is waited for
 * in the original, in slices.
 */
#include "blocking/interposed.h"
#include "blocking/numbers.h"
#include "blocking/wait.h"
#include "cpython/compat.h"

#define CAPSULE "interruption._interruption._exit_notifier"

/* How many such capsules have ended. atomic: sequentially consistent with the entry into the lot,
   in which those who wait look at it. */
static _Atomic uint64_t exits;

/* The capsule goes: the thread's state is being cleared. */
static void
notify_of_exit(PyObject *capsule)
{
    (void)atomic_fetch_add(&exits, 1);
    mod_wake(PyCapsule_GetPointer(capsule, CAPSULE), SIZE_MAX);
}

/* What is needed to put one there is made beforehand, and what is left is dropped afterwards. */
typedef struct {
    uintptr_t thread_id;
    PyObject *key;        /* strong */
    PyObject *capsule;    /* strong */
    PyObject *dictionary; /* strong, or NULL: it is the thread state's */
    bool there;           /* the thread has one now */
} exit_notifier;

/* While nobody else runs. */
static void
put_notifier(void *arg)
{
    exit_notifier *notifier = arg;
    PyThreadState *tstate = mod_find_thread_state(notifier->thread_id);
    if (tstate == NULL) {
        return;
    }
    if (tstate->dict == NULL) {
        tstate->dict = notifier->dictionary;
        notifier->dictionary = NULL;
    }
    notifier->there = PyDict_GetItemWithError(tstate->dict, notifier->key) != NULL;
    if (!notifier->there && !PyErr_Occurred() &&
        PyDict_SetItem(tstate->dict, notifier->key, notifier->capsule) == 0) {
        (void)PyCapsule_SetDestructor(notifier->capsule, notify_of_exit);
        notifier->there = true;
    }
    PyErr_Clear();
}

/* See to it that the thread's end wakes who waits for it. False: it does not run any more, or not
   yet, or there is no memory. */
static bool
watch_exit(uintptr_t thread_id)
{
    exit_notifier notifier = {.thread_id = thread_id, .key = PyUnicode_InternFromString(CAPSULE)};
    notifier.capsule =
        notifier.key == NULL ? NULL : PyCapsule_New((void *)thread_id, CAPSULE, NULL);
    notifier.dictionary = notifier.capsule == NULL ? NULL : PyDict_New();
    if (notifier.dictionary != NULL) {
        /* They will go in the other thread, and are to go at once. */
        mod_give_away(notifier.capsule);
        mod_give_away(notifier.dictionary);
        mod_while_stopped(put_notifier, &notifier);
    }
    PyErr_Clear();
    Py_XDECREF(notifier.dictionary);
    Py_XDECREF(notifier.capsule);
    Py_XDECREF(notifier.key);
    return notifier.there;
}

/* Waiting. ------------------------------------------------------------------------------------ */

MOD_ORIGINAL(handle_is_done);

static PyObject *join_handle(const mod_call *call);
static PyObject *set_done(const mod_call *call);

MOD_REPLACEMENT(handle_join, mod_called_inside, join_handle);
MOD_REPLACEMENT(handle_set_done, mod_called_always, set_done);

/* The end of the program: the main thread's handle says so, but the thread goes on. */
static PyObject *
set_done(const mod_call *call)
{
    PyObject *result = mod_call_original(call);
    if (result != NULL) {
        itr_lot_wake_all();
    }
    return result;
}

/* Who waits until a thread has ended, or this may be so. */
typedef struct {
    PyObject *handle;
    uint64_t exits; /* as many as there had been before it began */
} joiner;

static bool
is_done(PyObject *handle)
{
    return mod_says_yes(&handle_is_done, handle);
}

/* See mod_try. */
static int
try_join(void *arg)
{
    const joiner *self = arg;
    return atomic_load(&exits) != self->exits || is_done(self->handle);
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
join_may_wait(const mod_call *call, itr_deadline *deadline)
{
    PyObject *timeout = mod_call_argument(call, 0, NULL);
    if (mod_call_count(call) != (timeout != NULL) ||
        !mod_deadline_of(timeout, MOD_NONE_IS_EVER, deadline)) {
        return false;
    }
    uintptr_t ident = ident_of_handle(call->self);
    return ident != 0 && ident != (uintptr_t)PyThread_get_thread_ident() && !is_done(call->self) &&
           !Py_IsFinalizing();
}

/* There is no exit to be told of: the thread begins or ends. A slice of that. 1; 0 when the time is
   up; -1 with an exception set. */
static int
wait_shortly(const mod_waiting *waiting, const mod_call *call, int64_t *slice,
             itr_deadline deadline)
{
    itr_deadline until = mod_next_slice(slice);
    PyObject *result = mod_wait_in_original(call, false, until < deadline ? until : deadline);
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result);
    if (is_done(call->self)) {
        return 1;
    }
    if (mod_wait_check(waiting) < 0) {
        return -1;
    }
    return itr_now() < deadline;
}

/* Wait until the thread is done: 1; 0 when the time is up; MOD_WAIT_OFF; -1 with an
   exception set. */
static int
wait_for_thread_end(const mod_waiting *waiting, const mod_call *call, itr_deadline deadline)
{
    uintptr_t ident = ident_of_handle(call->self);
    int64_t slice = 0;
    int result = 1;
    while (result == 1 && !is_done(call->self)) {
        joiner self = {call->self, atomic_load(&exits)};
        result = watch_exit(ident)
                     ? mod_wait_in_lot(waiting, (const void *)ident, try_join, &self, deadline)
                     : wait_shortly(waiting, call, &slice, deadline);
    }
    return result;
}

/* A join(timeout=0) only asks whether it has ended (S10b). */
static int
enter_join(const mod_call *call)
{
    PyObject *timeout = mod_call_argument(call, 0, NULL);
    return timeout != NULL && mod_is_no_time(timeout) ? 0 : mod_wait_entry();
}

static PyObject *
join_handle(const mod_call *call)
{
    itr_deadline deadline;
    mod_waiting waiting;
    if (enter_join(call) < 0) {
        return NULL;
    }
    if (!join_may_wait(call, &deadline) || !mod_wait_begin(&waiting)) {
        return mod_call_original(call);
    }
    switch (wait_for_thread_end(&waiting, call, deadline)) {
    case 1:
        return mod_call_again(call, NULL, 0);
    case MOD_WAIT_OFF:
        return mod_wait_in_original(call, false, deadline);
    case 0:
        Py_RETURN_NONE;
    default:
        return NULL;
    }
}

static const mod_row join_rows[] = {
    {"_thread", "_ThreadHandle", "is_done", &handle_is_done, false},
    {"_thread", "_ThreadHandle", "join", &handle_join, false},
    {"_thread", "_ThreadHandle", "_set_done", &handle_set_done, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_joins = {.name = "joins", .rows = join_rows};
