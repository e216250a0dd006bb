/*
 * Part of interruption.pml: the owner, `me`, where it waits.
 */
/* src/core/itr_record.h: itr_begin_wait, itr_end_wait */
#define BEGIN_WAIT record[me].flags = record[me].flags | WAITS
#define END_WAIT record[me].flags = record[me].flags & ~WAITS

/* src/module/blocking/wait.c: mod_wait_over */
inline mod_wait_over()
{
#ifndef MUTATION_not_armed_after_a_wait
    if
    :: (record[me].flags & (PENDING | CANCELABLE | ARMED)) == (PENDING | CANCELABLE) ->
        mod_stop_where_it_is(me)
    :: else
    fi
#else
    skip
#endif
}

/* src/module/blocking/wait.c: mod_wait_until, park_until, detach, attach */
inline mod_wait_until()
{
    do
    :: ASKED -> mod_raise_request(); break
    :: else ->
        BEGIN_WAIT;
        do
        :: ASKED -> break
        :: else ->
            itr_park();
            if
            :: result != PERMIT -> break
            :: else -> result = 0
            fi
        od;
        END_WAIT;
        if
        :: result == TIMEOUT -> result = 0; break
        :: else
        fi
    od;
    mod_wait_over()
}

/* src/core/waiting.c: itr_poll_fd */
inline itr_poll_fd()
{
    atomic { !record[me].mutex -> record[me].poll_fd = 0 }
}

/* src/module/blocking/wait.c: mod_wait_for_fds, wait_for_fds, detach, attach */
inline mod_wait_for_fds()
{
    do
    ::
#ifndef MUTATION_drained_after_the_look
        itr_poll_fd();
#endif
        if
        :: ASKED -> mod_raise_request(); break
        :: else
        fi;
#ifdef MUTATION_drained_after_the_look
        itr_poll_fd();
#endif
        BEGIN_WAIT;
        SLEEP_UNTIL(record[me].poll_fd);
        END_WAIT;
        if
        :: ASKED -> mod_raise_request(); break
        :: break /* ready, or the deadline */
        :: !ASKED
        fi
    od;
    mod_wait_over()
}
