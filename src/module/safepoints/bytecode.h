/*
 * A code object, taken apart: its instructions, what each does to the value stack, and what its
 * exception table covers. All that depends on the bytecode of a version is in bytecode.c, behind
 * these names; safepoints.c, which calls it, knows no opcode. Nothing here runs Python code.
 */
#ifndef MOD_BYTECODE_H
#define MOD_BYTECODE_H

#include "state.h"

#include <stdbool.h>
#include <stdint.h>

/* What an instruction does, as far as it matters for what is on the stack. `effect` and `results`
 * are its numbers: it takes `results - effect` values and pushes `results`. */
typedef enum {
    ACTION_UNKNOWN, /* of a version that these tables do not know */
    ACTION_PLAIN,   /* leaves the stack alone */
    ACTION_GAP,     /* the same; what a compiler leaves of `try:` itself */
    ACTION_TAKE,    /* only takes */
    ACTION_LOAD,    /* pushes what there was already: a name's value, a constant */
    ACTION_BUILD,   /* makes its result of its operands and nothing else */
    ACTION_RESULT,  /* computes: a call, an operator */
    ACTION_PEEK,    /* computes, and leaves its operands where they are */
    ACTION_ADD,     /* takes, into the container that is `oparg` deep then */
    ACTION_RENEW,   /* takes a value and loads one */
    ACTION_COPY,
    ACTION_SWAP,
    ACTION_ITERATOR,        /* takes a value, pushes an iterator of it */
    ACTION_NEXT,            /* FOR_ITER */
    ACTION_SEND,            /* SEND */
    ACTION_JUMP,            /* always */
    ACTION_BRANCH,          /* takes a value, jumps or goes on */
    ACTION_BRANCH_OR_TAKE,  /* jumps, or takes a value and goes on */
    ACTION_LEAVE,           /* the frame, or by an exception */
    ACTION_ENTER_WITH,      /* takes a manager, pushes its exit and what its entry returns */
    ACTION_LOAD_EXIT,       /* takes a manager, pushes its exit */
    ACTION_HANDLER,         /* PUSH_EXC_INFO */
    ACTION_HANDLED,         /* POP_EXCEPT */
    ACTION_MATCH_EXCEPTION, /* CHECK_EXC_MATCH */
    ACTION_MATCH_GROUP,     /* CHECK_EG_MATCH */
    ACTION_EXIT_WITH,       /* WITH_EXCEPT_START */
    ACTION_DISCARD,         /* POP_TOP; else as ACTION_TAKE */
} mod_action;

typedef struct {
    int unit;   /* where it is, in code units; its caches follow */
    int oparg;  /* with what EXTENDED_ARGs before it added */
    int effect; /* on the depth of the stack, if it does not jump */
    int results;
    int target;     /* the number of the instruction that it may jump to, or -1 */
    int range;      /* the number of the range that covers it, or -1 */
    int line;       /* -1: none */
    uint8_t action; /* mod_action */
    bool calls;     /* may run Python code because of what it is, not behind the program's back */
    bool yields;    /* the frame is suspended there */
    bool delegates; /* part of `yield from` or `await`: another one runs for the frame there */
} mod_instruction;

/* An entry of the exception table. */
typedef struct {
    int first;   /* instruction */
    int handler; /* instruction */
    int depth;   /* to which the stack is cut, before the exception is pushed */
    bool lasti;  /* where it happened is pushed as well, first */
} mod_range;

typedef struct {
    mod_instruction *instructions;
    int count;
    mod_range *ranges;
    int range_count;
    int *at; /* unit -> number of the instruction; a cache's is its owner's */
    int units;
} mod_bytecode;

/* How many slots of the stack the exit of a `with` takes: from 3.14 the method and its object, as
   LOAD_SPECIAL leaves them (gh-120507). */
#if PY_VERSION_HEX >= 0x030E0000
#define MOD_EXIT_SLOTS 2
#else
#define MOD_EXIT_SLOTS 1
#endif
/* Of several releases from 3.12 on, an exception that a JUMP event's callback raises leaves the
 * frame at once, past all of its handlers: what jumps computes where it was raised from a pointer
 * that is NULL by then (gh-152375; mended in 3.13.15, 3.14.7 and 3.15.0b4). What is compiled
 * for one release of a version runs on all of them.
 */
#define MOD_JUMPS_IGNORE_HANDLERS (PY_VERSION_HEX >= 0x030C0000)
/* What a loop and an `await` leave on the stack when they jump, relative to before. From 3.12 on an
 * instruction at the jump's destination cleans up, as END_SEND (gh-103082). */
#if PY_VERSION_HEX >= 0x030C0000
#define MOD_EXHAUSTED_EFFECT 1
#define MOD_SENT_EFFECT 0
#else
#define MOD_EXHAUSTED_EFFECT (-1)
#define MOD_SENT_EFFECT (-1)
#endif

/*
 * Take it apart. 1: done. 0: this is no code that a compiler of this version made. -1: no memory
 * (no exception is set). In each case `free` is to be called.
 */
int mod_bytecode_read(mod_bytecode *bytecode, PyCodeObject *code);
void mod_bytecode_free(mod_bytecode *bytecode);

#endif
