/*
 * What is known of the value stack before an instruction, for safepoints.c: the kind of each slot,
 * and the handlers that are at work. Only the first 64 slots are told apart; those above count as
 * results.
 */
#ifndef MOD_STACK_H
#define MOD_STACK_H

#include "safepoints/bytecode.h"

#define MOD_SLOTS 64

/* Bits of a slot. None: a result, which may have to be given back. */
enum {
    SLOT_BLOCK = 1,    /* a block keeps it: an iterator, an exit, an exception being handled */
    SLOT_HARMLESS = 2, /* it was there before, or was made of such */
    SLOT_EXIT = 4,     /* the exit of a `with` */
    SLOT_ENTERED = 8,  /* of one that has been entered */
    SLOT_KINDS = 4,
};

typedef struct {
    uint64_t slots[SLOT_KINDS]; /* a bit of a slot's each; the lowest is the bottom of the stack */
    int depth;                  /* -1: not reached yet */
    int chain;                  /* the handlers at work: a number that safepoints.c gives */
} mod_stack;

/* The bits of the lowest `depth` slots. */
static inline uint64_t
mod_slots_below(int depth)
{
    return depth >= MOD_SLOTS ? UINT64_MAX : (UINT64_C(1) << depth) - 1;
}

/* Slots of kind 1 << which. */
#define STACK_BLOCKS(stack) ((stack)->slots[0])
#define STACK_HARMLESS(stack) ((stack)->slots[1])
#define STACK_EXITS(stack) ((stack)->slots[2])
#define STACK_ENTERED(stack) ((stack)->slots[3])

/* Each returns false if the stack cannot be like that. */
bool mod_stack_push(mod_stack *stack, int count, unsigned kind);
bool mod_stack_cut(mod_stack *stack, int depth);

/* The stack after an instruction, if it does not jump, but for its chain. */
bool mod_stack_step(mod_stack *stack, const mod_instruction *instruction);

/* The same, if it does jump. */
bool mod_stack_jump(mod_stack *stack, const mod_instruction *instruction);

/* Two ways lead to one instruction: keep what holds for both. 1: `into` has changed, 0: it has not,
 * -1: they do not fit. */
int mod_stack_merge(mod_stack *into, const mod_stack *from);

#endif
