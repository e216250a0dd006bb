/*
 * The protocol between those who ask and the thread that is asked: request, arming, parking and
 * polling, region, shield, thread end. docs/model.md says what is left out, and how to run it.
 *
 * The comment before each inline names the functions that it is a model of. A step is one atomic
 * operation on what threads share. What is done under a mutex, or by its owner alone, belongs to
 * the step beside it, where nobody could tell the difference: taking a mutex to the step after,
 * giving it back to the step before. There is no GIL: what holds here holds with one.
 *
 * MUTATION_... breaks it in one place: tests/test_model.py says how each is found.
 */
#ifndef TARGETS
#define TARGETS 2
#endif
/* Actions of the targets, besides statements and what leaves their blocks. */
#ifndef ACTIONS
#define ACTIONS 1
#endif
#define ACTIONS_OF(t) (t == 0 -> ACTIONS : 0)
/* Who waits in poll(); the others wait at their parker. */
#ifdef POLLING
#define POLLS(t) 1
#else
#define POLLS(t) (t == 1)
#endif
#define REQUESTERS 2

/* The enum of flags in src/core/itr_record.h; MASKED and CALLS are left out. */
#define REQUESTED 1
#define PENDING 2
#define ENDED 4
#define CANCELABLE 8
#define ARMED 16
#define REQUESTED_AGAIN 32
#define WAITS 64


#define IS_CANCELABLE (regions && !shields)
#define ASKED (record[me].flags & PENDING)
#define TAKE(mutex) !mutex -> mutex = 1

/* In the kernel. The deadline passes at any time or, `forever`, not before nothing else is left to
   do: then nobody can have been meant to wake us. */
#define SLEEP_UNTIL(woken) \
    if \
    :: woken \
    :: !forever \
    :: timeout -> \
        assert(requesters_done == REQUESTERS && !list); \
        assert(!ASKED) \
    fi

#include "parker.pml"

typedef record_t {
    byte flags = CANCELABLE;    /* changed by read-modify-write only */
    bit mutex;
    byte pending;         /* whose payload it is, plus one */
    byte delivered;
    mtype parker = EMPTY;
    bit asleep;           /* on the parker's word, in the kernel */
    bit poll_fd;          /* readable */
    bit events;           /* the interpreter calls us between the owner's statements */
    bit embedder = 1;     /* the thread is in the module's list */
}
record_t record[TARGETS];

bit list;                 /* the mutex of the module's list of threads */

/* What only the properties look at. */
byte under_way[TARGETS];  /* requesters that are not done with this one */
byte accepted[REQUESTERS], ended[REQUESTERS], came_back[REQUESTERS];
byte requesters_done;

#define COME_BACK(payload) if :: payload -> came_back[payload - 1]++; payload = 0 :: else fi

#include "asking.pml"
#include "blocks.pml"
#include "waits.pml"

/* A program. ---------------------------------------------------------------------------------- */

/* src/module/api/polling.c: mod_clear_interrupt */
/* src/core/record.c: itr_clear, forget_levels */
inline itr_clear()
{
    atomic {
        !record[me].mutex ->
        if :: record[me].pending -> ended[record[me].pending - 1]++ :: else fi;
        COME_BACK(record[me].pending);
        COME_BACK(record[me].delivered);
        record[me].flags = record[me].flags & ~(REQUESTED | PENDING | REQUESTED_AGAIN)
    };
    mod_nothing_waits()
}

/* src/module/lifecycle.c: thread_ends */
inline thread_ends()
{
    atomic {
        !list ->
        record[me].events = 0;
        record[me].embedder = 0;
        record[me].flags = record[me].flags & ~ARMED;
        regions = 0;
        shields = 0
    }
}

/* src/core/record.c: itr_record_end, forget_levels */
inline itr_record_end()
{
    atomic {
        !record[me].mutex ->
#ifndef MUTATION_ended_without_dropping
        if :: record[me].pending -> ended[record[me].pending - 1]++ :: else fi;
        COME_BACK(record[me].pending);
#endif
        COME_BACK(record[me].delivered);
        record[me].flags = record[me].flags & ~(REQUESTED | PENDING | REQUESTED_AGAIN);
#ifndef MUTATION_asked_after_its_end
        record[me].flags = record[me].flags | ENDED
#endif
    }
}

#define MAY_ACT (!raising && actions)

/* What a program may do, in any order: so many actions and, as often as it likes, statements, the
   exits of its blocks, and an `except` at any place. */
proctype target(byte me)
{
    byte seen, flags, actions = ACTIONS_OF(me);
    bit regions = 1; /* it begins in a region, which costs no action */
    bit shields, shield_inside, raising, forever;
    mtype result;

    do
    :: raising -> raising = 0
    :: !raising -> statement()
    :: regions && !(shields && shield_inside) -> leave_region()
    :: shields && !(regions && !shield_inside) -> leave_shield()
    :: MAY_ACT && !regions -> actions--; shield_inside = 0; enter_region()
    :: MAY_ACT && !shields -> actions--; shield_inside = 1; enter_shield()
    :: MAY_ACT && (record[me].flags & REQUESTED) -> actions--; itr_clear()
    :: MAY_ACT && IS_CANCELABLE ->
        actions--;
        if :: forever = 1 :: skip fi;
        if
        :: POLLS(me) -> mod_wait_for_fds()
        :: else -> mod_wait_until()
        fi;
        forever = 0
    :: !raising && !actions -> break /* also in a block: of a generator that is left alone */
    od;
    thread_ends();
    itr_record_end();
    assert(!record[me].events)
}

init
{
    byte i;
    atomic {
        for (i : 0 .. TARGETS - 1) { run target(i) };
        for (i : 0 .. REQUESTERS - 1) { run requester(i) }
    };
    atomic {
        _nr_pr == 1 ->
        for (i : 0 .. REQUESTERS - 1) {
            assert(ended[i] == accepted[i]);
            assert(came_back[i] == 1)
        }
    }
}
