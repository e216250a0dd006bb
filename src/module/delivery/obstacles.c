/* See obstacles.h. */
#include "delivery/obstacles.h"

#include "safepoints/callbacks.h"
#include "safepoints/code.h"
#include "cpython/compat.h"
#include "safepoints/protected.h"
#include "safepoints/self_test.h"

/* The frames of a region. --------------------------------------------------------------------- */

typedef struct {
    interruption_state *state;
    PyFrameObject *frame;
    PyCodeObject *code;
    const interruption_safepoints *points;
    interruption_maker maker;
    int lasti;
    int since;     /* where the region was entered, if by this frame; else -1 */
    bool analyses; /* code that is new: no lock is held */
    bool innermost;
    bool above_c; /* C code has called what is above it */
} frame_view;

typedef struct {
    interruption_state *state;
    interruption_thread *thread;
    interruption_view blocks;
    bool skip;     /* leave out the innermost frame */
    bool analyses; /* else code is analysed by who asks, without a lock: see arming.c, explain.c */
    bool (*see)(void *arg, const frame_view *at); /* returns whether that is enough */
    void *arg;
    bool programs; /* found: code of the program's is called there, or need not be. What an
                      installed package does in a thread of its own is left alone (S30) */
    bool unknown;  /* found: code that is not analysed yet */
} region_walk;

static const interruption_code *
code_in_walk(const frame_view *at)
{
    if (!at->analyses) {
        return interruption_code_known(at->code);
    }
    const interruption_code *known = interruption_code_of(at->code);
    PyErr_Clear();
    return known;
}

static bool
see_frame(const region_walk *of, const interruption_code *known, frame_view *at)
{
    at->points = known->points;
    at->maker = known->maker;
    at->lasti = PyFrame_GetLasti(at->frame);
    at->since =
        interruption_is_frame_of(of->blocks.region, at->frame) ? of->blocks.region->lasti : -1;
    return of->see(of->arg, at);
}

/* Innermost first; the region's own frame is the last. False: not all that is needed could be told
   of them, for want of memory, or of an analysis. */
static bool
walk_region(region_walk *of)
{
    frame_view at = {.state = of->state, .innermost = true, .analyses = of->analyses};
    bool enough = false;
    of->programs = !(of->blocks.region->kind & INTERRUPTION_BLOCK_PROGRAM);
    interruption_walk walk = interruption_walk_begin(of->thread->tstate);
    if (of->skip) {
        interruption_walk_on(&walk);
    }
    for (; walk.frame != NULL && !(enough && of->programs); interruption_walk_on(&walk)) {
        at.frame = walk.frame;
        at.code = walk.code;
        const interruption_code *known = enough ? NULL : code_in_walk(&at);
        of->unknown = !enough && known == NULL;
        enough = enough || (known != NULL && see_frame(of, known, &at));
        if (of->unknown || interruption_is_frame_of(of->blocks.region, walk.frame)) {
            break;
        }
        of->programs =
            of->programs || interruption_is_programs_frame(of->state, walk.frame, walk.code);
        at.innermost = false;
        at.above_c = interruption_frame_is_called_by_c(walk.frame);
    }
    bool whole = !of->unknown && !walk.lost;
    interruption_walk_end(&walk);
    return whole;
}

/* What keeps a request from being raised. ------------------------------------------------------ */

/* The cleanup that the frame is in, or 0. Leaving a shield is in its own exit, which does not
   count. */
static int
cleanup_of(const frame_view *at, interruption_moment point)
{
    if (at->innermost && point.moment == INTERRUPTION_AT_EXIT) {
        return interruption_safepoint_cleanup_outside(at->points, at->lasti, at->since);
    }
    int cleanup = interruption_safepoint_cleanup(at->points, at->lasti, at->since);
    if (cleanup == 0 && at->innermost && point.moment == INTERRUPTION_AT_JUMP) {
        /* 3.12 raises at the end of the jump, the others at its beginning. */
        cleanup = interruption_safepoint_cleanup(at->points, point.destination, at->since);
    }
    return cleanup;
}

/* Is the innermost frame between two statements? */
static bool
between_statements(const frame_view *at, interruption_moment point)
{
    unsigned flags = interruption_safepoint_flags(at->points, at->lasti);
    switch (point.moment) {
    case INTERRUPTION_AT_LINE:
        /* Up to 3.11 a jump back is told as the line that it goes to. */
        return (flags & (INTERRUPTION_SAFEPOINT_STATEMENT | INTERRUPTION_SAFEPOINT_LOOP)) &&
               !(flags & INTERRUPTION_SAFEPOINT_GAP);
    case INTERRUPTION_AT_JUMP:
        return (flags & INTERRUPTION_SAFEPOINT_LOOP) &&
               !(interruption_safepoint_flags(at->points, point.destination) &
                 INTERRUPTION_SAFEPOINT_GAP);
    case INTERRUPTION_AT_HEAD:
        return (flags & INTERRUPTION_SAFEPOINT_HEAD) && !(flags & INTERRUPTION_SAFEPOINT_GAP);
    default:
        return true;
    }
}

/* Would what is raised in this frame, or in what it has called, come to nothing, or where nobody
   expects it? It is a callback, or what is above was not called by what it does. */
static bool
swallows(const frame_view *at)
{
    if (at->above_c && !interruption_statements_are_refused() &&
        !(interruption_safepoint_flags(at->points, at->lasti) & INTERRUPTION_SAFEPOINT_CALLS)) {
        return true;
    }
    return at->since < 0 && interruption_is_callback(at->frame, at->code, at->analyses);
}

static bool
blocks_here(const frame_view *at, interruption_making making, interruption_moment point,
            interruption_obstacle *obstacle)
{
    obstacle->kind = INTERRUPTION_NOTHING;
    if (at->since < 0 && interruption_is_wrapper(at->code)) {
        obstacle->kind = INTERRUPTION_CLEANUP;
        obstacle->detail = interruption_is_entering(at->code) ? INTERRUPTION_IN_WITH_ENTRY
                                                              : INTERRUPTION_IN_WITH_EXIT;
    }
    else if (interruption_is_import_machinery(at->code)) {
        obstacle->kind = INTERRUPTION_IMPORTING;
    }
    else if (making == INTERRUPTION_CLEANS) {
        obstacle->kind = INTERRUPTION_SWALLOWED;
    }
    else if (making == INTERRUPTION_MAKES ||
             (at->innermost && interruption_is_protected_frame(at->state, at->frame, at->code))) {
        obstacle->kind = INTERRUPTION_PROTECTED;
    }
    else if ((obstacle->detail = cleanup_of(at, point)) != 0) {
        obstacle->kind = INTERRUPTION_CLEANUP;
    }
    else if (swallows(at)) {
        obstacle->kind = INTERRUPTION_SWALLOWED;
    }
    else if (at->innermost && !between_statements(at, point)) {
        obstacle->kind = INTERRUPTION_IN_STATEMENT;
    }
    return obstacle->kind != INTERRUPTION_NOTHING;
}

typedef struct {
    interruption_moment point;
    interruption_obstacle *found;
} search;

static bool
see_obstacle(void *arg, const frame_view *at)
{
    const search *of = arg;
    interruption_making making =
        interruption_what_it_makes(at->state, at->maker, at->frame, at->code);
    if (blocks_here(at, making, of->point, of->found)) {
        of->found->code = (PyCodeObject *)Py_NewRef((PyObject *)at->code);
        of->found->lasti = at->lasti;
        return true;
    }
    return making == INTERRUPTION_BEGINS;
}

static void
place_of_block(const interruption_block *block, interruption_obstacle *obstacle)
{
    if (block != NULL) {
        obstacle->code = (PyCodeObject *)Py_XNewRef((PyObject *)block->code);
        obstacle->lasti = block->lasti;
    }
}

static bool
view_blocks(const interruption_thread *thread, const interruption_view *view,
            interruption_obstacle *obstacle)
{
    if (view->regions == 0) {
        obstacle->kind = INTERRUPTION_NOT_OPEN;
        place_of_block(interruption_suspended_region(thread->tstate, &thread->blocks), obstacle);
    }
    else if (interruption_statements_are_refused()) {
        obstacle->kind = INTERRUPTION_REFUSED;
        place_of_block(view->region, obstacle);
    }
    else if (view->shields > 0) {
        obstacle->kind = INTERRUPTION_SHIELDED;
        place_of_block(view->shield, obstacle);
    }
    else if (!view->statements || (atomic_load_explicit(&thread->switches, memory_order_relaxed) &
                                   INTERRUPTION_NO_STATEMENTS)) {
        obstacle->kind = INTERRUPTION_SWITCHED_OFF;
        place_of_block(view->region, obstacle);
    }
    else if (!interruption_lockset_is_complete(&thread->lockset)) {
        obstacle->kind = INTERRUPTION_LOCKS_UNKNOWN;
        place_of_block(view->region, obstacle);
    }
    else {
        return false;
    }
    return true;
}

void
interruption_find_obstacle(interruption_state *state, interruption_thread *thread,
                           interruption_moment point, interruption_obstacle *obstacle)
{
    *obstacle = (interruption_obstacle){.kind = INTERRUPTION_NOTHING, .lasti = -1};
    search of = {point, obstacle};
    region_walk walk = {.state = state, .thread = thread, .see = see_obstacle, .arg = &of};
    walk.skip = point.moment == INTERRUPTION_AT_CALLER;
    walk.analyses = point.moment != INTERRUPTION_AT_CALLER && point.moment != INTERRUPTION_AT_WORK;
    interruption_view_blocks(thread->tstate, &thread->blocks, &walk.blocks);
    if (view_blocks(thread, &walk.blocks, obstacle)) {
        return;
    }
    bool whole = walk_region(&walk);
    if (!whole && obstacle->kind == INTERRUPTION_NOTHING) {
        obstacle->kind = walk.unknown ? INTERRUPTION_NOT_ANALYSED : INTERRUPTION_IN_STATEMENT;
    }
    else if (whole && !walk.programs) {
        obstacle->kind = INTERRUPTION_PACKAGES_OWN;
        Py_CLEAR(obstacle->code);
        obstacle->lasti = -1;
    }
}

/* Blocking calls. ----------------------------------------------------------------------------- */

static bool
is_cleaning_up(const frame_view *at)
{
    if (at->since < 0 && interruption_is_wrapper(at->code) && !interruption_is_entering(at->code)) {
        return true;
    }
    interruption_cleanup in = interruption_safepoint_cleanup(at->points, at->lasti, at->since);
    if (in == INTERRUPTION_IN_WITH_ENTRY) {
        /* The `with` itself may be in a cleanup. */
        in = interruption_safepoint_cleanup_outside(at->points, at->lasti, at->since);
    }
    return in != INTERRUPTION_IN_NOTHING && in != INTERRUPTION_IN_WITH_ENTRY;
}

static bool
see_wait(void *arg, const frame_view *at)
{
    interruption_wait_view *view = arg;
    interruption_makers_check(at->maker);
    interruption_making making =
        interruption_what_it_makes(at->state, at->maker, at->frame, at->code);
    view->open = !swallows(at) && making != INTERRUPTION_MAKES;
    view->cleanup = view->cleanup || making == INTERRUPTION_CLEANS || is_cleaning_up(at);
    view->gives = view->gives || making == INTERRUPTION_GIVES;
    view->breaks = view->breaks || making == INTERRUPTION_BREAKS;
    view->importing = view->importing || interruption_is_import_machinery(at->code);
    return !view->open || making == INTERRUPTION_BEGINS;
}

void
interruption_view_waits(interruption_state *state, interruption_thread *thread,
                        interruption_wait_view *view)
{
    *view = (interruption_wait_view){.open = false};
    region_walk walk = {
        .state = state, .thread = thread, .analyses = true, .see = see_wait, .arg = view};
    interruption_view *blocks = &walk.blocks;
    interruption_view_blocks(thread->tstate, &thread->blocks, blocks);
    if (blocks->regions == 0 || blocks->shields > 0 || !blocks->waits ||
        (atomic_load_explicit(&thread->switches, memory_order_relaxed) & INTERRUPTION_NO_WAITS) ||
        thread->tstate->tracing > 0) {
        return; /* what a trace function raises comes up in what it traces */
    }
    view->open = true;
    view->cleanup = interruption_statements_are_refused(); /* whether it is, cannot be told then */
    if (!walk_region(&walk) || !walk.programs) {
        *view = (interruption_wait_view){.open = false}; /* no memory: it waits as it always did */
    }
}
