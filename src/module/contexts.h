/*
 * Where the blocks of a thread are kept: regions.c's. A *context* holds those of one who can be
 * suspended while the thread runs on: of a generator or coroutine, or of a greenlet.
 *
 * What names it, its key, is the address of something that it alone has: a generator's frame; the
 * place where a compiled generator keeps the exceptions that it handles; the stack on which a
 * greenlet's frames lie. All is the owner's; another thread looks only while the owner cannot run.
 */
#ifndef INTERRUPTION_CONTEXTS_H
#define INTERRUPTION_CONTEXTS_H

#include "regions.h"

/* The context with that key, or NULL; not `own`, which is asked for by nobody's key. */
interruption_context *interruption_context_of(const interruption_blocks *blocks, const void *key);

/* The same, made if need be. `owner`: the generator's frame, or NULL. NULL with MemoryError set. */
interruption_context *interruption_make_context(interruption_blocks *blocks, const void *key,
                                                PyFrameObject *owner);

/* Free a context that has no blocks, unless it is `own`. */
void interruption_drop_empty(interruption_blocks *blocks, interruption_context *context);

/* Take the contexts of generators that are gone without having left (they were destroyed where
   nothing of theirs could run, or finished in another thread) out of the table, into a list. */
interruption_context *interruption_take_finished(interruption_blocks *blocks);

/* Free such a list, or drop what a block holds. Runs other people's code. */
void interruption_free_contexts(interruption_context *list);
void interruption_drop_block(const interruption_block *block);

#endif
