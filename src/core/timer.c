/* See itr_timer.h. `timer` is guarded by its mutex. */
#include "itr_timer.h"

#include <errno.h>
#include <stdlib.h>

#include "itr_background.h"

/* How long the thread stays with nothing to look after, in nanoseconds: a program with one short
   limit after the other starts no thread for each. */
static const int64_t LINGER = INT64_C(1000000000);

enum { STACK_SIZE = 128 * 1024 }; /* it calls little */

/* When a record is to be looked at. The record is held. */
typedef struct {
    itr_deadline at;
    itr_record *record;
} turn;

static struct {
    pthread_mutex_t mutex;
    turn *turns; /* a heap, the earliest first; record->turn is a turn's place in it, from 1 */
    size_t count, capacity;
    bool running;              /* there is a thread */
    itr_parker parker;         /* the thread's; unparked under the mutex, while it runs */
    itr_deadline asleep_until; /* it looks at the heap then, or when it is unparked */
    uint64_t wakes;
} timer = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* atomic: release when it is set, acquire by the thread. */
static _Atomic(itr_timer_more *) do_more;

static void
lock_timer(void)
{
    (void)pthread_mutex_lock(&timer.mutex);
}

static void
unlock_timer(void)
{
    (void)pthread_mutex_unlock(&timer.mutex);
}

/* The heap. ------------------------------------------------------------------------------------ */

static void
put_turn(size_t place, turn put)
{
    timer.turns[place] = put;
    put.record->turn = place + 1;
}

/* Put it at the place or nearer to the first, others giving way. */
static void
move_up(size_t place, turn moved)
{
    while (place > 0 && moved.at < timer.turns[(place - 1) / 2].at) {
        put_turn(place, timer.turns[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put_turn(place, moved);
}

/* The same, farther from the first. */
static void
move_down(size_t place, turn moved)
{
    for (size_t child; (child = 2 * place + 1) < timer.count; place = child) {
        if (child + 1 < timer.count && timer.turns[child + 1].at < timer.turns[child].at) {
            child++;
        }
        if (moved.at <= timer.turns[child].at) {
            break;
        }
        put_turn(place, timer.turns[child]);
    }
    put_turn(place, moved);
}

static void
put_anew(size_t place, turn put)
{
    if (place > 0 && put.at < timer.turns[(place - 1) / 2].at) {
        move_up(place, put);
    }
    else {
        move_down(place, put);
    }
}

/* It is not to be looked at any more; the heap's reference is the caller's. */
static void
take_out(itr_record *record)
{
    size_t place = record->turn - 1;
    record->turn = 0;
    turn last = timer.turns[--timer.count];
    if (last.record != record) {
        put_anew(place, last);
    }
}

/* Room for one more. 0, or ENOMEM. */
static int
grow_heap(void)
{
    if (timer.count < timer.capacity) {
        return 0;
    }
    size_t capacity = timer.capacity == 0 ? 8 : 2 * timer.capacity;
    turn *larger = realloc(timer.turns, capacity * sizeof(*larger));
    if (larger == NULL) {
        return ENOMEM;
    }
    timer.turns = larger;
    timer.capacity = capacity;
    return 0;
}

/* The thread. ---------------------------------------------------------------------------------- */

static void
rest_until(itr_deadline until)
{
    timer.asleep_until = until;
    unlock_timer();
    (void)itr_park_on_time(&timer.parker, until); /* however it ends: the heap is looked at */
    lock_timer();
    timer.wakes++;
    timer.asleep_until = 0;
}

/* Look at the record whose turn is first, which has come. Lets go of the mutex meanwhile. */
static void
look_at_first(itr_deadline now)
{
    itr_record *record = timer.turns[0].record;
    itr_look look = itr_look_at_deadlines(record, now);
    if (look.next == ITR_NEVER) {
        take_out(record);
    }
    else {
        itr_retain(record);
        move_down(0, (turn){look.next, record});
    }
    unlock_timer();
    if (look.wakes) {
        itr_unpark(&record->parker);
    }
    /* Acquire: pairs with the release in itr_timer_init. */
    itr_timer_more *more = atomic_load_explicit(&do_more, memory_order_acquire);
    if (look.asked && more != NULL && itr_needs_more(record)) {
        more(record);
    }
    itr_release(record);
    lock_timer();
}

static void *
run_timer(void *unused)
{
    bool lingered = false;
    lock_timer();
    while (timer.count > 0 || !lingered) {
        itr_deadline now = itr_now();
        if (timer.count == 0) {
            itr_deadline until = itr_deadline_after(LINGER);
            rest_until(until);
            lingered = itr_now() >= until;
            continue;
        }
        lingered = false;
        if (timer.turns[0].at <= now) {
            look_at_first(now);
        }
        else {
            rest_until(timer.turns[0].at);
        }
    }
    itr_parker_destroy(&timer.parker);
    timer.running = false;
    unlock_timer();
    return unused;
}

/* See to it that there is a thread. 0, or an errno value. */
static int
start_timer(void)
{
    if (timer.running) {
        return 0;
    }
    itr_parker_init(&timer.parker);
    timer.asleep_until = 0;
    int error = itr_start_background(run_timer, NULL, STACK_SIZE);
    timer.running = error == 0;
    if (error != 0) {
        itr_parker_destroy(&timer.parker);
    }
    return error;
}

/* What others call. ---------------------------------------------------------------------------- */

void
itr_timer_init(itr_timer_more *more)
{
    /* Release: pairs with the acquire in look_at_first. */
    atomic_store_explicit(&do_more, more, memory_order_release);
}

/* Under the mutex. There is a thread, and room. Returns whether the heap has given up its
 * reference.
 */
static bool
put_in_turn(itr_record *record, itr_deadline at)
{
    if (at == ITR_NEVER) {
        bool watched = record->turn != 0;
        if (watched) {
            take_out(record);
        }
        return watched;
    }
    if (record->turn == 0) {
        itr_retain(record);
        move_up(timer.count++, (turn){at, record});
    }
    else {
        put_anew(record->turn - 1, (turn){at, record});
    }
    if (at < timer.asleep_until) {
        timer.asleep_until = at;
        itr_unpark(&timer.parker);
    }
    return false;
}

int
itr_watch_deadlines(itr_record *record, bool *asked)
{
    itr_look look = {.wakes = false};
    bool given_up = false;
    lock_timer();
    int error = record->turn == 0 ? grow_heap() : 0;
    if (error == 0) {
        error = start_timer();
    }
    if (error == 0) {
        look = itr_look_at_deadlines(record, itr_now());
        given_up = put_in_turn(record, look.next);
    }
    unlock_timer();
    if (look.wakes) {
        itr_unpark(&record->parker);
    }
    if (given_up) {
        itr_release(record);
    }
    *asked = look.asked;
    return error;
}

void
itr_unwatch_deadlines(itr_record *record)
{
    /* Relaxed: it has been ended under its mutex, and gets no deadline since. */
    if (atomic_load_explicit(&record->looked_at, memory_order_relaxed) == ITR_NEVER) {
        return;
    }
    lock_timer();
    bool watched = record->turn != 0;
    if (watched) {
        take_out(record);
    }
    unlock_timer();
    if (watched) {
        itr_release(record);
    }
}

itr_timer_statistics
itr_timer_count(void)
{
    lock_timer();
    itr_timer_statistics statistics = {timer.count, timer.wakes, timer.running};
    unlock_timer();
    return statistics;
}

/* Fork. ---------------------------------------------------------------------------------------- */

void
itr_timer_before_fork(void)
{
    lock_timer();
}

void
itr_timer_after_fork_parent(void)
{
    unlock_timer();
}

/* The references of the heap are gone with the other threads: the registry counts those anew. */
void
itr_timer_after_fork_child(itr_record *own)
{
    if (timer.running) {
        itr_parker_after_fork(&timer.parker);
    }
    timer.running = false;
    timer.count = 0;
    timer.wakes = 0;
    if (own != NULL) {
        own->turn = 0;
        atomic_store_explicit(&own->looked_at, ITR_NEVER, memory_order_relaxed);
    }
    unlock_timer();
}
