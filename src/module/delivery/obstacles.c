/* See obstacles.h. */
#include "delivery/obstacles.h"

#include "safepoints/callbacks.h"
#include "safepoints/code.h"
#include "cpython/compat.h"
#include "safepoints/installed.h"
#include "safepoints/protected.h"
#include "safepoints/self_test.h"

/* One frame. ---------------------------------------------------------------------------------- */

typedef struct {
    PyFrameObject *frame;
    PyCodeObject *code;
    const interruption_points *points;
    interruption_making making; /* what the standard library is in the midst of there */
    int lasti;
    int since; /* where the region was entered, if by this frame; else -1 */
    bool innermost;
    bool above_c; /* C code has called what is above it */
} look;

/* The cleanup that the frame is in, or 0. Leaving a shield is in its own exit, which does not
   count. */
static int
cleanup_of(const look *at, interruption_point point)
{
    if (at->innermost && point.moment == INTERRUPTION_AT_EXIT) {
        return interruption_point_cleanup_outside(at->points, at->lasti, at->since, NULL);
    }
    int cleanup = interruption_point_cleanup(at->points, at->lasti, at->since, NULL);
    if (cleanup == 0 && at->innermost && point.moment == INTERRUPTION_AT_JUMP) {
        /* 3.12 raises at the end of the jump, the others at its beginning. */
        cleanup = interruption_point_cleanup(at->points, point.destination, at->since, NULL);
    }
    return cleanup;
}

/* Is the innermost frame between two statements? */
static bool
between_statements(const look *at, interruption_point point)
{
    unsigned flags = interruption_point_flags(at->points, at->lasti);
    switch (point.moment) {
    case INTERRUPTION_AT_LINE:
        /* Up to 3.11 a jump back is told as the line that it goes to. */
        return (flags & (INTERRUPTION_POINT_STATEMENT | INTERRUPTION_POINT_LOOP)) &&
               !(flags & INTERRUPTION_POINT_GAP);
    case INTERRUPTION_AT_JUMP:
        return (flags & INTERRUPTION_POINT_LOOP) &&
               !(interruption_point_flags(at->points, point.destination) & INTERRUPTION_POINT_GAP);
    case INTERRUPTION_AT_HEAD:
        return (flags & INTERRUPTION_POINT_HEAD) && !(flags & INTERRUPTION_POINT_GAP);
    default:
        return true;
    }
}

/* Would what is raised in this frame, or in what it has called, come to nothing, or where nobody
   expects it? It is a callback, or what is above was not called by what it does. */
static bool
swallows(const look *at)
{
    if (at->above_c && !interruption_statements_are_refused() &&
        !(interruption_point_flags(at->points, at->lasti) & INTERRUPTION_POINT_CALLS)) {
        return true;
    }
    return at->since < 0 && interruption_is_callback(at->frame, at->code);
}

static bool
blocks_here(interruption_state *state, const look *at, interruption_point point,
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
    else if (at->making == INTERRUPTION_CLEANS) {
        obstacle->kind = INTERRUPTION_SWALLOWED;
    }
    else if (at->making == INTERRUPTION_MAKES ||
             (at->innermost && interruption_is_protected_frame(state, at->frame, at->code))) {
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

/* All frames. --------------------------------------------------------------------------------- */

static bool
frame_blocks(interruption_state *state, const interruption_view *view, look *at,
             interruption_point point, interruption_obstacle *obstacle)
{
    at->lasti = PyFrame_GetLasti(at->frame);
    at->since = interruption_is_frame_of(view->region, at->frame) ? view->region->lasti : -1;
    const interruption_code *known = interruption_code_of(at->code);
    if (known == NULL) {
        PyErr_Clear(); /* no memory: not here, then */
        obstacle->kind = INTERRUPTION_IN_STATEMENT;
        return true;
    }
    at->points = known->points;
    at->making = interruption_what_it_makes(state, known->maker, at->frame, at->code);
    return blocks_here(state, at, point, obstacle);
}

static void
step_outwards(look *at, bool *lost)
{
    at->innermost = false;
    at->above_c = interruption_frame_is_called_by_c(at->frame);
    at->frame = interruption_frame_back(at->frame, lost);
}

/* Does any frame of the region forbid it? Innermost first; the region's own frame is the last. */
static bool
frames_block(interruption_state *state, PyThreadState *tstate, const interruption_view *view,
             interruption_point point, interruption_obstacle *obstacle)
{
    bool lost, blocked = false;
    look at = {.frame = interruption_frame_innermost(tstate, &lost), .innermost = true};
    if (point.moment == INTERRUPTION_AT_CALLER && at.frame != NULL) {
        at.frame = interruption_frame_back(at.frame, &lost); /* is innermost then */
    }
    while (at.frame != NULL && !blocked) {
        at.code = PyFrame_GetCode(at.frame);
        blocked = frame_blocks(state, view, &at, point, obstacle);
        bool last = interruption_is_frame_of(view->region, at.frame);
        if (blocked) {
            obstacle->code = (PyCodeObject *)Py_NewRef((PyObject *)at.code);
            obstacle->lasti = at.lasti;
        }
        Py_DECREF(at.code);
        if (last || at.making == INTERRUPTION_BEGINS) {
            break;
        }
        step_outwards(&at, &lost);
    }
    Py_XDECREF(at.frame);
    if (lost) {
        obstacle->kind = INTERRUPTION_IN_STATEMENT; /* no memory: not here, then */
    }
    return blocked || lost;
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
    else if (!interruption_held_is_whole(&thread->held)) {
        obstacle->kind = INTERRUPTION_LOCKS_UNKNOWN;
        place_of_block(view->region, obstacle);
    }
    else {
        return false;
    }
    return true;
}

/* Is code of the program's called in that region, which is for nothing else? What an installed
   package does in a thread of its own is left alone (S30). */
static bool
program_runs(interruption_state *state, PyThreadState *tstate, const interruption_block *region)
{
    bool lost, found = false;
    PyFrameObject *frame = interruption_frame_innermost(tstate, &lost);
    while (frame != NULL && !found && !interruption_is_frame_of(region, frame)) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        found = interruption_is_programs_frame(state, frame, code);
        Py_DECREF(code);
        frame = interruption_frame_back(frame, &lost);
    }
    Py_XDECREF(frame);
    return found;
}

static bool
is_packages_own(interruption_state *state, PyThreadState *tstate, const interruption_view *view)
{
    return (view->region->kind & INTERRUPTION_BLOCK_PROGRAM) &&
           !program_runs(state, tstate, view->region);
}

void
interruption_look_for_obstacle(interruption_state *state, interruption_thread *thread,
                               interruption_point point, interruption_obstacle *obstacle)
{
    *obstacle = (interruption_obstacle){.kind = INTERRUPTION_NOTHING, .lasti = -1};
    interruption_view view;
    interruption_look_at_blocks(thread->tstate, &thread->blocks, &view);
    if (view_blocks(thread, &view, obstacle)) {
        return;
    }
    if (is_packages_own(state, thread->tstate, &view)) {
        obstacle->kind = INTERRUPTION_PACKAGES_OWN;
    }
    else {
        (void)frames_block(state, thread->tstate, &view, point, obstacle);
    }
}

/* Blocking calls. ----------------------------------------------------------------------------- */

static bool
is_cleaning_up(const look *at)
{
    if (at->since < 0 && interruption_is_wrapper(at->code) && !interruption_is_entering(at->code)) {
        return true;
    }
    interruption_cleanup in = interruption_point_cleanup(at->points, at->lasti, at->since, NULL);
    if (in == INTERRUPTION_IN_WITH_ENTRY) {
        /* The `with` itself may be in a cleanup. */
        in = interruption_point_cleanup_outside(at->points, at->lasti, at->since, NULL);
    }
    return in != INTERRUPTION_IN_NOTHING && in != INTERRUPTION_IN_WITH_ENTRY;
}

static void
look_at_frame_for_waits(interruption_state *state, look *at, const interruption_view *blocks,
                        interruption_wait_view *view)
{
    at->lasti = PyFrame_GetLasti(at->frame);
    at->since = interruption_is_frame_of(blocks->region, at->frame) ? blocks->region->lasti : -1;
    const interruption_code *known = interruption_code_of(at->code);
    if (known == NULL) {
        PyErr_Clear();
        view->open = false; /* no memory: the call waits as it always did */
        return;
    }
    at->points = known->points;
    interruption_makers_check(known->maker);
    at->making = interruption_what_it_makes(state, known->maker, at->frame, at->code);
    view->open = !swallows(at) && at->making != INTERRUPTION_MAKES;
    view->cleanup = view->cleanup || at->making == INTERRUPTION_CLEANS || is_cleaning_up(at);
    view->gives = view->gives || at->making == INTERRUPTION_GIVES;
    view->breaks = view->breaks || at->making == INTERRUPTION_BREAKS;
    view->importing = view->importing || interruption_is_import_machinery(at->code);
}

void
interruption_look_for_waits(interruption_state *state, interruption_thread *thread,
                            interruption_wait_view *view)
{
    *view = (interruption_wait_view){.open = false};
    interruption_view blocks;
    interruption_look_at_blocks(thread->tstate, &thread->blocks, &blocks);
    if (blocks.regions == 0 || blocks.shields > 0 || !blocks.waits ||
        (atomic_load_explicit(&thread->switches, memory_order_relaxed) & INTERRUPTION_NO_WAITS) ||
        thread->tstate->tracing > 0) {
        return; /* what a trace function raises comes up in what it traces */
    }
    if (is_packages_own(state, thread->tstate, &blocks)) {
        return;
    }
    view->open = true;
    view->cleanup = interruption_statements_are_refused(); /* whether it is, cannot be told then */
    bool lost;
    look at = {.frame = interruption_frame_innermost(thread->tstate, &lost), .innermost = true};
    while (at.frame != NULL && view->open) {
        at.code = PyFrame_GetCode(at.frame);
        look_at_frame_for_waits(state, &at, &blocks, view);
        bool last = interruption_is_frame_of(blocks.region, at.frame);
        Py_DECREF(at.code);
        if (last || at.making == INTERRUPTION_BEGINS) {
            break;
        }
        step_outwards(&at, &lost);
    }
    Py_XDECREF(at.frame);
    view->open = view->open && !lost; /* no memory: the call waits as it always did */
}
