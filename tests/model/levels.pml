/*
 * A thread's levels: scopes in scopes, and a shield between any two: whose request is raised, and
 * where it ends (S22-S25). docs/model.md says what is shown, and how to run it.
 *
 * One thread, the owner, enters and leaves scopes and a shield, looks for requests as statements and
 * calls do, and waits; while something is on its way out, that is cleanup. A requester asks the
 * thread, or a scope that it is or was in; the timer asks a scope. Arming is in interruption.pml,
 * how the parker wakes is in parker.pml: here it is one step.
 *
 * MUTATION_... breaks it in one place: tests/test_model.py says how each is found.
 */
#ifndef ACTIONS
#define ACTIONS 4 /* of the owner, before it leaves all */
#endif
#define SCOPES 3
#define DEPTH 3 /* with the thread's own level, whose number is 0 */
#define NOBODY 255
#ifndef ASKERS
#define ASKERS 2 /* the last is the timer */
#endif

typedef level_t {
    byte number;
    bit requested, pending;
    bit passed_by_scope, passed_by_thread; /* one around it has been stopped since */
    byte before                         /* what was on its way out when it was entered */
};
level_t level[DEPTH];
byte count = 1;                         /* levels */
byte entered;                           /* the newest scope's number */
byte open_from;                         /* levels outside of that place wait */
bit requested, pending;                 /* the record's flags */
bit permit;                             /* the parker's */
bit mutex, unbiased;                    /* the record's, and that its owner has to take it */

/* The owner's. */
byte shield;                            /* levels outside of that place wait; 0: no shield */
byte raising = NOBODY;                  /* the number of the level that it was raised for */

/* What only the properties look at. */
byte waiting[SCOPES + 1];               /* requests to that number: accepted, not delivered */
bit must_pass[DEPTH];                   /* one around it has been stopped while it was entered */
byte askers_done;

#define MAY_BE_RAISED(at) (at < count && at >= shield && level[at].pending)
#define COUNTS(at, among) (at < among && at >= open_from && level[at].pending)
#define WAS_ASKED(at, among) (at < among && level[at].requested)
#define SUM_OF(among) (COUNTS(0, among) || COUNTS(1, among) || COUNTS(2, among))
#define ALL_OF(among) (WAS_ASKED(0, among) || WAS_ASKED(1, among) || WAS_ASKED(2, among))
#define SUM SUM_OF(count)
#define ALL ALL_OF(count)

/* Asking. ------------------------------------------------------------------------------------- */

#ifdef MUTATION_found_by_its_place
#define IS(at) (at < seen && at == wanted)
#else
#define IS(at) (at < seen && level[at].number == wanted)
#endif

/* src/core/record.c: itr_request_level, accept, sum_levels */
/* src/core/itr_level.h: itr_find_among */
/* src/core/record.c: lock_levels */
inline ask()
{
#ifdef MUTATION_unparked_before_it_is_asked
    permit = 1;
#endif
    atomic { !mutex -> mutex = 1; unbiased = 1 };
    seen = count; /* once: some may be left meanwhile */
    d_step { place = (IS(0) -> 0 : (IS(1) -> 1 : (IS(2) -> 2 : NOBODY))) };
    d_step {
        if
        :: place != NOBODY && is_timer && level[place].requested && !level[place].pending
            /* it has been stopped: it has expired, and that is all (S25) */
        :: place != NOBODY && !(is_timer && level[place].requested && !level[place].pending) ->
            assert(level[place].number == wanted);
            if
            :: level[place].pending
            :: else -> waiting[wanted]++
            fi;
            level[place].requested = 1;
            level[place].pending = 1;
            pending = SUM_OF(seen);
            requested = ALL_OF(seen)
        :: place == NOBODY /* ITR_FINISHED */
        fi
    };
    mutex = 0;
#ifndef MUTATION_unparked_before_it_is_asked
    if
    :: place != NOBODY -> permit = 1
    :: else
    fi;
#endif
    place = 0;
    seen = 0
}

/* src/core/record.c: itr_look_at_deadlines */
/* src/core/timer.c: look_at_first */
proctype asker(bit is_timer)
{
    byte wanted, place, seen;

    if
    :: !is_timer -> wanted = 0
    :: entered >= 1 -> wanted = 1
    :: entered >= 2 -> wanted = 2
    :: entered >= 3 -> wanted = 3
    :: is_timer -> wanted = NOBODY
    fi;
    ask();
    atomic { askers_done++; wanted = 0 }
}

/* Raising. ------------------------------------------------------------------------------------ */

/* src/module/delivery/raise.c: mod_raise_request, pass_inner_levels */
/* src/core/record.c: itr_deliver */
inline mod_raise_request()
{
    d_step {
        assert(at >= shield);
        assert(at <= outermost);
        assert(waiting[level[at].number] == 1);
        waiting[level[at].number] = 0;
#ifndef MUTATION_raised_and_still_pending
        level[at].pending = 0;
#endif
        raising = level[at].number;
        n = at + 1;
        do
        :: n < count ->
            must_pass[n] = 1;
#ifndef MUTATION_not_passed
            if
            :: at == 0 -> level[n].passed_by_thread = 1
            :: else -> level[n].passed_by_scope = 1
            fi;
            waiting[level[n].number] = 0;
            level[n].pending = 0;
#endif
            n++
        :: else -> break
        od;
        n = 0;
        pending = SUM
    }
}

/* src/module/delivery/raise.c: mod_deliver */
/* src/module/blocking/asked.c: mod_wait_find_asked */
inline mod_deliver()
{
    if
    :: pending ->
        /* Who is asked after this, may be too late for it. */
        d_step {
            outermost =
                (MAY_BE_RAISED(0) -> 0 : (MAY_BE_RAISED(1) -> 1 : (MAY_BE_RAISED(2) -> 2 : DEPTH)))
        };
#ifdef MUTATION_innermost_first
        at = (MAY_BE_RAISED(2) -> 2 : (MAY_BE_RAISED(1) -> 1 : 0));
#else
        at = 0;
#endif
        do
#ifdef MUTATION_shields_are_the_threads
        :: at < count && level[at].pending -> mod_raise_request(); break
        :: at < count && !level[at].pending -> at++
#else
        :: atomic { MAY_BE_RAISED(at) -> mod_raise_request() }; break
        :: atomic { at < count && !(at >= shield && level[at].pending) -> at++ }
#endif
        :: at >= count -> break
        od;
        atomic { at = 0; outermost = 0 }
    :: else
    fi
}

/* src/core/record.c: itr_open_from, sum_levels */
/* src/module/thread/views.c: mod_tell_levels */
inline tell_levels()
{
    d_step { open_from = shield; pending = SUM }
}

/* Blocks. ------------------------------------------------------------------------------------- */

/* src/core/record.c: itr_enter_scope */
/* src/module/api/scope.c: enter_scope, enter_block */
inline enter_scope()
{
    d_step { /* who looks sees it when it is whole */
        entered++;
        level[count].number = entered;
        level[count].requested = 0;
        level[count].pending = 0;
        level[count].before = raising;
        raising = NOBODY;
        count++
    };
    tell_levels()
}

/* src/core/record.c: itr_leave_scope, leave_by_mutex */
/* src/core/itr_level.h: itr_forget_level */
inline leave_level()
{
    count--; /* if nobody has looked since it left the last one, that is all */
    if
#ifdef MUTATION_left_though_somebody_looks
    :: requested ->
#else
    :: unbiased || requested ->
#endif
        atomic {
            !mutex ->
            d_step {
                unbiased = 0;
                waiting[level[count].number] = 0;
                level[count].requested = 0;
                level[count].pending = 0;
#ifndef MUTATION_left_and_still_told
                pending = SUM;
                requested = ALL
#endif
            }
        }
    :: else
    fi;
    assert(mutex || (pending == SUM && requested == ALL))
}

/* src/module/thread/regions.c: mod_leave_scope, ends_here, leave_found */
/* src/module/api/scope.c: mod_scope_exit, leave_block */
inline leave_scope()
{
    d_step {
        n = count - 1;
#ifdef MUTATION_ends_by_its_class
        ends = raising != NOBODY;
#else
        ends = raising == level[n].number && !level[n].passed_by_scope && !level[n].passed_by_thread;
#endif
        assert(!ends || raising == level[n].number);
        assert(!ends || !must_pass[n]);
        if
        :: raising == level[n].number && !ends -> /* it is the outer one's now */
            raising = (level[n].passed_by_scope && n == 2 && level[1].requested &&
                       !level[1].pending -> level[1].number : 0)
        :: ends || raising == NOBODY -> raising = level[n].before
        :: else
        fi;
        level[n].passed_by_scope = 0;
        level[n].passed_by_thread = 0;
        level[n].before = 0;
        must_pass[n] = 0;
        n = 0
    };
    leave_level();
    tell_levels();
    if
    :: ends -> mod_deliver() /* of an outer level, that was asked meanwhile */
    :: else
    fi;
    ends = 0
}

/* src/module/api/with_blocks.c: block_enter, block_exit */
inline turn_shield()
{
    shield = (shield == 0 -> count : 0);
    tell_levels();
    if
    :: shield == 0 && raising == NOBODY -> mod_deliver() /* S12 */
    :: else
    fi
}

/* It ends by its own time, or never. */
/* src/core/waiting.c: itr_wait */
inline wait(forever)
{
    do
    :: pending -> break
    :: else -> /* and it sleeps */
        if
        :: permit -> permit = 0
        :: !forever -> break
        :: timeout ->
            assert(askers_done == ASKERS);
            assert(!MAY_BE_RAISED(0) && !MAY_BE_RAISED(1) && !MAY_BE_RAISED(2));
            break
        fi
    od;
    mod_deliver()
}

/* A program. ---------------------------------------------------------------------------------- */

#define IS_IN_SHIELD (shield == count)

proctype owner()
{
    byte at, n, outermost, actions;
    bit ends;

    do
    :: actions < ACTIONS ->
        actions++;
        if
        :: count < DEPTH && entered < SCOPES -> enter_scope()
        :: count > 1 && !IS_IN_SHIELD -> leave_scope()
        :: shield == 0 || IS_IN_SHIELD -> turn_shield()
        :: true -> mod_deliver()
        :: true -> wait(0)
        :: true -> wait(1)
        fi
    :: break
    od;
    actions = 0;
    do
    :: IS_IN_SHIELD -> turn_shield()
    :: !IS_IN_SHIELD && count > 1 -> leave_scope()
    :: !IS_IN_SHIELD && count == 1 -> break
    od;
    assert(raising == NOBODY || raising == 0) /* it has ended at its own */
}

init
{
    atomic {
        run owner();
        run asker(0);
#if ASKERS > 2
        run asker(0);
#endif
        run asker(1)
    }
}
