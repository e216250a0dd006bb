/* See asked.h. */
#include "blocking/asked.h"

#include "delivery/raise.h"
#include "safepoints/making.h"

_Atomic uint32_t mod_wait_generation;

/* A wait of the calling thread; false: nothing is done about it. */
static bool
begin_looking(mod_waiting *waiting)
{
    mod_state *state = atomic_load_explicit(&mod_state_now, memory_order_acquire);
    mod_thread *thread = mod_thread_self;
    uint32_t generation = atomic_load(&mod_wait_generation);
    if (state == NULL || !mod_is_thread_of_now(thread) || generation % 2 == 0) {
        return false; /* also a call that came to us before they were put back */
    }
    *waiting = (mod_waiting){.state = state,
                             .record = thread->record,
                             .needed = ITR_PENDING,
                             .scoped = thread->blocks.scopes > 0,
                             .generation = generation};
    return true;
}

static bool
next_level_here(mod_level *level)
{
    const mod_thread *thread = mod_thread_self;
    return mod_next_level(thread->tstate, &thread->blocks, level);
}

/* The levels that are further in have less in their way: so a depth says which may end it. It stays
   as long as the wait, whoever is asked meanwhile. */
bool
mod_wait_look(mod_waiting *waiting, mod_wait_view *view)
{
    if (!begin_looking(waiting)) {
        return false;
    }
    mod_level level = MOD_THREAD_LEVEL;
    do {
        mod_view_waits(waiting->state, mod_thread_self, level, view);
    } while (!view->open && next_level_here(&level));
    waiting->open_from = level.depth;
    waiting->breaks = view->breaks;
    return view->open;
}

void
mod_wait_in_cleanup(mod_waiting *waiting)
{
    if (!waiting->scoped) {
        waiting->needed = ITR_PENDING | ITR_REQUESTED_AGAIN;
        return;
    }
    mod_level level = MOD_THREAD_LEVEL;
    waiting->once_from = UINT32_MAX;
    while (waiting->once_from == UINT32_MAX && next_level_here(&level)) {
        mod_wait_view view;
        mod_view_waits(waiting->state, mod_thread_self, level, &view);
        if (view.open && !view.cleanup) {
            waiting->once_from = level.depth;
        }
    }
}

bool
mod_wait_find_asked(const mod_waiting *waiting, mod_level *level)
{
    *level = MOD_THREAD_LEVEL;
    do {
        uint32_t needed =
            level->depth >= waiting->once_from ? ITR_PENDING : ITR_PENDING | ITR_REQUESTED_AGAIN;
        if (level->depth >= waiting->open_from &&
            (itr_level_flags(waiting->record, level->number) & needed) == needed) {
            return true;
        }
    } while (next_level_here(level));
    return false;
}

/* Of the requests that wait, the outermost that may be raised where a call begins. */
bool
mod_wait_enter(mod_waiting *waiting)
{
    if (!begin_looking(waiting)) {
        return false;
    }
    mod_level level = MOD_THREAD_LEVEL;
    do {
        mod_wait_view view;
        if (mod_level_flags(&mod_thread_self->blocks, waiting->record, level) & ITR_PENDING) {
            mod_view_waits(waiting->state, mod_thread_self, level, &view);
            waiting->open_from = level.depth;
            waiting->breaks = view.breaks;
            if (view.open && !view.cleanup && !view.importing && !view.gives) {
                return true;
            }
        }
    } while (next_level_here(&level));
    return false;
}

int
mod_wait_entry_asked(void)
{
    mod_waiting waiting;
    return mod_wait_enter(&waiting) ? mod_wait_check(&waiting) : 0;
}

bool
mod_wait_begin(mod_waiting *waiting)
{
    mod_wait_view view;
    return mod_wait_look(waiting, &view);
}

int
mod_wait_check(const mod_waiting *waiting)
{
    if (!mod_wait_asked(waiting)) {
        return 0;
    }
    mod_level level = MOD_THREAD_LEVEL;
    if (waiting->scoped && !mod_wait_find_asked(waiting, &level)) {
        return 0;
    }
    bool breaks = waiting->breaks;
    if (breaks && level.depth > waiting->open_from) {
        mod_wait_view view;
        mod_view_waits(waiting->state, mod_thread_self, level, &view);
        breaks = view.breaks;
    }
    int status = mod_raise_request(waiting->state, waiting->record, level);
    if (status < 0 && breaks) {
        mod_makers_break_off(waiting->state, mod_thread_self->tstate);
    }
    return status;
}
