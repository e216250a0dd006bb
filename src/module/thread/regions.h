/*
 * The blocks that a thread is in: regions (`allow_interruption`) and shields
 * (`defer_interruption`) (S8, S12, S14, S21).
 *
 * A block is in force from its entry to its exit, but one that was entered by a generator,
 * coroutine or greenlet only while that runs: such blocks are kept apart, in a *context* each. All
 * is the owner's; another thread looks only while the owner cannot run.
 */
#ifndef MOD_REGIONS_H
#define MOD_REGIONS_H

#include "thread/contexts.h"
#include "itr_record.h"

/* What is in force at a moment. */
typedef struct {
    uint32_t regions;
    uint32_t shields;
    bool statements; /* no region in force has switched them off */
    bool waits;
    const mod_block *region; /* the outermost region in force, or NULL */
    const mod_block *shield; /* the outermost shield in force, or NULL */
} mod_view;

/*
 * Owner. Enter that object's block; tell the record. Returns the record's flags of before that, or
 * -1 with MemoryError set and nothing changed.
 */
int64_t mod_enter_block(PyThreadState *tstate, mod_blocks *blocks, itr_record *record,
                        PyObject *object, uint8_t kind);

/*
 * Owner. Leave the innermost block, which must be that object's; tell the record. Returns the
 * record's flags of before that, or -1 with RuntimeError set and nothing changed.
 */
int64_t mod_leave_block(PyThreadState *tstate, mod_blocks *blocks, itr_record *record,
                        PyObject *object);

/* What is in force now. By the owner, or while the owner cannot run. */
void mod_view_blocks(PyThreadState *tstate, const mod_blocks *blocks, mod_view *view);

/* Is the block's frame this one? */
bool mod_is_frame_of(const mod_block *block, PyFrameObject *frame);

/* For each context that has regions, but `own` while that is in force: its frames are on the stack.
   By the owner, or while the owner cannot run. */
void mod_visit_contexts(PyThreadState *tstate, const mod_blocks *blocks,
                        void (*visit)(const mod_context *context, void *arg), void *arg);

/* The outermost region of those that are not in force, because who entered it is suspended; or
   NULL. By the owner, or while the owner cannot run. */
const mod_block *mod_suspended_region(PyThreadState *tstate, const mod_blocks *blocks);

/* Let go of all. The owner can run no more, or is the caller. */
void mod_drop_blocks(mod_blocks *blocks);

/* Is the code a wrapper's: does a frame of it enter or leave blocks for another frame? */
bool mod_is_wrapper(const PyCodeObject *code);

/* Of a wrapper's: does it enter them? */
bool mod_is_entering(const PyCodeObject *code);

/* The names that wrappers have. 0, or -1 with MemoryError set. */
int mod_regions_init(void);

#endif
