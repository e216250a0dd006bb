/*
 * See tls_turns.h. Turns are short, as nobody waits in them for the peer; so who has to wait for
 * one sleeps a little and looks again. That way it hangs on nobody: not on a thread that was killed
 * in its turn, at the interpreter's exit, nor on one whose signal handler waits for this one.
 */
#include "blocking/net/tls_turns.h"

#include <time.h>

#include "cpython/compat.h"

enum {
    BUCKETS = 64,         /* a power of 2 */
    FIRST_SLEEP = 20000,  /* ns */
    LAST_SLEEP = 1000000, /* ns */
    PATIENCE = 1000000000 /* ns; no turn takes so long, but for callbacks of Python's */
};

static interruption_mutex turns_mutex = INTERRUPTION_MUTEX_INIT;

/* By the object's address; guarded by the mutex. */
static interruption_tls_calls *turn_buckets[BUCKETS];

/* Under the mutex. The link to the object's, or to the NULL at the end. */
static interruption_tls_calls **
find_calls(PyObject *object)
{
    interruption_tls_calls **link = &turn_buckets[(uintptr_t)object / 64 % BUCKETS];
    while (*link != NULL && (*link)->object != object) {
        link = &(*link)->next;
    }
    return link;
}

interruption_tls_calls *
interruption_tls_enter(PyObject *object, bool reads, bool windows, bool *others_read)
{
    interruption_mutex_lock(&turns_mutex);
    interruption_tls_calls **link = find_calls(object);
    if (*link == NULL) {
        *link = PyMem_RawMalloc(sizeof(**link));
        if (*link != NULL) {
            **link = (interruption_tls_calls){.object = object, .windows = windows};
        }
    }
    interruption_tls_calls *calls = *link;
    if (calls != NULL) {
        *others_read = calls->readers > 0;
        calls->users++;
        calls->readers += reads;
    }
    interruption_mutex_unlock(&turns_mutex);
    return calls;
}

void
interruption_tls_leave(interruption_tls_calls *calls, bool reads)
{
    interruption_mutex_lock(&turns_mutex);
    calls->readers -= reads;
    bool last = --calls->users == 0;
    interruption_tls_calls **link = find_calls(calls->object);
    if (last && *link == calls) { /* not in the child of a fork that was made in it */
        *link = calls->next;
    }
    interruption_mutex_unlock(&turns_mutex);
    if (last) {
        PyMem_RawFree(calls);
    }
}

/* Returns whose turn it was: 0, nobody's, and now it is ours. */
static unsigned long
try_to_take(interruption_tls_calls *calls, unsigned long self)
{
    interruption_mutex_lock(&turns_mutex);
    unsigned long owner = calls->owner;
    if (owner == 0) {
        calls->owner = self;
    }
    interruption_mutex_unlock(&turns_mutex);
    return owner;
}

bool
interruption_tls_take_turn(interruption_tls_calls *calls)
{
    unsigned long self = PyThread_get_thread_ident();
    long slept = 0, duration = FIRST_SLEEP;
    for (;;) {
        unsigned long owner = try_to_take(calls, self);
        if (owner == 0 || owner == self || slept >= PATIENCE) {
            return owner == 0;
        }
        struct timespec time = {.tv_nsec = duration};
        Py_BEGIN_ALLOW_THREADS(void)
        nanosleep(&time, NULL);
        Py_END_ALLOW_THREADS
        slept += duration;
        duration = duration < LAST_SLEEP / 2 ? 2 * duration : LAST_SLEEP;
    }
}

void
interruption_tls_give_turn(interruption_tls_calls *calls)
{
    interruption_mutex_lock(&turns_mutex);
    calls->owner = 0;
    interruption_mutex_unlock(&turns_mutex);
}

void
interruption_free_tls_turns_mutex(void)
{
    interruption_mutex_reset(&turns_mutex);
}

/* The other threads are not there; one that has forked in a signal handler still leaves its call.
   What the others had is lost. */
void
interruption_tls_forget_calls(void)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (interruption_tls_calls *of = turn_buckets[i]; of != NULL; of = of->next) {
            of->owner = 0;
        }
        turn_buckets[i] = NULL;
    }
}
