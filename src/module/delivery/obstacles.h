/*
 * Delivery between statements (S9): may a request be raised where the thread is? And what holds for
 * its waits (S10)? One walk over the frames of the region answers both. What was tried before:
 * docs/rejected.md.
 */
#ifndef MOD_OBSTACLES_H
#define MOD_OBSTACLES_H

#include "thread/thread.h"

/* Why a request is not delivered at a moment (S19). */
typedef enum {
    MOD_NOTHING,       /* it is */
    MOD_NOT_OPEN,      /* in no region; the place is that of a suspended generator's, if any */
    MOD_SHIELDED,      /* by the shield entered at the place */
    MOD_SWITCHED_OFF,  /* by a region's option or the Thread's */
    MOD_LOCKS_UNKNOWN, /* locks are not noted, or were not since the region was entered at
                                   the place: see blocking/families.h */
    MOD_REFUSED,       /* this interpreter's code is not as we know it: self_test.h */
    MOD_PACKAGES_OWN,  /* of a package's thread, which has not called the program's code */
    MOD_PROTECTED,     /* in code of the standard library, this package, or protect() */
    MOD_CLEANUP,       /* in a cleanup; `detail` is its mod_cleanup */
    MOD_IMPORTING,     /* a module is being imported */
    MOD_SWALLOWED,     /* in a `__del__`, a weak reference's callback, a signal handler */
    MOD_LOCK_HELD,     /* that was taken at the place */
    MOD_IN_STATEMENT,  /* between two statements it may be */
    MOD_NOT_ANALYSED,  /* not known: at work, in code that nobody has analysed */
} mod_obstacle_kind;

typedef struct {
    mod_obstacle_kind kind;
    int detail;
    PyCodeObject *code; /* where; strong, or NULL */
    int lasti;
} mod_obstacle;

/* Where the thread is when it is asked. */
typedef struct {
    enum {
        MOD_AT_LINE,   /* a line of the innermost frame begins */
        MOD_AT_JUMP,   /* it jumps back, to `destination` */
        MOD_AT_HEAD,   /* it is at the head of a loop */
        MOD_AT_EXIT,   /* it leaves a shield */
        MOD_AT_WORK,   /* anywhere, as others ask: what it does not depend on is asked for
                                   only; its code must have been analysed, as a lock is held */
        MOD_AT_CALLER, /* the same, of the frame that called the innermost one */
    } moment;
    int destination;
} mod_moment;

/*
 * What keeps a request to the level from being raised in the thread, now? By the thread, or while
 * it cannot run; only what is inside of the level counts (S24). The locks that it holds are not
 * looked at. `obstacle` is filled in; release its code. Attached with no exception set; never
 * fails.
 */
void mod_find_obstacle(mod_state *state, mod_thread *thread, mod_level level, mod_moment point,
                       mod_obstacle *obstacle);

/* What holds for the calling thread's blocking calls, where it is (S10), and requests to a level.
 */
typedef struct {
    bool open;    /* a wait may be interrupted */
    bool cleanup; /* some frame of the region is in a `finally`, an `except`, the exit of a `with`;
                     entries do not count */
    bool importing; /* a module is being imported */
    bool gives;     /* the standard library gives out (S10b), whatever it takes in for that; */
    bool breaks;    /* or is in an exchange with another one, which breaks off with the wait */
} mod_wait_view;

/* By the owner. Attached with no exception set; never fails. May run the garbage collector. */
void mod_view_waits(mod_state *state, mod_thread *thread, mod_level level, mod_wait_view *view);

#endif
