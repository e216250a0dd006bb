/* See raise.h. */
#include "delivery/raise.h"

#include "delivery/arming.h"
#include "delivery/obstacles.h"
#include "thread/marks.h"
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

/* What is inside of a level that is stopped, stops with it: what waits there is delivered, too, and
   what an inner scope raises from here on does not end there (see mod_leave_scope). */
static void
pass_inner_levels(mod_thread *thread, mod_level level, itr_payload **dropped)
{
    const uint8_t passed =
        level.depth == 0 ? MOD_BLOCK_PASSED_BY_THREAD : MOD_BLOCK_PASSED_BY_SCOPE;
    while (mod_next_level(thread->tstate, &thread->blocks, &level)) {
        mod_block_of_level(thread->tstate, &thread->blocks, level)->kind |= passed;
        if (itr_level_flags(thread->record, level.number) & ITR_PENDING) {
            (void)itr_deliver(thread->record, level.number, dropped);
        }
    }
}

int
mod_raise_request(mod_state *state, itr_record *record, mod_level level)
{
    mod_thread *thread = mod_is_thread_of_now(mod_thread_self) ? mod_thread_self : NULL;
    itr_payload *dropped = NULL;
    if (!itr_deliver(record, level.number, &dropped)) {
        return 0;
    }
    if (thread != NULL) {
        pass_inner_levels(thread, level, &dropped);
    }
    mod_nothing_waits(record);
    /* Held, because what runs while the exception is made may clear the request. */
    const mod_payload *payload = (const mod_payload *)itr_delivered(record, level.number);
    PyObject *exc_type = Py_XNewRef(payload == NULL ? NULL : payload->exc_type);
    PyObject *reason = Py_XNewRef(payload == NULL ? NULL : payload->reason);
    if (itr_was_timed(record, level.number)) {
        reason = PyUnicode_FromString("deadline");
        PyErr_Clear(); /* no memory: then it goes without */
    }
    PyObject *exception = mod_raise(state, exc_type, reason);
    if (exception != NULL && level.number != ITR_THREAD) {
        (void)mod_mark(exception, level.number); /* no memory: that is raised, and stops it, too */
    }
    mod_payload_drop(dropped);
    Py_XDECREF(exc_type);
    Py_XDECREF(reason);
    Py_XDECREF(exception);
    return -1;
}

/* May a request to the level be raised here? */
static bool
may_deliver(mod_state *state, mod_thread *thread, mod_level level, mod_moment point)
{
    uint64_t scope = mod_entered_of_level(thread->tstate, &thread->blocks, level);
    PyObject *taken_in;
    int lasti;
    if (mod_holds_lock(&thread->lockset, scope, &taken_in, &lasti)) {
        Py_XDECREF(taken_in); /* the quicker question first: it may be asked for long */
        return false;
    }
    mod_obstacle obstacle;
    mod_find_obstacle(state, thread, level, point, &obstacle);
    Py_XDECREF(obstacle.code);
    return obstacle.kind == MOD_NOTHING;
}

int
mod_deliver(mod_state *state, mod_thread *thread, mod_moment point)
{
    if (!(itr_flags(thread->record) & ITR_PENDING)) {
        return 0;
    }
    mod_level level = MOD_THREAD_LEVEL;
    do {
        if ((mod_level_flags(&thread->blocks, thread->record, level) & ITR_PENDING) &&
            may_deliver(state, thread, level, point)) {
            return mod_raise_request(state, thread->record, level);
        }
    } while (mod_next_level(thread->tstate, &thread->blocks, &level));
    return 0;
}
