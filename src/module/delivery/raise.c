/* See raise.h. */
#include "delivery/raise.h"

#include "delivery/arming.h"
#include "delivery/obstacles.h"
#include "thread/payload.h"
#include "delivery/thread_exit.h"

void
interruption_nothing_waits(const itr_record *record)
{
    interruption_thread *thread = interruption_thread_self;
    if ((itr_flags(record) & ITR_ARMED) && interruption_is_thread_of_now(thread)) {
        interruption_disarm(thread);
    }
}

int
interruption_raise_request(interruption_state *state, itr_record *record)
{
    itr_payload *dropped = NULL;
    if (!itr_deliver(record, &dropped)) {
        return 0;
    }
    interruption_nothing_waits(record);
    /* Held, because what runs while the exception is made may clear the request. */
    const interruption_payload *payload = (const interruption_payload *)itr_delivered(record);
    PyObject *exc_type = Py_XNewRef(payload == NULL ? NULL : payload->exc_type);
    PyObject *reason = Py_XNewRef(payload == NULL ? NULL : payload->reason);
    interruption_raise(state, exc_type, reason);
    interruption_payload_drop(dropped);
    Py_XDECREF(exc_type);
    Py_XDECREF(reason);
    return -1;
}

/* May the calling thread's request be raised here? */
static bool
may_deliver(interruption_state *state, interruption_thread *thread, interruption_moment point)
{
    PyObject *taken_in;
    int lasti;
    if (interruption_holds_lock(&thread->lockset, &taken_in, &lasti)) {
        Py_XDECREF(taken_in); /* the quicker question first: it may be asked for long */
        return false;
    }
    interruption_obstacle obstacle;
    interruption_find_obstacle(state, thread, point, &obstacle);
    Py_XDECREF(obstacle.code);
    return obstacle.kind == INTERRUPTION_NOTHING;
}

int
interruption_deliver(interruption_state *state, interruption_thread *thread,
                     interruption_moment point)
{
    if (!(itr_flags(thread->record) & ITR_PENDING) || !may_deliver(state, thread, point)) {
        return 0;
    }
    return interruption_raise_request(state, thread->record);
}
