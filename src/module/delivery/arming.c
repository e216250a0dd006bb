/* See arming.h. */
#include "delivery/arming.h"

#include "cpython/compat.h"
#include "delivery/obstacles.h"
#include "delivery/events.h"
#include "delivery/rearm.h"
#include "safepoints/self_test.h"

/* Does a request wait in an open thread, by its flags? */
static bool
is_in_need(uint32_t flags)
{
    const uint32_t need = ITR_CANCELABLE | ITR_PENDING;
    return (flags & need) == need;
}

/* Under the list's mutex. False: there is nothing to stop it for. */
static bool
arm_thread(interruption_state *state, interruption_thread *thread, interruption_garbage *garbage)
{
    /* The mark first. If the owner closes, or has the request, before it, we see that here; if
       after, it sees the mark, and waits for the mutex to disarm. */
    uint32_t flags = itr_arm(thread->record);
    /* Not ours alone: the mark stays, its owner is about to take it off. Ours alone: it goes; if
       the owner has opened meanwhile, it has seen the mark and left it to us. */
    while (!is_in_need(flags) && !(flags & ITR_ARMED) && is_in_need(itr_disarm(thread->record))) {
        flags = itr_arm(thread->record);
    }
    if (!is_in_need(flags)) {
        return false;
    }
    interruption_events_arm(state, thread, garbage);
    return true;
}

typedef struct {
    interruption_state *state;
    interruption_thread *thread;
    interruption_obstacle obstacle;
} work;

static void
obstacle_at_work(void *arg)
{
    work *at = arg;
    const interruption_moment anywhere = {.moment = INTERRUPTION_AT_WORK};
    interruption_find_obstacle(at->state, at->thread, anywhere, &at->obstacle);
}

/* Under the list's mutex. The thread was armed before, and its request still waits. If it does not
   have to wait where the thread is, then that is somewhere that we are not told of: in C code,
   which may call functions back, or on its way there. `left` is to be dropped without the mutex. */
static void
watch_entries(interruption_state *state, interruption_thread *thread, PyObject *left[3])
{
    int lasti;
    if (thread->watches_entries ||
        interruption_other_holds_lock(&thread->lockset, &left[0], &left[1], &lasti)) {
        return;
    }
    work at = {.state = state, .thread = thread};
    interruption_while_stopped(obstacle_at_work, &at);
    if (at.obstacle.kind == INTERRUPTION_NOTHING || at.obstacle.kind == INTERRUPTION_PROTECTED) {
        interruption_events_watch_entries(thread);
    }
    left[2] = (PyObject *)at.obstacle.code;
}

/* What runs may be new each time; what is left then is for the next time. */
enum { ARMING_ROUNDS = 4 };

static void
arm(interruption_state *state, itr_record *record, bool again)
{
    if (interruption_statements_are_refused()) {
        return; /* it is woken where it waits, and stops where it looks */
    }
    interruption_raised raised = interruption_put_aside();
    bool unknown = true;
    for (int round = 0; unknown && round < ARMING_ROUNDS; round++) {
        interruption_garbage garbage = {.frame = NULL};
        PyObject *left[3] = {NULL};
        interruption_lock_threads();
        interruption_thread *thread = interruption_thread_of(record);
        if (thread != NULL && arm_thread(state, thread, &garbage) && again && !garbage.unknown) {
            watch_entries(state, thread, left);
        }
        interruption_unlock_threads();
        for (size_t i = 0; i < sizeof(left) / sizeof(*left); i++) {
            Py_XDECREF(left[i]);
        }
        unknown = interruption_drop_garbage(&garbage);
    }
    interruption_put_back(raised);
}

void
interruption_stop_where_it_is(interruption_state *state, itr_record *record)
{
    arm(state, record, false);
    interruption_rearm_later(record);
}

void
interruption_arm_again(interruption_state *state, itr_record *record)
{
    arm(state, record, true);
}

void
interruption_disarm(interruption_thread *thread)
{
    interruption_lock_threads();
    if (is_in_need(itr_flags(thread->record))) {
        /* Asked anew since the caller looked; who asked has armed it, or is about to. */
        interruption_unlock_threads();
        return;
    }
    (void)itr_disarm(thread->record);
    interruption_garbage garbage = {.frame = NULL};
    interruption_events_disarm(thread, &garbage);
    interruption_unlock_threads();
    (void)interruption_drop_garbage(&garbage);
}
