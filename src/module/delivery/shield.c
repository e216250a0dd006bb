/* See shield.h. */
#include "delivery/shield.h"

#include "delivery/arming.h"

void
mod_settle(mod_state *state, mod_thread *thread, uint32_t flags)
{
    if (!thread->blocks.open) {
        if (flags & ITR_ARMED) {
            mod_disarm(thread);
        }
    }
    else if ((flags & ITR_PENDING) && !(flags & ITR_ARMED)) {
        mod_stop_where_it_is(state, thread->record);
    }
}

bool
mod_begin_shield(PyObject *object)
{
    mod_state *state = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    mod_thread *thread = mod_thread_self;
    if (state == NULL || !mod_is_thread_of_now(thread) || thread->blocks.regions == 0) {
        return false;
    }
    int64_t flags =
        mod_enter_block(thread->tstate, &thread->blocks, thread->record, object, MOD_BLOCK_SHIELD);
    if (flags < 0) {
        PyErr_Clear();
        return false;
    }
    mod_settle(state, thread, (uint32_t)flags);
    return true;
}

void
mod_end_shield(PyObject *object)
{
    mod_state *state = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    mod_thread *thread = mod_thread_self;
    int64_t flags = mod_leave_block(thread->tstate, &thread->blocks, thread->record, object);
    if (flags < 0) {
        PyErr_WriteUnraisable(object);
    }
    else if (state != NULL) {
        mod_settle(state, thread, (uint32_t)flags);
    }
}
