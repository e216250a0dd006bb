/* See obstacles.h. */
#include "delivery/obstacles.h"

#include "safepoints/callbacks.h"
#include "safepoints/code.h"
#include "cpython/compat.h"
#include "safepoints/protected.h"
#include "safepoints/self_test.h"
#include "thread/origins.h"

/* The frames of a region. --------------------------------------------------------------------- */

typedef struct {
    mod_state *state;
    PyFrameObject *frame;
    PyCodeObject *code;
    const mod_safepoints *points;
    mod_maker maker;
    int lasti;
    int since;     /* where the region was entered, if by this frame; else -1 */
    bool analyses; /* code that is new: no lock is held */
    bool innermost;
    bool above_c; /* C code has called what is above it */
} frame_view;

typedef struct {
    mod_state *state;
    mod_thread *thread;
    mod_view blocks;
    bool skip;     /* leave out the innermost frame */
    bool analyses; /* else code is analysed by who asks, without a lock: see arming.c, explain.c */
    bool (*see)(void *arg, const frame_view *at); /* returns whether that is enough */
    void *arg;
    bool programs; /* found: code of the program's is called there, or need not be. What an
                      installed package does in a thread of its own is left alone (S30) */
    bool unknown;  /* found: code that is not analysed yet */
} region_walk;

static const mod_code *
code_in_walk(const frame_view *at)
{
    if (!at->analyses) {
        return mod_code_known(at->code);
    }
    const mod_code *known = mod_code_of(at->code);
    PyErr_Clear();
    return known;
}

static bool
see_frame(const region_walk *of, const mod_code *known, frame_view *at)
{
    at->points = known->points;
    at->maker = known->maker;
    at->lasti = PyFrame_GetLasti(at->frame);
    at->since = mod_is_frame_of(of->blocks.region, at->frame) ? of->blocks.region->lasti : -1;
    return of->see(of->arg, at);
}

/* Innermost first; the region's own frame is the last. False: not all that is needed could be told
   of them, for want of memory, or of an analysis. */
static bool
walk_region(region_walk *of)
{
    frame_view at = {.state = of->state, .innermost = true, .analyses = of->analyses};
    bool enough = false;
    of->programs = !(of->blocks.region->kind & MOD_BLOCK_PROGRAM);
    mod_walk walk = mod_walk_begin(of->thread->tstate);
    if (of->skip) {
        mod_walk_on(&walk);
    }
    for (; walk.frame != NULL && !(enough && of->programs); mod_walk_on(&walk)) {
        at.frame = walk.frame;
        at.code = walk.code;
        const mod_code *known = enough ? NULL : code_in_walk(&at);
        of->unknown = !enough && known == NULL;
        enough = enough || (known != NULL && see_frame(of, known, &at));
        if (of->unknown || mod_is_frame_of(of->blocks.region, walk.frame)) {
            break;
        }
        of->programs = of->programs || mod_is_programs_frame(of->state, walk.frame, walk.code);
        at.innermost = false;
        at.above_c = mod_frame_is_called_by_c(walk.frame);
    }
    bool whole = !of->unknown && !walk.lost;
    mod_walk_end(&walk);
    return whole;
}

/* What keeps a request from being raised. ------------------------------------------------------ */

/* The cleanup that the frame is in, or 0. Leaving a shield is in its own exit, which does not
   count. */
static int
cleanup_of(const frame_view *at, mod_moment point)
{
    if (at->innermost && point.moment == MOD_AT_EXIT) {
        return mod_safepoint_cleanup_outside(at->points, at->lasti, at->since);
    }
    int cleanup = mod_safepoint_cleanup(at->points, at->lasti, at->since);
    if (cleanup == 0 && at->innermost && point.moment == MOD_AT_JUMP) {
        /* 3.12 raises at the end of the jump, the others at its beginning. */
        cleanup = mod_safepoint_cleanup(at->points, point.destination, at->since);
    }
    return cleanup;
}

/* Is the innermost frame between two statements? */
static bool
between_statements(const frame_view *at, mod_moment point)
{
    unsigned flags = mod_safepoint_flags(at->points, at->lasti);
    switch (point.moment) {
    case MOD_AT_LINE:
        /* Up to 3.11 a jump back is told as the line that it goes to. */
        return (flags & (MOD_SAFEPOINT_STATEMENT | MOD_SAFEPOINT_LOOP)) &&
               !(flags & MOD_SAFEPOINT_GAP);
    case MOD_AT_JUMP:
        return (flags & MOD_SAFEPOINT_LOOP) &&
               !(mod_safepoint_flags(at->points, point.destination) & MOD_SAFEPOINT_GAP);
    case MOD_AT_HEAD:
        return (flags & MOD_SAFEPOINT_HEAD) && !(flags & MOD_SAFEPOINT_GAP);
    default:
        return true;
    }
}

/* Would what is raised in this frame, or in what it has called, come to nothing, or where nobody
   expects it? It is a callback, or what is above was not called by what it does. */
static bool
swallows(const frame_view *at)
{
    if (at->above_c && !mod_statements_are_refused() &&
        !(mod_safepoint_flags(at->points, at->lasti) & MOD_SAFEPOINT_CALLS)) {
        return true;
    }
    return at->since < 0 && mod_is_callback(at->frame, at->code);
}

static bool
blocks_here(const frame_view *at, mod_making making, mod_moment point, mod_obstacle *obstacle)
{
    obstacle->kind = MOD_NOTHING;
    if (at->since < 0 && mod_is_wrapper(at->code)) {
        obstacle->kind = MOD_CLEANUP;
        obstacle->detail = mod_is_entering(at->code) ? MOD_IN_WITH_ENTRY : MOD_IN_WITH_EXIT;
    }
    else if (mod_is_import_machinery(at->code)) {
        obstacle->kind = MOD_IMPORTING;
    }
    else if (making == MOD_CLEANS) {
        obstacle->kind = MOD_SWALLOWED;
    }
    else if (making == MOD_MAKES ||
             (at->innermost && mod_is_protected_frame(at->state, at->frame, at->code))) {
        obstacle->kind = MOD_PROTECTED;
    }
    else if ((obstacle->detail = cleanup_of(at, point)) != 0) {
        obstacle->kind = MOD_CLEANUP;
    }
    else if (swallows(at)) {
        obstacle->kind = MOD_SWALLOWED;
    }
    else if (at->innermost && !between_statements(at, point)) {
        obstacle->kind = MOD_IN_STATEMENT;
    }
    return obstacle->kind != MOD_NOTHING;
}

typedef struct {
    mod_moment point;
    mod_obstacle *found;
} search;

static bool
see_obstacle(void *arg, const frame_view *at)
{
    const search *of = arg;
    mod_making making = mod_what_it_makes(at->state, at->maker, at->frame, at->code);
    if (blocks_here(at, making, of->point, of->found)) {
        of->found->code = (PyCodeObject *)Py_NewRef((PyObject *)at->code);
        of->found->lasti = at->lasti;
        return true;
    }
    return making == MOD_BEGINS;
}

static void
place_of_block(const mod_block *block, mod_obstacle *obstacle)
{
    if (block != NULL) {
        obstacle->code = (PyCodeObject *)Py_XNewRef((PyObject *)block->code);
        obstacle->lasti = block->lasti;
    }
}

static bool
view_blocks(const mod_thread *thread, const mod_view *view, mod_obstacle *obstacle)
{
    if (view->regions == 0) {
        obstacle->kind = MOD_NOT_OPEN;
        place_of_block(mod_suspended_region(thread->tstate, &thread->blocks), obstacle);
    }
    else if (mod_statements_are_refused()) {
        obstacle->kind = MOD_REFUSED;
        place_of_block(view->region, obstacle);
    }
    else if (view->shields > 0) {
        obstacle->kind = MOD_SHIELDED;
        place_of_block(view->shield, obstacle);
    }
    else if (!view->statements ||
             (atomic_load_explicit(&thread->switches, memory_order_relaxed) & MOD_NO_STATEMENTS)) {
        obstacle->kind = MOD_SWITCHED_OFF;
        place_of_block(view->region, obstacle);
    }
    else if (!mod_lockset_is_complete(&thread->lockset)) {
        obstacle->kind = MOD_LOCKS_UNKNOWN;
        place_of_block(view->region, obstacle);
    }
    else {
        return false;
    }
    return true;
}

void
mod_find_obstacle(mod_state *state, mod_thread *thread, mod_level level, mod_moment point,
                  mod_obstacle *obstacle)
{
    *obstacle = (mod_obstacle){.kind = MOD_NOTHING, .lasti = -1};
    search of = {point, obstacle};
    region_walk walk = {.state = state, .thread = thread, .see = see_obstacle, .arg = &of};
    walk.skip = point.moment == MOD_AT_CALLER;
    walk.analyses = point.moment != MOD_AT_CALLER && point.moment != MOD_AT_WORK;
    mod_view_level(thread->tstate, &thread->blocks, level, &walk.blocks);
    if (view_blocks(thread, &walk.blocks, obstacle)) {
        return;
    }
    bool whole = walk_region(&walk);
    if (!whole && obstacle->kind == MOD_NOTHING) {
        obstacle->kind = walk.unknown ? MOD_NOT_ANALYSED : MOD_IN_STATEMENT;
    }
    else if (whole && !walk.programs) {
        obstacle->kind = MOD_PACKAGES_OWN;
        Py_CLEAR(obstacle->code);
        obstacle->lasti = -1;
    }
}

/* Blocking calls. ----------------------------------------------------------------------------- */

static bool
is_cleaning_up(const frame_view *at)
{
    if (at->since < 0 && mod_is_wrapper(at->code) && !mod_is_entering(at->code)) {
        return true;
    }
    mod_cleanup in = mod_safepoint_cleanup(at->points, at->lasti, at->since);
    if (in == MOD_IN_WITH_ENTRY) {
        /* The `with` itself may be in a cleanup. */
        in = mod_safepoint_cleanup_outside(at->points, at->lasti, at->since);
    }
    return in != MOD_IN_NOTHING && in != MOD_IN_WITH_ENTRY;
}

static bool
see_wait(void *arg, const frame_view *at)
{
    mod_wait_view *view = arg;
    mod_makers_check(at->maker);
    mod_making making = mod_what_it_makes(at->state, at->maker, at->frame, at->code);
    view->open = !swallows(at) && making != MOD_MAKES;
    view->cleanup = view->cleanup || making == MOD_CLEANS || is_cleaning_up(at);
    view->gives = view->gives || making == MOD_GIVES;
    view->breaks = view->breaks || making == MOD_BREAKS;
    view->importing = view->importing || mod_is_import_machinery(at->code);
    return !view->open || making == MOD_BEGINS;
}

void
mod_view_waits(mod_state *state, mod_thread *thread, mod_level level, mod_wait_view *view)
{
    *view = (mod_wait_view){.open = false};
    region_walk walk = {
        .state = state, .thread = thread, .analyses = true, .see = see_wait, .arg = view};
    mod_view *blocks = &walk.blocks;
    mod_view_level(thread->tstate, &thread->blocks, level, blocks);
    if (blocks->regions == 0 || blocks->shields > 0 || !blocks->waits ||
        (atomic_load_explicit(&thread->switches, memory_order_relaxed) & MOD_NO_WAITS) ||
        thread->tstate->tracing > 0) {
        return; /* what a trace function raises comes up in what it traces */
    }
    view->open = true;
    view->cleanup = mod_statements_are_refused(); /* whether it is, cannot be told then */
    if (!walk_region(&walk) || !walk.programs) {
        *view = (mod_wait_view){.open = false}; /* no memory: it waits as it always did */
    }
}
