/*
 * See queues.h. A thread inside a region that finds the queue empty waits in the parking lot, at
 * the address of the queue, and each put wakes one of those; threads outside of regions wait in the
 * original, as they did, and are woken by it.
 *
 * An item is taken by the original alone, so it is taken once. Whoever was woken for an item that
 * somebody else has taken meanwhile goes on waiting, in front.
 */
#include "blocking/sync/queues.h"

#include "cpython/compat.h"
#include "blocking/wait.h"

/* Putting. ------------------------------------------------------------------------------------ */

/* Who waits is asked afterwards: an argument may run Python code, in which others come to wait. */
INTERRUPTION_INLINE PyObject *
put(const interruption_call *call)
{
    PyObject *result = interruption_call_original(call);
    if (result != NULL) {
        interruption_wake(call->self, 1);
    }
    return result;
}

INTERRUPTION_REPLACEMENT(queue_put, interruption_called_always, put);
INTERRUPTION_REPLACEMENT(queue_put_nowait, interruption_called_always, put);

/* Getting. ------------------------------------------------------------------------------------ */

INTERRUPTION_ORIGINAL(queue_empty);

static PyObject *get_from_queue(const interruption_call *call);

INTERRUPTION_REPLACEMENT(queue_get, interruption_called_inside, get_from_queue);

/* What a get(block=True, timeout=None) is to do. False: it does not wait, or its arguments are not
   what they usually are: that is the original's. */
static bool
get_may_wait(const interruption_call *call, itr_deadline *deadline)
{
    *deadline = ITR_NEVER;
    PyObject *timeout;
    if (!interruption_call_waits(call, "block", &timeout)) {
        return false;
    }
    if (timeout == NULL || timeout == Py_None) {
        return true;
    }
    /* Not by the deadline: it may have passed when that is looked at, and up to 3.12 the original
       waits for ever when its time is up before it begins. */
    double seconds = interruption_seconds_of(timeout);
    return seconds > 0 && interruption_deadline_after(timeout, deadline) == 0 &&
           *deadline != ITR_NEVER;
}

/* A get that waits. */
typedef struct {
    const interruption_call *call;
    PyObject *item; /* what it got */
} taker;

static PyObject *
take_item(const interruption_call *call)
{
    PyObject *no = Py_False;
    return interruption_call_again(call, &no, 1);
}

/* See interruption_try. */
static int
try_get(void *arg)
{
    taker *of = arg;
    if (interruption_says_yes(&queue_empty, of->call->self)) {
        return 0;
    }
    of->item = take_item(of->call);
    if (of->item == NULL && INTERRUPTION_FREE_THREADED &&
        !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear(); /* Empty: somebody else was quicker */
        return 0;
    }
    return of->item == NULL ? -1 : 1;
}

/* Let the original wait for what is left of the time. */
static PyObject *
wait_in_original_get(const interruption_call *call, itr_deadline deadline)
{
    if (deadline == ITR_NEVER) {
        return interruption_call_again(call, NULL, 0);
    }
    PyObject *arguments[] = {Py_True, interruption_seconds_until(deadline)};
    if (arguments[1] == NULL) {
        return NULL;
    }
    PyObject *item = interruption_call_again(call, arguments, 2);
    Py_DECREF(arguments[1]);
    return item;
}

INTERRUPTION_SELDOM static PyObject *
wait_for_item(const interruption_call *call)
{
    taker of = {.call = call};
    itr_deadline deadline;
    interruption_waiting waiting;
    if (!get_may_wait(call, &deadline)) {
        return interruption_call_original(call);
    }
    if (try_get(&of) != 0) {
        return of.item;
    }
    if (!interruption_wait_begin(&waiting)) {
        return interruption_call_original(call);
    }
    switch (interruption_wait_in_lot(&waiting, call->self, try_get, &of, deadline)) {
    case INTERRUPTION_WAIT_OFF:
        return wait_in_original_get(call, deadline);
    case 0:
        return take_item(call); /* which says that it is empty */
    default:
        return of.item;
    }
}

static PyObject *
get_from_queue(const interruption_call *call)
{
    itr_deadline deadline;
    if (interruption_is_asked() && get_may_wait(call, &deadline) &&
        interruption_wait_entry_asked() < 0) {
        return NULL;
    }
    /* With a GIL, what is there now is there for the original, too, when it has no arguments that
       could run Python code. */
    if (!INTERRUPTION_FREE_THREADED && interruption_call_count(call) == 0 &&
        !interruption_says_yes(&queue_empty, call->self)) {
        return interruption_call_original(call);
    }
    return wait_for_item(call);
}

static const interruption_row queue_rows[] = {
    {"_queue", "SimpleQueue", "empty", &queue_empty, false},
    {"_queue", "SimpleQueue", "get", &queue_get, false},
    {"_queue", "SimpleQueue", "put", &queue_put, false},
    {"_queue", "SimpleQueue", "put_nowait", &queue_put_nowait, false},
    {NULL, NULL, NULL, NULL, false},
};

interruption_family interruption_queues = {.name = "queues", .rows = queue_rows};
