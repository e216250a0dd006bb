/*
 * The parking lot: threads that wait for a lock in it, whoever releases the lock, and requesters.
 * Each wakes whom it has to; a waiter that leaves although it was woken hands that on. As in
 * interruption.pml, which has the rest of the protocol: the comment before each inline names the
 * functions, a step is one atomic operation, and MUTATION_... breaks it in one place.
 *
 * With FREE_THREADED there is no GIL. Then the order of two threads hangs on four accesses: who
 * waits writes that it does and looks at the lock, who releases writes the lock and looks whether
 * anybody waits. The writes are read-modify-write; where a mutation makes one a plain store, it
 * stays in a store buffer until `kernel` brings it out. Mutexes do not bring it out here: they put
 * in order what they guard, which these two are not.
 */
#define TARGETS 2
#define REQUESTERS 2

#define TAKE(mutex) !mutex -> mutex = 1
#define SLEEP_UNTIL(woken) woken
#include "parker.pml"

mtype = {TAKEN, RAISED};

typedef record_t {
    bit pending;         /* ITR_PENDING in record->flags */
    mtype parker = EMPTY;
    bit asleep;
    byte references = 1;
    bit signalled;       /* a signal has ended the sleep */
}
record_t record[TARGETS];

typedef waiter_t {
    bit in_use;          /* from itr_lot_enter to the end of itr_lot_leave: it is on the stack */
    bit woken;
}
waiter_t waiter[TARGETS];

bit bucket;              /* the mutex of the bucket, which guards: */
byte queue[TARGETS];     /* who is in it, plus one, first come first */

bit held = 1;            /* the lock */
byte waiters;            /* of the lock's slot, in src/module/thread/address_table.h */
bit gil;
bit late_release, late_waiter; /* in a store buffer */
bit signals = 1;         /* so many come */

#ifdef FREE_THREADED
#define ATTACH
#define DETACH
#else
#define ATTACH atomic { TAKE(gil) };
#define DETACH gil = 0;
#endif

/* The lot. ------------------------------------------------------------------------------------ */

/* src/core/lot.c: unlink_waiter */
#define UNLINK(t) \
    if \
    :: queue[0] == t + 1 -> queue[0] = queue[1]; queue[1] = 0 \
    :: else -> queue[1] = 0 \
    fi

/* src/core/lot.c: itr_lot_enter */
inline itr_lot_enter(in_front)
{
    atomic {
        !bucket ->
        waiter[me].in_use = 1;
        waiter[me].woken = 0;
        if
        :: queue[0] && in_front -> queue[1] = queue[0]; queue[0] = me + 1
        :: queue[0] && !in_front -> queue[1] = me + 1
        :: else -> queue[0] = me + 1
        fi
    }
}

/* src/core/lot.c: itr_lot_leave */
inline itr_lot_leave()
{
    if
    :: atomic { waiter[me].woken -> woken = 1; waiter[me].in_use = 0; waiter[me].woken = 0 }
    :: else ->
        atomic {
            !bucket ->
#ifdef MUTATION_leaves_without_looking_again
            UNLINK(me);
#else
            if
            :: waiter[me].woken -> woken = 1
            :: else -> UNLINK(me)
            fi;
#endif
            waiter[me].in_use = 0;
            waiter[me].woken = 0
        }
    fi
}

/* src/core/lot.c: itr_lot_wake, wake, take_out_waiters */
/* src/core/record.c: itr_retain, itr_release */
inline itr_lot_wake()
{
    atomic {
        !bucket ->
        if
        :: queue[0] ->
            bucket = 1;
            found = queue[0];
            assert(waiter[found - 1].in_use);
#ifndef MUTATION_woken_and_still_queued
            queue[0] = queue[1]; queue[1] = 0; /* unlink_waiter */
#endif
#ifndef MUTATION_no_reference_while_it_wakes
            record[found - 1].references++
#endif
        :: else
        fi
    };
    if
    :: found ->
#ifdef MUTATION_unparked_before_it_is_woken
        itr_unpark(found - 1);
#endif
        atomic {
            assert(waiter[found - 1].in_use); /* its owner leaves no sooner than this */
            waiter[found - 1].woken = 1;
            bucket = 0
        };
#ifndef MUTATION_unparked_before_it_is_woken
        assert(record[found - 1].references);
        itr_unpark(found - 1);
#endif
        atomic {
#ifndef MUTATION_no_reference_while_it_wakes
            record[found - 1].references--;
#endif
            found = 0
        }
    :: else
    fi
}

/* src/module/blocking/wait.h: mod_wake */
/* src/module/thread/address_table.h: mod_waited_for */
inline mod_wake()
{
    if
    :: waiters -> itr_lot_wake()
    :: else
    fi
}

/* Releases the lock, attached. The exchange that a release ends in is CPython's. */
/* src/module/blocking/sync/locks.c: lock_release */
inline lock_release()
{
#ifdef MUTATION_wakes_before_it_releases
    mod_wake();
#endif
    assert(held);
#ifdef MUTATION_release_is_a_plain_store
    late_release = 1;
#else
    held = 0;
#endif
#ifndef MUTATION_wakes_before_it_releases
    mod_wake()
#endif
}

/* Waiting. ------------------------------------------------------------------------------------ */

#define ASKED record[me].pending

/* src/module/blocking/sync/locks.c: try_lock */
inline attempt()
{
    d_step {
        if
        :: !held -> held = 1; result = TAKEN
        :: else
        fi
    }
}

/* src/module/blocking/wait.c: park, detach, attach */
inline park()
{
    DETACH
    do
    :: waiter[me].woken || ASKED -> break
    :: else ->
        itr_park();
        if
        :: result != PERMIT -> break
        :: else
        fi
    od;
    result = 0;
    itr_lot_leave();
    ATTACH
}

/* src/module/blocking/wait.c: stay_in_lot, count_waiter */
/* src/module/cpython/compat.h: mod_add */
inline stay()
{
#ifdef MUTATION_gil_let_go_before_it_is_in_the_lot
    DETACH
    ATTACH
#endif
#ifdef MUTATION_count_is_a_plain_store
    late_waiter = 1;
#else
    waiters++;
#endif
    itr_lot_enter(woken);
    woken = 0;
#if defined(FREE_THREADED) && !defined(MUTATION_no_look_from_inside_the_lot)
    attempt();
#endif
    if
    :: result == TAKEN -> itr_lot_leave()
    :: else -> park()
    fi;
#ifdef MUTATION_count_is_a_plain_store
    if
    :: late_waiter -> late_waiter = 0
    :: else -> waiters--
    fi;
#else
    waiters--;
#endif
    if
    :: record[me].signalled && result != TAKEN -> /* PyErr_CheckSignals */
        record[me].signalled = 0;
        if
        :: result = RAISED
        :: skip
        fi
    :: else -> record[me].signalled = 0
    fi
}

/* src/module/blocking/wait.c: mod_wait_in_lot, wait_in_lot, leave_wait */
inline wait_in_lot()
{
    do
    :: result ->
#ifndef MUTATION_not_handed_on
        if
        :: result == RAISED && woken -> mod_wake()
        :: else
        fi;
#endif
        break
    :: !result ->
        attempt();
        if
        :: !result && ASKED -> record[me].pending = 0; result = RAISED
        :: !result && !ASKED -> stay()
        :: else
        fi
    od
}

/* src/module/blocking/sync/locks.c: wait_for_lock, lock_take */
proctype target(byte me)
{
    byte found;
    bit woken;
    mtype result;

    ATTACH
    wait_in_lot();
    if
    :: result == TAKEN -> lock_release()
    :: else
    fi;
    DETACH
    atomic { record[me].references--; woken = 0; result = 0 }
}

/* Everybody else. ----------------------------------------------------------------------------- */

/* src/core/record.c: itr_request_level */
proctype requester()
{
    byte t;

    atomic {
        if :: t = 0 :: t = 1 fi;
        record[t].pending = 1
    };
    itr_unpark(t);
    t = 0
}

/* It had the lock before the others came. */
proctype holder()
{
    byte found;

    ATTACH
    lock_release();
    DETACH
}

/* A signal is for the first target, which is the main thread. */
proctype kernel()
{
    do
    :: atomic { signals && record[0].asleep ->
            signals = 0; record[0].asleep = 0; record[0].signalled = 1 }
    :: atomic { late_release -> late_release = 0; held = 0 }
    :: atomic { late_waiter -> late_waiter = 0; waiters++ }
    :: _nr_pr == 2 && !late_release && !late_waiter -> break
    od
}

init
{
    atomic {
        run kernel(); run holder();
        run target(0); run target(1); run requester(); run requester()
    };
    _nr_pr == 1;
    assert(!held && !waiters && !queue[0] && !gil);
    assert(!record[0].references && !record[1].references)
}
