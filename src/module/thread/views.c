/* See views.h. */
#include "thread/views.h"

/* The context of the stack that the calling thread is on, or NULL. */
const mod_context *
mod_context_of_stack(PyThreadState *tstate, const mod_blocks *blocks)
{
    const void *stack = mod_stack_now(tstate);
    if (blocks->own.key == stack || blocks->own.key == NULL) {
        return &blocks->own;
    }
    return mod_context_of(blocks, stack);
}

/* Looking. ------------------------------------------------------------------------------------ */

bool
mod_is_frame_of(const mod_block *block, PyFrameObject *frame)
{
    if (block->loose || block->frame != mod_frame_address(frame)) {
        return block->loose && block->base == frame;
    }
    /* One that has not left what it entered may be gone, and another be where it was. */
    PyCodeObject *code = PyFrame_GetCode(frame);
    Py_DECREF(code);
    return code == block->code;
}

static const mod_block *
outermost(const mod_context *context, bool shield)
{
    uint32_t i = 0;
    while (((context->blocks[i].kind & MOD_BLOCK_SHIELD) != 0) != shield) {
        i++;
    }
    return &context->blocks[i];
}

/* All of a context's blocks. */
static void
add_to_view(mod_view *view, const mod_context *context)
{
    view->regions += context->regions;
    view->shields += context->shields;
    view->statements = view->statements && context->no_statements == 0;
    view->waits = view->waits && context->no_waits == 0;
    if (context->regions > 0) {
        view->region = outermost(context, false);
    }
    if (context->shields > 0) {
        view->shield = outermost(context, true);
    }
}

/* Of a context's blocks those from that one on, a scope. */
static void
add_scope(mod_view *view, const mod_context *context, const mod_block *scope)
{
    view->region = scope;
    for (const mod_block *at = scope; at < &context->blocks[context->count]; at++) {
        bool shield = at->kind & MOD_BLOCK_SHIELD;
        view->regions += !shield;
        view->shields += shield;
        view->shield = shield && view->shield == NULL ? at : view->shield;
        view->statements = view->statements && !(at->kind & MOD_BLOCK_NO_STATEMENTS);
        view->waits = view->waits && !(at->kind & MOD_BLOCK_NO_WAITS);
    }
}

/* What is in force of the level, of the context of the stack that runs. */
static void
add_own(mod_view *view, const mod_context *own, mod_level level)
{
    if (level.depth == 0) {
        add_to_view(view, own);
    }
    else {
        add_scope(view, own, &own->blocks[level.depth - 1]);
    }
}

/* The context of the innermost compiled generator that runs, from `*running` outwards, and has one;
   or NULL. */
static const mod_context *
next_compiled(PyThreadState *tstate, const mod_blocks *blocks, const void **running)
{
    const mod_context *context = NULL;
    while (*running != NULL && context == NULL) {
        context = mod_context_of(blocks, *running);
        *running = mod_generator_below(tstate, *running);
    }
    return context;
}

/* Inwards to outwards, so that the outermost is what stays. What has no frame of its own is where
   the frame is that was the innermost when it entered its outermost block; if that is no more, it
   is taken for the outermost of all. What is outside of a scope is not its level's. False: there
   was no memory to look at all frames. */
static bool
add_contexts(PyThreadState *tstate, const mod_blocks *blocks, const mod_context *own,
             mod_level level, mod_view *view)
{
    const mod_block *own_region = level.depth > 0                    ? &own->blocks[level.depth - 1]
                                  : own == NULL || own->regions == 0 ? NULL
                                                                     : outermost(own, false);
    bool scope_seen = false;
    const void *running = mod_generator_now(tstate);
    const mod_context *compiled = next_compiled(tstate, blocks, &running);
    mod_walk walk = mod_walk_begin(tstate);
    for (; walk.frame != NULL && !scope_seen; mod_walk_on(&walk)) {
        PyFrameObject *frame = walk.frame;
        const mod_context *context = mod_context_of(blocks, mod_frame_address(frame));
        if (context != NULL) {
            add_to_view(view, context);
        }
        while (compiled != NULL && mod_is_frame_of(&compiled->blocks[0], frame)) {
            add_to_view(view, compiled);
            compiled = next_compiled(tstate, blocks, &running);
        }
        if (own_region != NULL && mod_is_frame_of(own_region, frame)) {
            add_own(view, own, level);
            own = NULL;
            own_region = NULL;
            scope_seen = level.depth > 0;
        }
    }
    mod_walk_end(&walk);
    for (; compiled != NULL && !scope_seen; compiled = next_compiled(tstate, blocks, &running)) {
        add_to_view(view, compiled);
    }
    if (own != NULL) {
        add_own(view, own, level);
    }
    return !walk.lost;
}

void
mod_view_level(PyThreadState *tstate, const mod_blocks *blocks, mod_level level, mod_view *view)
{
    *view = (mod_view){.statements = true, .waits = true};
    const mod_context *own = mod_context_of_stack(tstate, blocks);
    if (blocks->others == 0) {
        if (own != NULL) {
            add_own(view, own, level);
        }
    }
    else if (!add_contexts(tstate, blocks, own, level, view)) {
        *view = (mod_view){.regions = 0}; /* a shield may be among those not seen */
    }
}

/* Looking for what is suspended. -------------------------------------------------------------- */

static void
note_region(const mod_context *context, void *arg)
{
    const mod_block **region = arg;
    *region = *region == NULL ? outermost(context, false) : *region;
}

const mod_block *
mod_suspended_region(PyThreadState *tstate, const mod_blocks *blocks)
{
    const mod_block *region = NULL;
    mod_visit_contexts(tstate, blocks, note_region, &region);
    return region;
}

/* Levels. ------------------------------------------------------------------------------------- */

bool
mod_next_level(PyThreadState *tstate, const mod_blocks *blocks, mod_level *level)
{
    if (blocks->scopes == 0) {
        return false;
    }
    const mod_context *own = mod_context_of_stack(tstate, blocks);
    for (uint32_t i = level->depth; own != NULL && i < own->count; i++) {
        if (own->blocks[i].kind & MOD_BLOCK_SCOPE) {
            *level = (mod_level){own->blocks[i].number, i + 1};
            return true;
        }
    }
    return false;
}

mod_level
mod_find_pending(PyThreadState *tstate, const mod_blocks *blocks, itr_record *record,
                 bool innermost)
{
    mod_level level = MOD_THREAD_LEVEL, found = level;
    bool any = false;
    do {
        if ((innermost || !any) && (mod_level_flags(blocks, record, level) & ITR_PENDING)) {
            found = level;
            any = true;
        }
    } while (mod_next_level(tstate, blocks, &level));
    return found;
}

mod_block *
mod_block_of_level(PyThreadState *tstate, const mod_blocks *blocks, mod_level level)
{
    const mod_context *own = level.depth == 0 ? NULL : mod_context_of_stack(tstate, blocks);
    return own == NULL ? NULL : &own->blocks[level.depth - 1];
}

uint64_t
mod_entered_of_innermost(const mod_blocks *blocks)
{
    const mod_context *own = &blocks->own;
    uint32_t i = blocks->scopes == 0 ? 0 : own->count;
    while (i > 0 && !(own->blocks[i - 1].kind & MOD_BLOCK_SCOPE)) {
        i--;
    }
    return i == 0 ? 0 : own->blocks[i - 1].entered;
}

uint32_t
mod_tell_levels(mod_blocks *blocks, itr_record *record)
{
    bool shielded = false, closed = false, open = false;
    uint64_t scope = ITR_NOBODY; /* the outermost of those that no shield is inside of */
    const mod_context *own = &blocks->own;
    for (uint32_t i = own->count; i-- > 0 && !shielded && !blocks->several;) {
        uint8_t kind = own->blocks[i].kind;
        shielded = kind & MOD_BLOCK_SHIELD;
        closed = closed || (kind & (MOD_BLOCK_SHIELD | MOD_BLOCK_NO_STATEMENTS));
        if (kind & MOD_BLOCK_SCOPE) {
            scope = own->blocks[i].number;
            open = open || !closed;
        }
    }
    open = open || (blocks->regions > 0 && !closed);
    uint32_t flags = itr_flags(record);
    /* Without scopes ITR_CANCELABLE says it all. */
    uint64_t from = shielded && blocks->scopes > 0 ? scope : ITR_THREAD;
    if (from != blocks->open_from) {
        blocks->open_from = from;
        flags = itr_open_from(record, from);
    }
    if (open != blocks->open) {
        blocks->open = open;
        flags = open ? itr_enable_cancel(record) : itr_disable_cancel(record);
    }
    return flags;
}

void
mod_forget_passed(mod_blocks *blocks)
{
    for (uint32_t i = 0; i < blocks->own.count && blocks->scopes > 0; i++) {
        blocks->own.blocks[i].kind &=
            (uint8_t)~(MOD_BLOCK_PASSED_BY_SCOPE | MOD_BLOCK_PASSED_BY_THREAD);
    }
}

PyObject *
mod_lost_block(PyThreadState *tstate, const mod_blocks *blocks, const PyObject *object)
{
    const mod_context *context = mod_context_of_stack(tstate, blocks);
    const void *frame = mod_frame_now(tstate);
    for (uint32_t i = context == NULL ? 0 : context->count; i-- > 0;) {
        const mod_block *block = &context->blocks[i];
        if (block->loose || block->frame != frame) {
            break;
        }
        if (block->object == object) {
            return i + 1 == context->count ? NULL
                                           : Py_NewRef(context->blocks[context->count - 1].object);
        }
    }
    return NULL;
}
