/*
 * The registry: how the record of a thread is found, made, adopted, swept and ended, when threads
 * come, go, and get one another's thread id. As in interruption.pml: the comment before each inline
 * names the functions, and MUTATION_... breaks it in one place.
 *
 * What is done under the registry's mutex is one step, as is what is done under a record's.
 *
 * There are two threads, of serials 1 and 2. Both get the same thread id, the second as soon as the
 * first has ended; it may have been made, and be without an id, before that. With ANOTHER_STATE the
 * second, once it has looked, may get another state besides, of serial 3, which it never looks by.
 */
#define TARGETS 2
#ifdef ANOTHER_STATE
#define NAMES 3
#define HAS_ANOTHER_STATE (thread[3].stage == RUNS)
#else
#define NAMES TARGETS
#define HAS_ANOTHER_STATE 0
#endif
#ifndef LOOKS
#define LOOKS(s) s /* of the thread of that serial, at the most */
#endif
#define RECORDS 4 /* more are never needed */
#define NONE RECORDS

#define NO_ID 0 /* ITR_NO_THREAD_ID */
#define THE_ID 1

mtype = {UNMADE, MADE, RUNS, CLEARED, GONE};

typedef record_t {
    byte references; /* 0: there is no such record */
    bit listed;
    bit id;
    byte serial;
    bit adopted;
    byte born, seen;
    bit pending, ended;
}
record_t record[RECORDS];

typedef thread_t {
    mtype stage = UNMADE;
    bit owed;        /* a request has been accepted for it, and not been delivered yet */
}
thread_t thread[NAMES + 1]; /* by serial */

byte epoch;
byte accepted, came_back;     /* payloads */
byte i;                       /* these two for what is done in one step */
bit later;

#define IS_LISTED(s) (thread[s].stage != UNMADE && thread[s].stage != GONE)
#define ID_OF(s) (thread[s].stage == MADE -> NO_ID : THE_ID)

/* src/core/record.c: itr_release, destroy */
inline itr_release(r)
{
    assert(record[r].references);
    record[r].references--;
    if
    :: !record[r].references ->
        assert(!record[r].listed && !record[r].pending);
        record[r].id = 0; record[r].serial = 0; record[r].adopted = 0;
        record[r].born = 0; record[r].seen = 0; record[r].ended = 0
    :: else
    fi
}

/* src/core/registry.c: throw_away, leave_registry */
/* src/core/record.c: itr_record_end */
inline throw_away(r)
{
    record[r].listed = 0;
    came_back = came_back + record[r].pending;
    record[r].pending = 0;
#ifndef MUTATION_end_not_marked
    record[r].ended = 1;
#endif
    itr_release(r)
}

/* src/core/registry.c: search */
#ifdef MUTATION_serial_not_compared
#define IS(n, with_id, s) (record[n].listed && record[n].id == with_id)
#else
#define IS(n, with_id, s) (record[n].listed && record[n].id == with_id && record[n].serial == s)
#endif

/* src/core/registry.c: look_up_record */
inline look_up(with_id, s)
{
    found = NONE;
    for (i : 0 .. RECORDS - 1) {
        if
        :: IS(i, with_id, s) -> found = i
        :: found == NONE && with_id != NO_ID && IS(i, NO_ID, s) -> found = i
#ifndef MUTATION_unborn_sought_among_unborn
        :: with_id == NO_ID && record[i].listed && record[i].serial == s -> found = i
#endif
        :: else
        fi
    };
    if
    :: found != NONE && record[found].id == NO_ID -> record[found].id = with_id
    :: else
    fi
}

#define HAS_ID(n, with_id) (with_id != NO_ID && record[n].listed && record[n].id == with_id)

#ifdef MUTATION_adopted_taken_for_a_predecessor_s
#define IS_THEIRS(n, s, itself) 0
#else
#define IS_THEIRS(n, s, itself) (record[n].adopted && record[n].serial != s && !itself)
#endif

/* src/core/registry.c: bury_predecessors */
inline bury_predecessors(with_id, s, itself)
{
    later = 0;
    for (i : 0 .. RECORDS - 1) {
        if
        :: HAS_ID(i, with_id) && (record[i].serial > s || IS_THEIRS(i, s, itself)) -> later = 1
        :: HAS_ID(i, with_id) && record[i].serial < s && !IS_THEIRS(i, s, itself) -> throw_away(i)
        :: else
        fi
    }
}

/* src/core/registry.c: make, enter_record */
/* src/core/record.c: itr_record_new */
inline make(with_id, s)
{
    found = NONE;
    for (i : 0 .. RECORDS - 1) {
        if
        :: found == NONE && !record[i].references -> found = i
        :: else
        fi
    };
    assert(found != NONE);
    record[found].references = 1;
    record[found].listed = 1;
    record[found].id = with_id;
    record[found].serial = s;
    record[found].born = epoch
}

/* Asking. ------------------------------------------------------------------------------------- */

/* src/core/registry.c: itr_find */
/* src/core/record.c: itr_retain */
inline itr_find()
{
    d_step {
        found = NONE;
        for (i : 0 .. RECORDS - 1) {
            if
            :: record[i].listed && record[i].adopted -> found = i
            :: else
            fi
        };
        if
#ifndef MUTATION_found_without_a_reference
        :: found != NONE -> record[found].references++
#endif
        :: else
        fi
    }
}

/* src/core/record.c: itr_request_level */
inline itr_request()
{
    d_step {
        assert(record[found].references); /* it has not been freed */
        if
        :: !record[found].ended && !record[found].pending ->
            record[found].pending = 1;
            accepted++;
            if
#ifdef ANOTHER_STATE
            :: meant -> assert(record[found].serial == meant || (meant == 2 && !record[found].adopted))
#else
            :: meant -> assert(record[found].serial == meant)
#endif
            :: else
            fi;
            thread[record[found].serial].owed = 1
        :: else
        fi
    }
}

/* src/core/registry.c: itr_ask */
inline itr_ask(with_id, s)
{
    d_step {
        bury_predecessors(with_id, s, 0);
        found = NONE;
        if
        :: !later ->
            look_up(with_id, s);
            if
            :: found == NONE -> make(with_id, s)
            :: else
            fi;
            record[found].references++
        :: else
        fi;
        later = 0
    };
    if
    :: found != NONE -> itr_request(); d_step { itr_release(found); found = NONE }
    :: else
    fi
}

/* A Thread that has been started is interrupted: its ident is looked up, then it is asked whether
   it is alive. */
/* src/module/thread/target.c: find_thread, look_up_thread, is_registered, mod_ask_target */
/* src/module/api/requests.c: mod_interrupt */
inline mod_interrupt(whom)
{
    thread[whom].stage != UNMADE && thread[whom].stage != MADE;
    meant = whom;
#ifdef MUTATION_alive_before_it_is_looked_up
    is_alive = thread[meant].stage == RUNS;
#endif
    itr_find();
    if
    :: found == NONE -> /* the youngest listed with that id */
        d_step {
            if
#ifdef ANOTHER_STATE
            :: HAS_ANOTHER_STATE -> listed = 3
#endif
            :: IS_LISTED(2) && ID_OF(2) == THE_ID && !HAS_ANOTHER_STATE -> listed = 2
            :: IS_LISTED(1) && ID_OF(1) == THE_ID -> listed = 1
            :: else -> listed = 0
            fi
        }
    :: else
    fi;
#ifndef MUTATION_alive_before_it_is_looked_up
    is_alive = thread[meant].stage == RUNS;
#endif
    if
    :: found != NONE && is_alive -> itr_request()
    :: found == NONE && is_alive && listed -> itr_ask(THE_ID, listed)
    :: else
    fi;
    if
    :: found != NONE -> d_step { itr_release(found); found = NONE }
    :: else
    fi;
    d_step { meant = 0; listed = 0; is_alive = 0 }
}

/* src/core/registry.c: itr_sweep */
inline itr_sweep()
{
    d_step {
#ifndef MUTATION_living_not_noted
        for (one : 1 .. NAMES) {
            if
            :: has[one] ->
                look_up(id[one], one);
                if
                :: found != NONE && record[found].seen < begun -> record[found].seen = begun
                :: else
                fi
            :: else
            fi
        };
#endif
        for (i : 0 .. RECORDS - 1) {
            if
#ifdef MUTATION_born_meanwhile_not_spared
            :: record[i].listed && !record[i].adopted && record[i].seen < begun -> throw_away(i)
#else
            :: record[i].listed && !record[i].adopted && record[i].born < begun &&
               record[i].seen < begun -> throw_away(i)
#endif
            :: else
            fi
        };
        found = NONE; one = 0; begun = 0
    }
}

/* src/module/api/requests.c: mod_interrupt_all_threads, ask_all, ask_others */
/* src/module/cpython/compat.c: mod_list_threads */
/* src/core/registry.c: itr_sweep_begin */
inline mod_interrupt_all_threads()
{
    d_step { epoch++; begun = epoch };
    d_step {
        for (one : 1 .. NAMES) {
            has[one] = IS_LISTED(one);
            id[one] = (has[one] -> ID_OF(one) : 0)
        };
        one = 1
    };
    do
    :: one <= NAMES && has[one] -> itr_ask(id[one], one); one++
    :: one <= NAMES && !has[one] -> one++
    :: one > NAMES -> break
    od;
    itr_sweep();
    d_step {
        for (one : 1 .. NAMES) { has[one] = 0; id[one] = 0 };
        one = 0
    }
}

/* `what` it does: interrupt that thread or, 0, all. */
proctype requester(byte what)
{
    byte found = NONE, listed, meant, one, begun;
    bit is_alive, has[NAMES + 1], id[NAMES + 1];

    if
    :: what -> mod_interrupt(what)
    :: else -> mod_interrupt_all_threads()
    fi;
    what = 0
}

/* A thread. ----------------------------------------------------------------------------------- */

/* src/core/registry.c: itr_adopt */
/* src/module/thread/current.c: mod_current_slow */
inline itr_adopt()
{
    d_step {
        bury_predecessors(THE_ID, serial, 1);
#ifdef MUTATION_adopts_a_new_one
        found = NONE;
#else
        look_up(THE_ID, serial);
#endif
        if
        :: found == NONE -> make(THE_ID, serial)
        :: else
        fi;
        record[found].references++;
        record[found].adopted = 1;
        later = 0
    }
}

/* src/module/api/polling.c: mod_check_interrupt, mod_clear_interrupt */
/* src/core/record.c: itr_deliver, itr_clear */
inline look()
{
    d_step {
        assert(record[found].serial == serial);
        assert(record[found].pending == thread[serial].owed);
        came_back = came_back + record[found].pending;
        record[found].pending = 0;
        thread[serial].owed = 0
    }
}

/* src/core/registry.c: itr_end */
/* src/module/thread/current.c: anchor_goes */
inline itr_end()
{
#ifndef MUTATION_not_ended_before_its_successor
    d_step {
        own = found;
        look_up(THE_ID, serial);
        if
        :: found != NONE -> throw_away(found)
        :: else
        fi;
        found = own;
        own = NONE
    }
#else
    skip
#endif
}

/* src/core/registry.c: on_thread_exit, disown */
inline on_thread_exit()
{
    itr_end();
    d_step { itr_release(found); found = NONE }
}

proctype target(byte serial)
{
    byte found = NONE, own = NONE, looks = LOOKS(serial);

    thread[serial].stage = MADE;
    thread[serial - 1].stage == GONE; /* or there is none before it */
    thread[serial].stage = RUNS;
    do
    :: looks ->
        looks--;
        if
        :: found == NONE -> itr_adopt()
        :: else
        fi;
        look();
#ifdef ANOTHER_STATE
        if
        :: serial == 2 -> thread[3].stage = RUNS
        :: skip
        fi
#endif
    :: looks = 0; break
    od;
    if
    :: found != NONE -> thread[serial].stage = CLEARED; itr_end(); on_thread_exit()
    :: else -> thread[serial].stage = CLEARED
    fi;
#ifdef ANOTHER_STATE
    thread[3].stage = (serial == 2 -> GONE : thread[3].stage);
#endif
    atomic { thread[serial].stage = GONE; thread[serial].owed = 0 }
}

/* At the end somebody sweeps once more. */
init
{
    byte found = NONE, one, begun;
    bit has[NAMES + 1], id[NAMES + 1];

    thread[0].stage = GONE;
    atomic {
        run target(1); run target(2);
        if
#ifdef ANOTHER_STATE
        :: run requester(0); run requester(2)
#else
        :: run requester(1); run requester(1)
        :: run requester(1); run requester(2)
        :: run requester(2); run requester(2)
        :: run requester(0); run requester(2)
        :: run requester(0); run requester(1)
        :: run requester(0); run requester(0)
#endif
        fi
    };
    atomic {
        _nr_pr == 1 ->
        epoch++;
        begun = epoch;
        itr_sweep();
        for (i : 0 .. RECORDS - 1) { assert(!record[i].references) };
        assert(accepted == came_back)
    }
}
