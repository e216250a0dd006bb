/*
 * The parker, for the models that include this: record[t].parker and record[t].asleep are its state
 * and whether its owner, `me`, sleeps in the kernel. SLEEP_UNTIL(woken) says what ends a sleep.
 * `result` is a variable of the owner's.
 */
/* The states in src/core/itr_parker.h; itr_park_result, besides PERMIT. */
mtype = {EMPTY, PERMIT, SLEEPS, TIMEOUT};

/* src/core/linux/parker.c: itr_unpark */
inline itr_unpark(t)
{
    if
#ifdef MUTATION_permit_for_sleepers_only
    :: record[t].parker != SLEEPS
#else
    :: atomic { record[t].parker != SLEEPS -> record[t].parker = PERMIT }
#endif
    :: atomic { record[t].parker == SLEEPS -> record[t].parker = PERMIT };
        record[t].asleep = 0 /* FUTEX_WAKE */
    fi
}

/* src/core/linux/parker.c: itr_park, futex_wait */
inline itr_park()
{
#ifdef MUTATION_park_forgets_the_permit
    record[me].parker = EMPTY;
#endif
    if
    :: atomic { record[me].parker == PERMIT -> record[me].parker = EMPTY; result = PERMIT }
    :: atomic { record[me].parker == EMPTY -> record[me].parker = SLEEPS };
#ifdef MUTATION_sleeps_without_comparing
        record[me].asleep = 1;
#else
        record[me].asleep = record[me].parker == SLEEPS; /* the kernel compares the word */
#endif
        SLEEP_UNTIL(!record[me].asleep);
        d_step {
            record[me].asleep = 0;
            result = (record[me].parker == PERMIT -> PERMIT : TIMEOUT);
            record[me].parker = EMPTY
        }
    fi
}
