/*
 * At which instructions of a code object may an exception be raised in a frame of it without
 * anything leaking (S9)? Read off the code object once, by following what its instructions do to
 * the value stack and what its exception table covers. No Python code runs; whatever is not
 * understood is never a point. The result does not change, so it needs no guard.
 *
 * An instruction is given as its offset in bytes, as in f_lasti; its inline caches count as it.
 */
#ifndef MOD_SAFEPOINTS_H
#define MOD_SAFEPOINTS_H

#include "state.h"

#include <stdbool.h>

typedef struct mod_safepoints mod_safepoints;

enum {
    /* Between two statements: only what blocks keep is on the value stack, that is iterators of
       loops, exits of `with`, the exception that a handler handles. */
    MOD_SAFEPOINT_STATEMENT = 1,
    /* The jump back of a loop or where one goes to, also in a comprehension: nothing is on the
       value stack that came out of a call or another operation that may have had an effect, so what
       is dropped with the stack need not be given back. A callback of a JUMP event may raise, if
       both ends have it. (In 3.12 only outside of `try` and `with`: there the exception would pass
       their handlers by.) */
    MOD_SAFEPOINT_LOOP = 2,
    /* The instruction may run Python code because the program says so. A frame that is below
       another one and not at such an instruction was left behind its back: a signal handler, a
       __del__, a callback of a weak reference or of the garbage collector runs above it. (That may
       happen at an instruction with the flag, too.) */
    MOD_SAFEPOINT_CALLS = 4,
    /* The acquire-try gap: what is left of `try:` before that which it protects. */
    MOD_SAFEPOINT_GAP = 8,
    /* As LOOP, of where a jump back goes to only; also where a JUMP event may not raise. */
    MOD_SAFEPOINT_HEAD = 16,
    /* The entry of a `with` in whose block the frame is not suspended. */
    MOD_SAFEPOINT_NO_YIELD = 32,
    /* The frame is at a `yield from` or `await`. */
    MOD_SAFEPOINT_DELEGATES = 64,
};

/* What an instruction is within. */
typedef enum {
    MOD_IN_NOTHING, /* 0 */
    MOD_IN_FINALLY,
    MOD_IN_EXCEPT,
    MOD_IN_WITH_ENTRY,
    MOD_IN_WITH_EXIT,
    MOD_IN_UNKNOWN, /* nothing can be told about it: never a point */
} mod_cleanup;

/* Analyse it: a new object, NULL if there is no memory (no exception is set). */
mod_safepoints *mod_safepoints_new(PyCodeObject *code);
void mod_safepoints_free(mod_safepoints *points);

/* Is there a loop that can be left at its head, but not at its jump back? Compilers put that out of
   the reach of the handlers around the loop, or a JUMP event does: see bytecode.h. */
bool mod_safepoints_have_eventless_loops(const mod_safepoints *points);

/* MOD_SAFEPOINT_*, or 0. */
unsigned mod_safepoint_flags(const mod_safepoints *points, int lasti);

/*
 * The innermost cleanup that the instruction at `lasti` is within, but for that which the
 * instruction at `since` is within as well: one in which a region was entered does not close it.
 * since: -1 for none.
 */
mod_cleanup mod_safepoint_cleanup(const mod_safepoints *points, int lasti, int since);

/* The same, but for the entry or exit of the innermost `with` at `lasti`: for the frame whose own
 * `with` is being entered or left, by the manager that asks. */
mod_cleanup mod_safepoint_cleanup_outside(const mod_safepoints *points, int lasti, int since);

#endif
