/*
 * Part of interruption.pml: who asks, and arms. `me` is a requester, `t` whom it asks.
 */
/* src/core/record.c: itr_request_level, accept, signal_poll */
inline itr_request(t, me)
{
#ifdef MUTATION_wake_before_the_flag
    itr_unpark(t);
#endif
#ifdef MUTATION_signal_before_the_flag
    record[t].poll_fd = 1;
#endif
    atomic {
        !record[t].mutex ->
        flags = record[t].flags;
        if
        :: flags & ENDED -> /* ITR_FINISHED */
            came_back[me]++
        :: !(flags & ENDED) && (flags & PENDING) -> /* ITR_WAITING */
            came_back[me]++;
            wakes = !(flags & REQUESTED_AGAIN);
            record[t].flags = flags | REQUESTED_AGAIN
        :: !(flags & ENDED) && !(flags & PENDING) -> /* ITR_NEW */
            accepted[me]++;
            wakes = 1;
            record[t].pending = me + 1;
            record[t].flags = flags | REQUESTED | PENDING | (flags & REQUESTED -> REQUESTED_AGAIN : 0)
        fi;
        flags = 0;
        record[t].mutex = wakes && POLLS(t)
    };
    if
    :: wakes && POLLS(t) ->
        d_step {
#ifndef MUTATION_signal_before_the_flag
            record[t].poll_fd = 1;
#endif
            record[t].mutex = 0;
            wakes = 0
        }
    :: wakes && !POLLS(t) ->
#ifndef MUTATION_wake_before_the_flag
        itr_unpark(t);
#endif
        wakes = 0
    :: else
    fi
}

/* Arming. ------------------------------------------------------------------------------------- */

/* src/core/itr_record.h: itr_arm, itr_disarm */
#define ITR_ARM(t) flags = record[t].flags; record[t].flags = flags | ARMED
#define ITR_DISARM(t) flags = record[t].flags; record[t].flags = flags & ~ARMED
#define IN_NEED(flags) ((flags & (PENDING | CANCELABLE)) == (PENDING | CANCELABLE))

/* src/module/delivery/arming.c: mod_stop_where_it_is, arm, arm_thread */
/* src/module/thread/thread.c: mod_thread_of */
inline mod_stop_where_it_is(t)
{
    atomic {
        TAKE(list);
        if
#ifdef MUTATION_looks_before_it_marks
        :: record[t].embedder -> flags = record[t].flags
#else
        :: record[t].embedder -> ITR_ARM(t)
#endif
        :: else -> flags = ARMED /* as if: it is not to be armed */
        fi
    };
#ifdef MUTATION_looks_before_it_marks
    record[t].flags = record[t].flags | ARMED;
#endif
    do
    :: atomic { IN_NEED(flags) -> record[t].events = 1; break }
    :: !IN_NEED(flags) && (flags & ARMED) -> break /* its owner is about to take that off */
    :: else ->
        d_step { ITR_DISARM(t) };
#ifdef MUTATION_mark_taken_off_unseen
        break
#else
        if
        :: IN_NEED(flags) -> d_step { ITR_ARM(t) } /* opened meanwhile: its owner saw the mark */
        :: else -> break
        fi
#endif
    od;
    atomic { flags = 0; list = 0 }
}

/* src/module/api/requests.c: mod_ask, stop_where_it_is */
/* src/core/itr_record.h: itr_runs_cancelable, itr_needs_more */
proctype requester(byte me)
{
    byte flags, t;
    bit wakes;

    atomic {
        if
        :: t = 0
        :: me > 0 && TARGETS > 1 -> t = 1 /* the first one's is called 0 */
        fi;
        under_way[t]++
    };
#ifdef MUTATION_requester_looks_before_it_asks
    flags = record[t].flags;
#endif
    itr_request(t, me);
#ifndef MUTATION_requester_looks_before_it_asks
    flags = record[t].flags;
#endif
    if
    :: (flags & (CANCELABLE | WAITS)) == CANCELABLE -> mod_stop_where_it_is(t)
    :: else
    fi;
    atomic { under_way[t]--; requesters_done++; t = 0; flags = 0 }
}
