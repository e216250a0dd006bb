/*
 * See stack.h.
 */
#include "safepoints/stack.h"

static unsigned
stack_get(const mod_stack *stack, int slot)
{
    unsigned kind = 0;
    for (int bit = 0; slot < MOD_SLOTS && bit < SLOT_KINDS; bit++) {
        kind |= (unsigned)(stack->slots[bit] >> slot & 1) << bit;
    }
    return kind;
}

/* Whoever cannot remember an exit must give up: false. */
static bool
stack_set(mod_stack *stack, int slot, unsigned kind)
{
    if (slot >= MOD_SLOTS) {
        return (kind & SLOT_EXIT) == 0;
    }
    for (int bit = 0; bit < SLOT_KINDS; bit++) {
        stack->slots[bit] &= ~(UINT64_C(1) << slot);
        stack->slots[bit] |= (uint64_t)(kind >> bit & 1) << slot;
    }
    return true;
}

bool
mod_stack_push(mod_stack *stack, int count, unsigned kind)
{
    bool fits = true;
    for (int i = 0; i < count; i++) {
        fits = stack_set(stack, stack->depth++, kind) && fits;
    }
    return fits;
}

bool
mod_stack_cut(mod_stack *stack, int depth)
{
    if (depth < 0 || depth > stack->depth) {
        return false;
    }
    for (int bit = 0; bit < SLOT_KINDS; bit++) {
        stack->slots[bit] &= mod_slots_below(depth);
    }
    stack->depth = depth;
    return true;
}

/* Are the uppermost `count` slots free of results? */
static bool
clear(const mod_stack *stack, int count)
{
    for (int i = 1; i <= count && i <= stack->depth; i++) {
        if ((stack_get(stack, stack->depth - i) & (SLOT_BLOCK | SLOT_HARMLESS)) == 0) {
            return false;
        }
    }
    return true;
}

static bool
replace(mod_stack *stack, int taken, int pushed, unsigned kind)
{
    return taken >= 0 && pushed >= 0 && mod_stack_cut(stack, stack->depth - taken) &&
           mod_stack_push(stack, pushed, kind);
}

/* `[a, *b, f()]` holds what it was given. A comprehension's list, which has the loop's iterator
 * above it, is one that its loop may be left with. */
static bool
stack_add(mod_stack *stack, const mod_instruction *instruction)
{
    bool harmless = clear(stack, -instruction->effect);
    if (!replace(stack, -instruction->effect, 0, 0) || instruction->oparg < 1 ||
        instruction->oparg > stack->depth) {
        return false;
    }
    return harmless || instruction->oparg > 1 || stack_set(stack, stack->depth - 1, 0);
}

static bool
swap(mod_stack *stack, int oparg)
{
    if (oparg < 1 || oparg > stack->depth) {
        return false;
    }
    unsigned top = stack_get(stack, stack->depth - 1),
             other = stack_get(stack, stack->depth - oparg);
    return stack_set(stack, stack->depth - 1, other) && stack_set(stack, stack->depth - oparg, top);
}

static bool
stack_copy(mod_stack *stack, int oparg)
{
    return oparg >= 1 && oparg <= stack->depth &&
           mod_stack_push(stack, 1, stack_get(stack, stack->depth - oparg));
}

bool
mod_stack_step(mod_stack *stack, const mod_instruction *instruction)
{
    int results = instruction->results, taken = results - instruction->effect;
    switch ((mod_action)instruction->action) {
    case ACTION_PLAIN:
    case ACTION_GAP:
    case ACTION_JUMP:
    case ACTION_LEAVE:
        return true;
    case ACTION_TAKE:
    case ACTION_DISCARD:
    case ACTION_RESULT:
        return replace(stack, taken, results, 0);
    case ACTION_LOAD:
        return replace(stack, taken, results, SLOT_HARMLESS);
    case ACTION_BUILD:
        return replace(stack, taken, results, clear(stack, taken) ? SLOT_HARMLESS : 0);
    case ACTION_PEEK:
    case ACTION_NEXT:
    case ACTION_EXIT_WITH:
        return mod_stack_push(stack, 1, 0);
    case ACTION_ADD:
        return stack_add(stack, instruction);
    case ACTION_RENEW:
        return replace(stack, 1, 1, SLOT_HARMLESS);
    case ACTION_COPY:
        return stack_copy(stack, instruction->oparg);
    case ACTION_SWAP:
        return swap(stack, instruction->oparg);
    case ACTION_ITERATOR:
        return replace(stack, 1, 1 + instruction->effect, SLOT_BLOCK);
    case ACTION_SEND:
    case ACTION_MATCH_EXCEPTION:
        return replace(stack, 1, 1, 0);
    case ACTION_BRANCH:
    case ACTION_BRANCH_OR_TAKE:
    case ACTION_HANDLED:
        return replace(stack, 1, 0, 0);
    case ACTION_ENTER_WITH:
        return replace(stack, 1, 1, SLOT_BLOCK | SLOT_EXIT) && mod_stack_push(stack, 1, 0);
    case ACTION_LOAD_EXIT:
        return replace(stack, 1, MOD_EXIT_SLOTS, SLOT_BLOCK | SLOT_EXIT);
    case ACTION_HANDLER:
        return replace(stack, 1, 2, SLOT_BLOCK);
    case ACTION_MATCH_GROUP:
        return replace(stack, 2, 2, SLOT_BLOCK);
    case ACTION_UNKNOWN:
        break;
    }
    return false;
}

bool
mod_stack_jump(mod_stack *stack, const mod_instruction *instruction)
{
    switch ((mod_action)instruction->action) {
    case ACTION_NEXT:
        return MOD_EXHAUSTED_EFFECT > 0 ? mod_stack_push(stack, 1, 0) : replace(stack, 1, 0, 0);
    case ACTION_SEND:
        return replace(stack, 1 - MOD_SENT_EFFECT, 1, 0);
    case ACTION_BRANCH:
        return replace(stack, 1, 0, 0);
    default:
        return true;
    }
}

int
mod_stack_merge(mod_stack *into, const mod_stack *from)
{
    if (into->depth < 0) {
        *into = *from;
        return 1;
    }
    if (into->depth != from->depth || into->chain != from->chain) {
        return -1;
    }
    /* What may be an exit is one; the rest must be so either way. */
    uint64_t merged[SLOT_KINDS];
    bool changed = false;
    for (int bit = 0; bit < SLOT_KINDS; bit++) {
        bool either = (1 << bit & (SLOT_EXIT | SLOT_ENTERED)) != 0;
        merged[bit] =
            either ? into->slots[bit] | from->slots[bit] : into->slots[bit] & from->slots[bit];
        changed |= merged[bit] != into->slots[bit];
        into->slots[bit] = merged[bit];
    }
    return changed;
}
