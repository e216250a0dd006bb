/*
 * Greenlets' switches wait for no event of the system: a call of one returns when the greenlet is
 * switched back to. What it comes back to has not been armed, if a request came meanwhile (S21).
 *
 * C code that switches by greenlet's own C functions does not come by here: then the frames that
 * have entered regions are armed (running.c), and those that these call.
 */
#include "blocking/interposed.h"

#include "delivery/arming.h"

/* A greenlet that has a region, perhaps: whose it is, nobody has to know. */
static inline bool
has_region(PyObject *Py_UNUSED(greenlet))
{
    const mod_thread *thread = mod_thread_self;
    return thread != NULL && thread->blocks.regions > 0;
}

static PyObject *
switch_there_and_back(const mod_call *call)
{
    PyObject *result = mod_call_original(call);
    const uint32_t asked = ITR_PENDING | ITR_CANCELABLE;
    mod_state *state = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    mod_thread *thread = mod_thread_self;
    if (state != NULL && mod_is_thread_of_now(thread) &&
        (itr_flags(thread->record) & asked) == asked) {
        mod_stop_where_it_is(state, thread->record);
    }
    return result;
}

MOD_REPLACEMENT(greenlet_switch, has_region, switch_there_and_back);
MOD_REPLACEMENT(greenlet_throw, has_region, switch_there_and_back);

static const mod_row greenlet_rows[] = {
    {"greenlet._greenlet", "greenlet", "switch", &greenlet_switch, false},
    {"greenlet._greenlet", "greenlet", "throw", &greenlet_throw, false},
    {NULL, NULL, NULL, NULL, false},
};

mod_family mod_greenlets = {.name = "greenlet switches", .rows = greenlet_rows};
