/*
 * Follows a code object's instructions, for safepoints.c: what is on the value stack before each of
 * them, and which handlers are at work there.
 */
#ifndef MOD_FLOW_H
#define MOD_FLOW_H

#include "safepoints/stack.h"

/* A handler at work, and those at work below it. Number 0 stands for none. */
typedef struct {
    int parent;
    int handler; /* its first instruction */
    int base;    /* the depth of the stack below what it handles */
    int kind;    /* for safepoints.c: its mod_cleanup */
    int bit;     /* for safepoints.c: of a `finally`, its bit */
} mod_chain;

typedef struct {
    mod_bytecode bytecode;
    mod_stack *stacks; /* by instruction: before it; depth -1 if it is never reached */
    int *guards;       /* by range: see mod_follow_guard; -1: nothing handles it */
    mod_chain *chains;
    int chain_count;
} mod_flow;

/* 1: done. 0: this cannot be understood. -1: no memory (no exception is set). In each case `free`
 * is to be called. */
int mod_follow(mod_flow *flow, PyCodeObject *code);
void mod_follow_free(mod_flow *flow);

/* To what depth the stack is kept, at least, until code of the program's handles an exception that
 * this instruction raises: the exits of `with` above are not called. */
int mod_follow_guard(const mod_flow *flow, int instruction);

/* Is there such code at all, or is the instruction part of some? */
bool mod_follow_is_handled(const mod_flow *flow, int instruction);

#endif
