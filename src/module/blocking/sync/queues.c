/*
 * _queue.SimpleQueue. A thread inside a region that finds the queue empty waits in the parking lot,
 * at the address of the queue, and each put wakes one of those; threads outside of regions wait in
 * the original, as they did, and are woken by it.
 *
 * An item is taken by the original alone, so it is taken once. Whoever was woken for an item that
 * somebody else has taken meanwhile goes on waiting, in front.
 */
#include "blocking/interposed.h"
#include "cpython/compat.h"
#include "blocking/wait.h"

/* Putting. ------------------------------------------------------------------------------------ */

/* Who waits is asked afterwards: an argument may run Python code, in which others come to wait. */
MOD_INLINE PyObject *
put(const mod_call *call)
{
    PyObject *result = mod_call_original(call);
    if (result != NULL) {
        mod_wake(call->self, 1);
    }
    return result;
}

MOD_REPLACEMENT(queue_put, mod_called_always, put);
MOD_REPLACEMENT(queue_put_nowait, mod_called_always, put);

/* Getting. ------------------------------------------------------------------------------------ */

MOD_ORIGINAL(queue_empty);

static PyObject *get_from_queue(const mod_call *call);

MOD_REPLACEMENT(queue_get, mod_called_inside, get_from_queue);

/* A get that waits. */
typedef struct {
    const mod_call *call;
    PyObject *item; /* what it got */
} taker;

static PyObject *
take_item(const mod_call *call)
{
    PyObject *no = Py_False;
    return mod_call_again(call, &no, 1);
}

/* See mod_try. */
static int
try_get(void *arg)
{
    taker *of = arg;
    if (mod_says_yes(&queue_empty, of->call->self)) {
        return 0;
    }
    of->item = take_item(of->call);
    if (of->item == NULL && MOD_FREE_THREADED && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear(); /* Empty: somebody else was quicker */
        return 0;
    }
    return of->item == NULL ? -1 : 1;
}

MOD_SELDOM static PyObject *
wait_for_item(const mod_call *call)
{
    taker of = {.call = call};
    itr_deadline deadline;
    mod_waiting waiting;
    if (!mod_call_deadline(call, "block", MOD_NONE_IS_EVER, &deadline)) {
        return mod_call_original(call);
    }
    if (try_get(&of) != 0) {
        return of.item;
    }
    if (!mod_wait_begin(&waiting)) {
        return mod_call_original(call);
    }
    switch (mod_wait_in_lot(&waiting, call->self, try_get, &of, deadline)) {
    case MOD_WAIT_OFF:
        return mod_wait_in_original(call, true, deadline);
    case 0:
        return take_item(call); /* which says that it is empty */
    default:
        return of.item;
    }
}

static PyObject *
get_from_queue(const mod_call *call)
{
    itr_deadline deadline;
    if (mod_is_asked() && mod_call_deadline(call, "block", MOD_NONE_IS_EVER, &deadline) &&
        mod_wait_entry_asked() < 0) {
        return NULL;
    }
    /* With a GIL, what is there now is there for the original, too, when it has no arguments that
       could run Python code. */
    if (!MOD_FREE_THREADED && mod_call_count(call) == 0 &&
        !mod_says_yes(&queue_empty, call->self)) {
        return mod_call_original(call);
    }
    return wait_for_item(call);
}

static const mod_row queue_rows[] = {
    {"_queue", "SimpleQueue", "empty", &queue_empty, false},
    {"_queue", "SimpleQueue", "get", &queue_get, false},
    {"_queue", "SimpleQueue", "put", &queue_put, false},
    {"_queue", "SimpleQueue", "put_nowait", &queue_put_nowait, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_queues = {.name = "queues", .rows = queue_rows};
