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

#include "thread/views.h"

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

/*
 * Owner. The same for a scope, which is a region of a level of its own: of that number, with that
 * deadline (the caller sees to itr_watch_deadline), and with an
 * object that stands for this block alone. `entered`: see mod_lockset_enter_scope. RuntimeError: it
 * would be a generator's or coroutine's.
 */
int64_t mod_enter_scope(PyThreadState *tstate, mod_blocks *blocks, itr_record *record,
                        PyObject *object, uint64_t number, itr_deadline deadline, uint64_t entered);

typedef struct {
    bool expired; /* its deadline has: the caller's to say */
    bool asked;   /* somebody has asked the scope */
    bool ends; /* the exception that leaves it goes no further: it was raised for what the scope was
                  asked, and for nothing else. By its mark (marks.h), never by its class */
} mod_left;

/* `exception` (or NULL) leaves it. */
int64_t mod_leave_scope(PyThreadState *tstate, mod_blocks *blocks, itr_record *record,
                        PyObject *object, PyObject *exception, mod_left *left);

/* Let go of all. The owner can run no more, or is the caller. */
void mod_drop_blocks(mod_blocks *blocks);

#endif
