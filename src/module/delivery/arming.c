/* See arming.h. */
#include "delivery/arming.h"

#include "cpython/compat.h"
#include "delivery/obstacles.h"
#include "delivery/events.h"
#include "delivery/rearm.h"
#include "safepoints/self_test.h"

/* Does a request wait in a thread that is cancelable, by its flags? */
static bool
is_in_need(uint32_t flags)
{
    const uint32_t need = ITR_CANCELABLE | ITR_PENDING;
    return (flags & need) == need;
}

/* Under the list's mutex. False: there is nothing to stop it for. */
static bool
arm_thread(mod_state *state, mod_thread *thread, mod_garbage *garbage)
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
    mod_events_arm(state, thread, garbage);
    return true;
}

typedef struct {
    mod_state *state;
    mod_thread *thread;
    mod_level level; /* the innermost whose request waits: the others have as much in their way */
    uint64_t scope;  /* of it: see mod_holds_lock */
    mod_obstacle obstacle;
} work;

static void
obstacle_at_work(void *arg)
{
    work *at = arg;
    const mod_moment anywhere = {.moment = MOD_AT_WORK};
    at->level = mod_find_pending(at->thread->tstate, &at->thread->blocks, at->thread->record, true);
    at->scope = mod_entered_of_level(at->thread->tstate, &at->thread->blocks, at->level);
    mod_find_obstacle(at->state, at->thread, at->level, anywhere, &at->obstacle);
}

/* Under the list's mutex. The thread was armed before, and its request still waits. If it does not
   have to wait where the thread is, then that is somewhere that we are not told of: in C code,
   which may call functions back, or on its way there. `left` is to be dropped without the mutex. */
static void
watch_entries(mod_state *state, mod_thread *thread, PyObject *left[3])
{
    int lasti;
    if (thread->watches_entries) {
        return;
    }
    work at = {.state = state, .thread = thread};
    mod_while_stopped(obstacle_at_work, &at);
    if ((at.obstacle.kind == MOD_NOTHING || at.obstacle.kind == MOD_PROTECTED) &&
        !mod_other_holds_lock(&thread->lockset, at.scope, &left[0], &left[1], &lasti)) {
        mod_events_watch_entries(thread);
    }
    left[2] = (PyObject *)at.obstacle.code;
}

/* What runs may be new each time; what is left then is for the next time. */
enum { ARMING_ROUNDS = 4 };

static void
arm(mod_state *state, itr_record *record, bool again)
{
    if (mod_statements_are_refused()) {
        return; /* it is woken where it waits, and stops where it looks */
    }
    mod_raised raised = mod_put_aside();
    bool unknown = true;
    for (int round = 0; unknown && round < ARMING_ROUNDS; round++) {
        mod_garbage garbage = {.frame = NULL};
        PyObject *left[3] = {NULL};
        mod_lock_threads();
        mod_thread *thread = mod_thread_of(record);
        if (thread != NULL && arm_thread(state, thread, &garbage) && again && !garbage.unknown) {
            watch_entries(state, thread, left);
        }
        mod_unlock_threads();
        for (size_t i = 0; i < sizeof(left) / sizeof(*left); i++) {
            Py_XDECREF(left[i]);
        }
        unknown = mod_drop_garbage(&garbage);
    }
    mod_put_back(raised);
}

void
mod_stop_where_it_is(mod_state *state, itr_record *record)
{
    arm(state, record, false);
    mod_rearm_later(record);
}

void
mod_arm_again(mod_state *state, itr_record *record)
{
    arm(state, record, true);
}

void
mod_disarm(mod_thread *thread)
{
    mod_lock_threads();
    if (is_in_need(itr_flags(thread->record))) {
        /* Asked anew since the caller looked; who asked has armed it, or is about to. */
        mod_unlock_threads();
        return;
    }
    (void)itr_disarm(thread->record);
    mod_garbage garbage = {.frame = NULL};
    mod_events_disarm(thread, &garbage);
    mod_unlock_threads();
    (void)mod_drop_garbage(&garbage);
}
