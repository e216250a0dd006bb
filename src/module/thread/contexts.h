/*
 * Where the blocks of a thread are kept, for regions.c. A *context* holds those of one who can be
 * suspended while the thread runs on: of a generator or coroutine, or of a greenlet.
 *
 * What names it, its key, is the address of something that it alone has: a generator's frame; the
 * place where a compiled generator keeps the exceptions that it handles; the stack on which a
 * greenlet's frames lie. All is the owner's; another thread looks only while the owner cannot run.
 */
#ifndef MOD_CONTEXTS_H
#define MOD_CONTEXTS_H

#include "cpython/frame.h"

/* What a block is: bits; a plain region has none. */
enum {
    MOD_BLOCK_SHIELD = 1U << 0,        /* else a region, */
    MOD_BLOCK_NO_STATEMENTS = 1U << 1, /* with async_interrupt=False, */
    MOD_BLOCK_NO_WAITS = 1U << 2,      /* with io_interrupt=False */
    MOD_BLOCK_PROGRAM = 1U << 3,       /* only while code of the program's is called in it */
    MOD_BLOCK_SCOPE = 1U << 4,         /* of a level of its own: a scope, */
    /* in whose run a scope around it has been stopped, or the thread: it is being left for that. */
    MOD_BLOCK_PASSED_BY_SCOPE = 1U << 5,
    MOD_BLOCK_PASSED_BY_THREAD = 1U << 6,
};

typedef struct {
    PyObject *object;   /* what was entered; strong */
    PyCodeObject *code; /* where it was entered: strong, */
    int lasti;          /* and the place in it */
    uint8_t kind;
    bool loose; /* entered by a wrapper's __enter__, so not by the frame whose block it is */
    union {
        void *frame;         /* the frame that entered it: an address */
        PyFrameObject *base; /* if loose: the frame whose block it is, or NULL; strong */
    };
    /* Of scopes only: */
    uint64_t number;  /* see itr_enter_scope */
    uint64_t entered; /* see mod_lockset_enter_scope */
} mod_block;

typedef struct mod_context {
    struct mod_context *next; /* with the same hash */
    PyFrameObject *owner;     /* the generator's frame; strong. NULL: it has none */
    const void *key;          /* see above */
    mod_block *blocks;        /* outermost first */
    uint32_t count;
    uint32_t capacity;
    uint32_t regions; /* how many of the blocks are regions, shields, ... */
    uint32_t shields;
    uint32_t no_statements;
    uint32_t no_waits;
} mod_context;

typedef struct {
    mod_context own;       /* blocks of no generator, on one stack: nearly always the
                                       thread's only one */
    mod_context **buckets; /* the others, by key */
    uint32_t bucket_count; /* a power of two, or 0 */
    uint32_t others;       /* how many there are */
    uint32_t left;         /* how many own blocks were left since they were swept */
    uint32_t regions;      /* in all contexts together */
    uint32_t scopes;       /* the same: how many of the blocks are scopes */
    uint64_t open_from;    /* what itr_open_from has been told */
    bool
        several; /* blocks have been entered on several stacks, or while on another than `own` is */
    bool unusual; /* that, or there are scopes: then update_record is not enough */
    bool open;    /* whether ITR_CANCELABLE is set */
} mod_blocks;

/* The context with that key, or NULL; not `own`, which is asked for by nobody's key. */
mod_context *mod_context_of(const mod_blocks *blocks, const void *key);

/* The same, made if need be. `owner`: the generator's frame, or NULL. NULL with MemoryError set. */
mod_context *mod_make_context(mod_blocks *blocks, const void *key, PyFrameObject *owner);

/* Free a context that has no blocks, unless it is `own`. */
void mod_drop_empty(mod_blocks *blocks, mod_context *context);

/* Take the contexts of generators that are gone without having left (they were destroyed where
   nothing of theirs could run, or finished in another thread) out of the table, into a list. */
mod_context *mod_take_finished(mod_blocks *blocks);

/* For each context that has regions, but `own` while that is in force: its frames are on the stack.
   By the owner, or while the owner cannot run. */
void mod_visit_contexts(PyThreadState *tstate, const mod_blocks *blocks,
                        void (*visit)(const mod_context *context, void *arg), void *arg);

/* For each block that is a scope's. The owner can run no more, or is the caller. */
void mod_visit_scopes(const mod_blocks *blocks, void (*visit)(PyObject *scope, uintptr_t thread_id),
                      uintptr_t thread_id);

/* Free such a list, or drop what a block holds. Runs other people's code. */
void mod_free_contexts(mod_context *list);
void mod_drop_block(const mod_block *block);

#endif
