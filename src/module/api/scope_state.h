/*
 * What a scope's object keeps: who is in it, what has been asked of it, its deadline.
 *
 * It knows the threads that are in it by their ids only, for it may outlive their records (in the
 * child of a fork); what other thread has an id by then is not in that scope: whether a thread is,
 * is decided under the mutex of its record (itr_record.h).
 *
 * A thread that enters says so, lets its record know the scope, and looks then what has been asked,
 * or which deadline has been set, since it looked before. Who asks writes that first and then goes
 * through the threads. So one of the two sees the other, and nobody is missed.
 *
 * A deadline is set here and in the records of all threads under the mutex, at once: so those who
 * set one at the same time leave the same everywhere. A thread that is entering (`entering`) will
 * see it, and begins anew with it, whatever came of the one before: so who has set it is told what
 * is so.
 */
#ifndef MOD_SCOPE_STATE_H
#define MOD_SCOPE_STATE_H

#include "cpython/compat.h" /* with Python.h, which has to come first */

#include <math.h>

#include "itr_clock.h"

/* What it is, and so how it ends. */
typedef enum {
    MOD_SCOPE_PLAIN,
    MOD_SCOPE_TIMEOUT,
    MOD_SCOPE_TIMEOUT_AT,
    MOD_SCOPE_MOVE_ON,
} mod_scope_kind;

typedef struct {
    PyObject_HEAD uint64_t number; /* constant: of its level in each record */
    mod_scope_kind kind;           /* constant */
    bool shield;                   /* constant: what is asked from outside does not get in */
    mod_mutex mutex;
    /* The rest is guarded by it. */
    bool was_entered;
    bool asked;         /* with what the first has asked for: */
    PyObject *exc_type; /* strong, or NULL: ThreadExit */
    PyObject *reason;   /* strong, or NULL */
    bool expired;       /* the deadline has, for some thread that has left it since */
    double delay;       /* seconds from its entry, if it has no deadline before; infinity: none */
    double when;        /* the deadline as users see it; infinity: none; NaN: as the next one is */
    itr_deadline deadline;
    uint32_t generation; /* of mod_scope_forks, when it got its deadline, or was first entered */
    uintptr_t first;     /* the id of a thread that is in it, or 0: nearly always the only one */
    uint32_t entering;   /* how many have not yet */
    uintptr_t *others;   /* the ids of others */
    uint32_t count, capacity;
} mod_scope;

/* With a GIL, whoever has it has the object to himself: nothing that is done in between lets go of
   it. Without one, nothing that is done in between detaches; so when the interpreter forks, and has
   stopped all others, nobody holds the mutex (see lifecycle.c). */
static inline void
mod_scope_lock(mod_scope *of)
{
    if (MOD_FREE_THREADED) {
        mod_mutex_lock(&of->mutex);
    }
}

static inline void
mod_scope_unlock(mod_scope *of)
{
    if (MOD_FREE_THREADED) {
        mod_mutex_unlock(&of->mutex);
    }
}

/* As many nanoseconds, rounded up: of a moment, the one on the core's clock. Beyond that:
   ITR_NEVER, or the earliest. */
static inline int64_t
mod_nanoseconds_up(double seconds)
{
    double nanoseconds = seconds * 1e9;
    if (nanoseconds >= (double)INT64_MAX) {
        return ITR_NEVER;
    }
    if (nanoseconds <= (double)INT64_MIN) {
        return INT64_MIN;
    }
    int64_t whole = (int64_t)nanoseconds;
    return whole + ((double)whole < nanoseconds);
}

/* Under its mutex, all of these. --------------------------------------------------------------- */

/* How many forks this process descends from. atomic: relaxed, written where there is one thread. */
extern _Atomic uint32_t mod_scope_forks;

/* Has it a deadline? What the parent of a fork has entered has none in the child (S27). */
static inline bool
mod_scope_is_limited(const mod_scope *of)
{
    return of->when != Py_HUGE_VAL && /* also of NaN */
           (!of->was_entered ||
            of->generation == atomic_load_explicit(&mod_scope_forks, memory_order_relaxed));
}

/* The deadline as users see it; infinity if there is none. */
static inline double
mod_scope_moment(const mod_scope *of)
{
    return isnan(of->when) ? (double)of->deadline / 1e9 : of->when;
}

/* Its deadline, or ITR_NEVER. */
static inline itr_deadline
mod_scope_deadline(const mod_scope *of)
{
    return mod_scope_is_limited(of) ? of->deadline : ITR_NEVER;
}

static inline void
mod_scope_set_deadline(mod_scope *of, double when, itr_deadline deadline)
{
    of->when = when;
    of->deadline = deadline;
    of->generation = atomic_load_explicit(&mod_scope_forks, memory_order_relaxed);
}

/* Is some thread in it? */
static inline bool
mod_scope_is_in_use(const mod_scope *of)
{
    return of->first != 0 || of->count > 0;
}

/* The same as the two below, where the thread is not the only one. */
int mod_scope_add_another(mod_scope *of, uintptr_t thread_id);
void mod_scope_remove_another(mod_scope *of, uintptr_t thread_id);

/* Note that the thread is in it: 1; 0: it was already; -1: there is no memory. */
static inline int
mod_scope_add_thread(mod_scope *of, uintptr_t thread_id)
{
    if (mod_scope_is_in_use(of)) {
        return mod_scope_add_another(of, thread_id);
    }
    of->first = thread_id;
    of->was_entered = true;
    return 1;
}

static inline void
mod_scope_remove_thread(mod_scope *of, uintptr_t thread_id)
{
    if (of->first == thread_id) {
        of->first = 0;
    }
    else {
        mod_scope_remove_another(of, thread_id);
    }
}

/* The thread has ended in it, or is not there in the child of a fork: another one may get its id,
   and enter. Takes the mutex; the second if the thread was entering it. */
void mod_scope_forget_thread(PyObject *scope, uintptr_t thread_id);
void mod_scope_forget_entering(PyObject *scope, uintptr_t thread_id);

/* What it was asked is about to be forgotten by the thread, which is in it: that its deadline has
   passed there is not. Takes the mutex. */
void mod_scope_note_expired(PyObject *scope, uintptr_t thread_id);

/* Who is in it, the first before the others, for PyMem_RawFree; NULL with `*count` 0 if nobody is.
   -1: there is no memory. */
int mod_scope_copy_threads(const mod_scope *of, uintptr_t **threads, size_t *count);

/* Nobody knows it any more. */
void mod_scope_free_threads(mod_scope *of);

#endif
