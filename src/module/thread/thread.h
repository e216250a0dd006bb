/*
 * What the module keeps of a thread that has entered a region or shield, besides the core's record:
 * made by its first block, kept until the Python thread ends.
 *
 * A thread's blocks and held locks are its own: another thread may look at them only while that
 * thread cannot run. What is said to be guarded by the list is guarded by its mutex: see
 * mod_lock_threads.
 */
#ifndef MOD_THREAD_H
#define MOD_THREAD_H

#include <stdatomic.h>

#include "thread/armed.h"
#include "thread/current.h"
#include "thread/held_locks.h"
#include "thread/regions.h"

/* What Thread.enable_async_interrupt and enable_io_interrupt have switched off (S14). */
enum {
    MOD_NO_STATEMENTS = 1U << 0,
    MOD_NO_WAITS = 1U << 1,
};

typedef struct mod_thread {
    struct mod_thread *newer;       /* guarded by the list */
    struct mod_thread *older;       /* guarded by the list */
    uint64_t serial;                /* constant */
    uintptr_t thread_id;            /* constant: outlives the record, in the child of a fork */
    PyThreadState *tstate;          /* constant; lives as long as this is in the list */
    itr_record *record;             /* constant; its `embedder` is this, guarded by the list */
    mod_blocks blocks;              /* owner only */
    mod_lockset lockset;            /* see held_locks.h */
    PyObject *left;                 /* owner only; strong, or NULL: see left_locked.h */
    PyObject *entering;             /* owner only: the scope that it is about to enter, which has
                                       its id already; held by the call, or NULL */
    bool started;                   /* owner only: the interpreter calls us, see with_blocks.c */
    _Atomic uint32_t switches;      /* written under the list's mutex, read by anybody, relaxed:
                                       nothing else hangs on it. Waits look at ITR_MASKED */
    mod_armed armed;                /* guarded by the list: the code that has events set for us */
    PyFrameObject *traced;          /* guarded by the list; strong, while it runs; up to 3.11: whose
                                       instructions are traced for us */
    bool watches_entries;           /* guarded by the list: see mod_events_watch_entries */
    struct mod_callback *callbacks; /* guarded by the list; strong. Innermost first: see
                                                api/on_interrupt.h */
    void *chained;                  /* guarded by the list; 3.11: see tracing.c */
} mod_thread;

/* The calling thread's, or NULL before its first block. */
extern ITR_TLS mod_thread *mod_thread_self;

/* The calling thread's, made if need be: for when mod_thread_self is not of now. NULL with
   an exception set. */
mod_thread *mod_this_thread_slow(mod_state *state);

/* Is it the calling thread's, of the life that it lives now? */
static inline bool
mod_is_thread_of_now(const mod_thread *thread)
{
    return thread != NULL && thread->record == itr_current() &&
           !(itr_flags(thread->record) & ITR_ENDED);
}

/*
 * The mutex of the list. Attached; detaches while it waits. Whoever holds it drops no reference and
 * runs no Python code.
 */
void mod_lock_threads(void);
void mod_unlock_threads(void);

/* Under the list's mutex: the thread of a record, or NULL if it has ended. */
mod_thread *mod_thread_of(const itr_record *record);

/* The thread of that serial: the calling one or, at interpreter exit, one that runs no more. NULL:
   it has entered no block. */
mod_thread *mod_find_thread(uint64_t serial);

/* Under the list's mutex: take it out of the list. */
void mod_unlink_thread(mod_thread *thread);

/* In the child of a fork, under the list's mutex: one that the parent had, but for the calling
   thread's; or NULL. */
mod_thread *mod_other_of_parent(void);

/* In the child of a fork, in fork() itself: whoever held the mutex is not there. See lifecycle.h.
 */
void mod_threads_after_fork_child(void);

#endif
