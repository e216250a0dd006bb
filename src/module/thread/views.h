/*
 * What is in force of a thread's blocks at a moment, and for whom: of all blocks, or only of those
 * that are inside of a scope. A request looks only at what is inside of its level (S24).
 */
#ifndef MOD_VIEWS_H
#define MOD_VIEWS_H

#include "itr_record.h"
#include "thread/contexts.h"

/* What is in force at a moment. */
typedef struct {
    uint32_t regions;
    uint32_t shields;
    bool statements; /* no region in force has switched them off */
    bool waits;
    const mod_block *region; /* the outermost region in force, or NULL */
    const mod_block *shield; /* the outermost shield in force, or NULL */
} mod_view;

/* Whose request: the thread's own, or that of a scope which is in force. Good while the block is.
 */
typedef struct {
    uint64_t number; /* ITR_THREAD, or the scope's */
    uint32_t depth;  /* 0; or where its block is in the context of the stack that runs, from 1 on */
} mod_level;

#define MOD_THREAD_LEVEL ((mod_level){ITR_THREAD, 0})

/* By the owner, or while the owner cannot run, as all that follows, but what writes. The next level
   inwards; false: there is none. Scopes of greenlets that are suspended are not in force. */
bool mod_next_level(PyThreadState *tstate, const mod_blocks *blocks, mod_level *level);

/* The block of the level's scope; of the thread's own NULL. */
mod_block *mod_block_of_level(PyThreadState *tstate, const mod_blocks *blocks, mod_level level);

/* The object of that block; of the thread's own NULL. */
static inline PyObject *
mod_scope_of_level(PyThreadState *tstate, const mod_blocks *blocks, mod_level level)
{
    const mod_block *block = mod_block_of_level(tstate, blocks, level);
    return block == NULL ? NULL : block->object;
}

/* The same, its number for mod_holds_lock. */
static inline uint64_t
mod_entered_of_level(PyThreadState *tstate, const mod_blocks *blocks, mod_level level)
{
    const mod_block *block = mod_block_of_level(tstate, blocks, level);
    return block == NULL ? 0 : block->entered;
}

/* Owner, on one stack: that of the innermost scope, or 0. */
uint64_t mod_entered_of_innermost(const mod_blocks *blocks);

/* What has been asked of the level: its flags. */
static inline uint32_t
mod_level_flags(const mod_blocks *blocks, itr_record *record, mod_level level)
{
    return blocks->scopes == 0 ? itr_flags(record) : itr_level_flags(record, level.number);
}

/* The outermost level whose request waits, or the innermost; the thread's own if none does. */
mod_level mod_find_pending(PyThreadState *tstate, const mod_blocks *blocks, itr_record *record,
                           bool innermost);

/* What is in force now, inside of the level. */
void mod_view_level(PyThreadState *tstate, const mod_blocks *blocks, mod_level level,
                    mod_view *view);

static inline void
mod_view_blocks(PyThreadState *tstate, const mod_blocks *blocks, mod_view *view)
{
    mod_view_level(tstate, blocks, MOD_THREAD_LEVEL, view);
}

/* Is the block's frame this one? */
bool mod_is_frame_of(const mod_block *block, PyFrameObject *frame);

/* Where no region is in force: one that is not because who entered it is suspended, or NULL. By the
   owner, or while the owner cannot run. */
const mod_block *mod_suspended_region(PyThreadState *tstate, const mod_blocks *blocks);

/* The context of the stack that the calling thread is on, or NULL. */
const mod_context *mod_context_of_stack(PyThreadState *tstate, const mod_blocks *blocks);

/*
 * Owner. An exception leaves that object's block. The innermost one that is inside of it and was
 * entered by the same frame, which has lost it: what a signal handler raises just behind an
 * `__enter__` comes before the `with` (gh-148874). A new reference, or NULL.
 */
PyObject *mod_lost_block(PyThreadState *tstate, const mod_blocks *blocks, const PyObject *object);

/* Owner. Tell the record which levels let requests in, as far as its own blocks say. Returns its
   flags: but for those of requests, of before that. */
uint32_t mod_tell_levels(mod_blocks *blocks, itr_record *record);

/* Owner. What the thread, or a scope, was stopped for has been forgotten: the scopes that it is in
   are not left for that any more. */
void mod_forget_passed(mod_blocks *blocks);

#endif
