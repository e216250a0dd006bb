/* See raise.h. */
#include "delivery/raise.h"

#include "delivery/arming.h"
#include "delivery/obstacles.h"
#include "thread/payload.h"
#include "delivery/thread_exit.h"

void
mod_nothing_waits(const itr_record *record)
{
    mod_thread *thread = mod_thread_self;
    if ((itr_flags(record) & ITR_ARMED) && mod_is_thread_of_now(thread)) {
        mod_disarm(thread);
    }
}

/* Which request is to be raised: the outermost that waits; else that was delivered. */
static bool
find_request(itr_record *record, uint64_t *level)
{
    return itr_outermost(record, ITR_PENDING, level) || itr_outermost(record, ITR_REQUESTED, level);
}

int
mod_raise_request(mod_state *state, itr_record *record)
{
    itr_payload *dropped = NULL;
    uint64_t level, inner;
    if (!find_request(record, &level) || !itr_deliver(record, level, &dropped)) {
        return 0;
    }
    while (itr_outermost(record, ITR_PENDING, &inner)) {
        (void)itr_deliver(record, inner, &dropped); /* what stops the outer one stops it, too */
    }
    mod_nothing_waits(record);
    /* Held, because what runs while the exception is made may clear the request. */
    const mod_payload *payload = (const mod_payload *)itr_delivered(record, level);
    PyObject *exc_type = Py_XNewRef(payload == NULL ? NULL : payload->exc_type);
    PyObject *reason = Py_XNewRef(payload == NULL ? NULL : payload->reason);
    mod_raise(state, exc_type, reason);
    mod_payload_drop(dropped);
    Py_XDECREF(exc_type);
    Py_XDECREF(reason);
    return -1;
}

/* May the calling thread's request be raised here? */
static bool
may_deliver(mod_state *state, mod_thread *thread, mod_moment point)
{
    PyObject *taken_in;
    int lasti;
    if (mod_holds_lock(&thread->lockset, &taken_in, &lasti)) {
        Py_XDECREF(taken_in); /* the quicker question first: it may be asked for long */
        return false;
    }
    mod_obstacle obstacle;
    mod_find_obstacle(state, thread, point, &obstacle);
    Py_XDECREF(obstacle.code);
    return obstacle.kind == MOD_NOTHING;
}

int
mod_deliver(mod_state *state, mod_thread *thread, mod_moment point)
{
    if (!(itr_flags(thread->record) & ITR_PENDING) || !may_deliver(state, thread, point)) {
        return 0;
    }
    return mod_raise_request(state, thread->record);
}
