/*
 * Part of interruption.pml: the owner, `me`, between statements and at the edges of its blocks.
 */
/* src/module/delivery/arming.c: mod_disarm */
inline mod_disarm()
{
    atomic {
        !list ->
        if
#ifndef MUTATION_disarmed_though_asked_anew
        :: IN_NEED(record[me].flags)
#endif
        :: else ->
            record[me].flags = record[me].flags & ~ARMED;
            record[me].events = 0
        fi
    }
}

/* src/module/delivery/raise.c: mod_nothing_waits */
inline mod_nothing_waits()
{
    if
    :: record[me].flags & ARMED -> mod_disarm()
    :: else
    fi
}

/* src/core/record.c: itr_deliver */
inline itr_deliver()
{
    atomic {
        !record[me].mutex ->
        if
        :: ASKED ->
            COME_BACK(record[me].delivered);
            record[me].delivered = record[me].pending;
            ended[record[me].delivered - 1]++;
            assert(ended[record[me].delivered - 1] == 1);
#ifndef MUTATION_delivered_and_still_pending
            record[me].pending = 0;
            record[me].flags = record[me].flags & ~(PENDING | REQUESTED_AGAIN)
#endif
        :: else
        fi
    }
}

/* src/module/delivery/raise.c: mod_raise_request */
inline mod_raise_request()
{
    itr_deliver();
    raising = 1;
    mod_nothing_waits()
}

/* src/module/delivery/raise.c: mod_deliver */
/* src/module/delivery/obstacles.c: view_blocks */
inline mod_deliver()
{
    if
#ifdef MUTATION_shield_not_looked_at
    :: ASKED && regions ->
#else
#ifdef MUTATION_region_not_looked_at
    :: ASKED && !shields ->
#else
    :: ASKED && IS_CANCELABLE ->
#endif
#endif
        if
        :: assert(regions && !shields); mod_raise_request()
        :: skip /* S9 forbids it here */
        fi
    :: else
    fi
}

/* The interpreter calls us between two statements if the thread is armed. It may call us when it
   is not: events belong to code, and another thread that runs the same may be armed. */
/* src/module/delivery/monitoring.c: on_line */
inline statement()
{
    /* What waits in an open thread is not forgotten: it is armed, or somebody is about to. */
    atomic {
        assert(!IS_CANCELABLE || !ASKED || under_way[me] || record[me].events);
        assert(IS_CANCELABLE || !record[me].events)
    };
    if
    :: mod_deliver()
    :: !record[me].events
    fi
}

/* Blocks. ------------------------------------------------------------------------------------- */

/* src/module/thread/regions.c: update_record */
/* src/core/itr_record.h: itr_enable_cancel, itr_disable_cancel */
inline update_record()
{
#ifdef MUTATION_open_without_exchange
    seen = record[me].flags;
    record[me].flags = (IS_CANCELABLE -> seen | CANCELABLE : seen & ~CANCELABLE)
#else
    d_step {
        seen = record[me].flags;
        record[me].flags = (IS_CANCELABLE -> seen | CANCELABLE : seen & ~CANCELABLE)
    }
#endif
}

/* src/module/delivery/shield.c: mod_settle */
inline settle()
{
    if
#ifndef MUTATION_closed_without_disarming
    :: !IS_CANCELABLE && (seen & ARMED) -> mod_disarm()
#endif
#ifndef MUTATION_not_armed_again
    :: IS_CANCELABLE && (seen & PENDING) && !(seen & ARMED) -> mod_stop_where_it_is(me)
#endif
    :: else
    fi
}

/* src/module/api/with_blocks.c: block_enter, entered_asked, enter_region_asked */
/* src/module/thread/regions.c: mod_enter_block */
inline enter_region()
{
    regions = 1;
    update_record();
    settle();
    if
    :: (seen & REQUESTED) && !shields -> /* S7 */
        regions = 0;
        update_record();
        settle();
        mod_raise_request()
    :: else
    fi;
    seen = 0
}

/* src/module/api/with_blocks.c: block_enter, entered_asked */
inline enter_shield()
{
    shields = 1;
    update_record();
    settle();
    seen = 0
}

/* src/module/api/with_blocks.c: block_exit, leave_asked */
/* src/module/thread/regions.c: mod_leave_block */
inline leave_region()
{
    d_step { regions = 0; shield_inside = 0 };
    update_record();
    settle();
    seen = 0
}

/* src/module/api/with_blocks.c: block_exit, leave_asked */
inline leave_shield()
{
    d_step { shields = 0; shield_inside = 0 };
    update_record();
    if
    :: !raising && (seen & PENDING) -> /* S12 */
        mod_deliver();
        if
        :: raising
        :: else -> settle()
        fi
    :: else -> settle()
    fi;
    seen = 0
}
