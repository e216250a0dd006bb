/* See shield.h. */
#include "delivery/shield.h"

#include "delivery/arming.h"

void
interruption_settle(interruption_state *state, interruption_thread *thread, uint32_t flags)
{
    if (!thread->blocks.open) {
        if (flags & ITR_ARMED) {
            interruption_disarm(thread);
        }
    }
    else if ((flags & ITR_PENDING) && !(flags & ITR_ARMED)) {
        interruption_stop_where_it_is(state, thread->record);
    }
}

bool
interruption_begin_shield(PyObject *object)
{
    interruption_state *state = atomic_load_explicit(&interruption_state_now, memory_order_acquire);
    interruption_thread *thread = interruption_thread_self;
    if (state == NULL || !interruption_is_thread_of_now(thread) || thread->blocks.regions == 0) {
        return false;
    }
    int64_t flags = interruption_enter_block(thread->tstate, &thread->blocks, thread->record,
                                             object, INTERRUPTION_BLOCK_SHIELD);
    if (flags < 0) {
        PyErr_Clear();
        return false;
    }
    interruption_settle(state, thread, (uint32_t)flags);
    return true;
}

void
interruption_end_shield(PyObject *object)
{
    interruption_state *state = atomic_load_explicit(&interruption_state_now, memory_order_acquire);
    interruption_thread *thread = interruption_thread_self;
    int64_t flags =
        interruption_leave_block(thread->tstate, &thread->blocks, thread->record, object);
    if (flags < 0) {
        PyErr_WriteUnraisable(object);
    }
    else if (state != NULL) {
        interruption_settle(state, thread, (uint32_t)flags);
    }
}
