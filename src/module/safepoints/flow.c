/*
 * See flow.h.
 *
 * An abstract interpretation: a list of instructions whose stack has changed, from which each in
 * turn changes that of those that may come after it, its exception handler among them. Kinds of
 * slots only ever get worse, so it ends.
 *
 * The handler of a `try` in which nothing can fail (`try: return 1`) is covered by nothing, but
 * compilers leave it in the code. It never runs; it tells what a `finally` consists of. So what is
 * left of handlers is followed last, and changes nothing of what runs.
 */
#include "safepoints/flow.h"

#include <limits.h>

typedef struct {
    mod_flow *flow;
    int *queue; /* instructions to be visited */
    int queued;
    bool *is_queued;
    bool *runs; /* by instruction, while handlers that never run are followed; else NULL */
    /* By range: the chain of the last instruction of it that was visited, and what its handler's is
       then. */
    struct {
        int from;
        int to;
    } *entered;
} walk;

static int
find_or_add_chain(mod_flow *flow, int parent, int handler, int base)
{
    for (int i = 1; i < flow->chain_count; i++) {
        if (flow->chains[i].parent == parent && flow->chains[i].handler == handler) {
            return i;
        }
    }
    /* Room for 1, 2, 4, 8, ... */
    if ((flow->chain_count & (flow->chain_count - 1)) == 0) {
        size_t size = 2 * (size_t)flow->chain_count * sizeof(*flow->chains);
        mod_chain *more = PyMem_Realloc(flow->chains, size);
        if (more == NULL) {
            return -1;
        }
        flow->chains = more;
    }
    flow->chains[flow->chain_count] =
        (mod_chain){.parent = parent, .handler = handler, .base = base};
    return flow->chain_count++;
}

/* The chain of a range's handler, when an instruction in `chain` raises. */
static int
enter_handler(walk *at, int range_number, int chain)
{
    if (at->entered[range_number].from == chain) {
        return at->entered[range_number].to;
    }
    mod_flow *flow = at->flow;
    const mod_range *range = &flow->bytecode.ranges[range_number];
    int to = chain;
    while (to != 0 && flow->chains[to].base >= range->depth) {
        to = flow->chains[to].parent;
    }
    if (flow->bytecode.instructions[range->handler].action == ACTION_HANDLER) {
        to = find_or_add_chain(flow, to, range->handler, range->depth);
    }
    at->entered[range_number].from = to < 0 ? -1 : chain;
    at->entered[range_number].to = to;
    return to;
}

static int
arrive(walk *at, int instruction, const mod_stack *stack)
{
    if (instruction >= at->flow->bytecode.count) {
        return 0;
    }
    if (at->runs != NULL && at->runs[instruction]) {
        return 1;
    }
    int changed = mod_stack_merge(&at->flow->stacks[instruction], stack);
    if (changed < 0 && at->runs != NULL) {
        return 1; /* see follow_handler: who came first knows better */
    }
    if (changed > 0 && !at->is_queued[instruction]) {
        at->is_queued[instruction] = true;
        at->queue[at->queued++] = instruction;
    }
    return changed >= 0;
}

static int
raise_from(walk *at, int range_number, mod_stack stack)
{
    const mod_bytecode *bytecode = &at->flow->bytecode;
    const mod_range *range = &bytecode->ranges[range_number];
    if (at->runs != NULL && at->runs[range->handler]) {
        return 1;
    }
    if (range->depth > stack.depth) {
        /* What wraps a whole generator, of 3.15, is said to begin above what is left at its end. */
        return bytecode->instructions[range->handler].action != ACTION_HANDLER;
    }
    stack.chain = enter_handler(at, range_number, stack.chain);
    if (stack.chain < 0) {
        return -1;
    }
    return mod_stack_cut(&stack, range->depth) &&
           mod_stack_push(&stack, range->lasti, SLOT_BLOCK) && mod_stack_push(&stack, 1, 0) &&
           arrive(at, range->handler, &stack);
}

static int
visit(walk *at, int number)
{
    mod_flow *flow = at->flow;
    const mod_instruction *instruction = &flow->bytecode.instructions[number];
    mod_stack stack = flow->stacks[number];
    if (instruction->range >= 0) {
        int raised = raise_from(at, instruction->range, stack);
        if (raised <= 0) {
            return raised;
        }
    }
    STACK_ENTERED(&stack) |= STACK_EXITS(&stack) & mod_slots_below(mod_follow_guard(flow, number));
    if (instruction->action == ACTION_HANDLED) {
        if (stack.chain == 0) {
            return at->runs != NULL;
        }
        stack.chain = flow->chains[stack.chain].parent;
    }
    if (instruction->target >= 0) {
        mod_stack jumped = stack;
        if (!mod_stack_jump(&jumped, instruction) || !arrive(at, instruction->target, &jumped)) {
            return 0;
        }
    }
    if (instruction->action == ACTION_JUMP || instruction->action == ACTION_LEAVE) {
        return 1;
    }
    return mod_stack_step(&stack, instruction) && arrive(at, number + 1, &stack);
}

/* What handles without PUSH_EXC_INFO is not the program's: it raises again, to what covers it. */
static void
find_guards(mod_flow *flow)
{
    const mod_bytecode *bytecode = &flow->bytecode;
    for (int i = 0; i < bytecode->range_count; i++) {
        int guard = INT_MAX, range = i;
        for (int steps = 0;; steps++) {
            if (range < 0 || steps == MOD_SLOTS) {
                guard = -1;
                break;
            }
            if (bytecode->ranges[range].depth < guard) {
                guard = bytecode->ranges[range].depth;
            }
            const mod_instruction *handler =
                &bytecode->instructions[bytecode->ranges[range].handler];
            if (handler->action == ACTION_HANDLER) {
                break;
            }
            range = handler->range;
        }
        flow->guards[i] = guard;
    }
}

static int
follow_queue(walk *at)
{
    int done = 1;
    while (done > 0 && at->queued > 0) {
        int number = at->queue[--at->queued];
        at->is_queued[number] = false;
        done = visit(at, number);
    }
    return done;
}

/* From a handler that nothing leads to. How much it has on the stack is told by the range that
 * covers it: compilers have each handler covered by what ends it. In which other handlers it is,
 * nobody tells; it is followed after those that it is in, for they begin before it. */
static int
follow_handler(walk *at, int handler)
{
    mod_flow *flow = at->flow;
    int range = flow->bytecode.instructions[handler].range;
    int depth = range < 0 ? 0 : flow->bytecode.ranges[range].depth;
    mod_stack stack = {.depth = 0};
    if (depth < 1 || !mod_stack_push(&stack, depth, 0)) {
        return 0;
    }
    stack.chain = find_or_add_chain(flow, 0, handler, depth - 1);
    if (stack.chain < 0) {
        return -1;
    }
    int done = arrive(at, handler, &stack);
    return done > 0 ? follow_queue(at) : done;
}

static int
follow_what_never_runs(walk *at)
{
    const mod_bytecode *bytecode = &at->flow->bytecode;
    at->runs = PyMem_Calloc((size_t)bytecode->count, sizeof(*at->runs));
    if (at->runs == NULL) {
        return -1;
    }
    for (int i = 0; i < bytecode->count; i++) {
        at->runs[i] = at->flow->stacks[i].depth >= 0;
    }
    int done = 1;
    for (int i = 0; i < bytecode->count && done > 0; i++) {
        if (bytecode->instructions[i].action == ACTION_HANDLER && at->flow->stacks[i].depth < 0) {
            done = follow_handler(at, i);
        }
    }
    return done;
}

static int
follow_all(walk *at)
{
    mod_flow *flow = at->flow;
    find_guards(flow);
    for (int i = 0; i < flow->bytecode.count; i++) {
        flow->stacks[i].depth = -1;
    }
    for (int i = 0; i < flow->bytecode.range_count; i++) {
        at->entered[i].from = -1;
    }
    flow->chains[0] = (mod_chain){.handler = -1, .base = -1};
    flow->chain_count = 1;
    mod_stack empty = {.depth = 0};
    int done = arrive(at, 0, &empty);
    done = done > 0 ? follow_queue(at) : done;
    return done > 0 ? follow_what_never_runs(at) : done;
}

int
mod_follow(mod_flow *flow, PyCodeObject *code)
{
    *flow = (mod_flow){0};
    int done = mod_bytecode_read(&flow->bytecode, code);
    if (done <= 0) {
        return done;
    }
    size_t count = (size_t)flow->bytecode.count;
    size_t ranges = (size_t)flow->bytecode.range_count + 1;
    walk at = {.flow = flow};
    flow->stacks = PyMem_Calloc(count, sizeof(*flow->stacks));
    flow->guards = PyMem_Calloc(ranges, sizeof(*flow->guards));
    flow->chains = PyMem_Calloc(1, sizeof(*flow->chains));
    at.queue = PyMem_Calloc(count, sizeof(*at.queue));
    at.is_queued = PyMem_Calloc(count, sizeof(*at.is_queued));
    at.entered = PyMem_Calloc(ranges, sizeof(*at.entered));
    bool room = flow->stacks != NULL && flow->guards != NULL && flow->chains != NULL &&
                at.queue != NULL && at.is_queued != NULL && at.entered != NULL;
    done = room ? follow_all(&at) : -1;
    PyMem_Free(at.queue);
    PyMem_Free(at.is_queued);
    PyMem_Free(at.entered);
    PyMem_Free(at.runs);
    return done;
}

void
mod_follow_free(mod_flow *flow)
{
    mod_bytecode_free(&flow->bytecode);
    PyMem_Free(flow->stacks);
    PyMem_Free(flow->guards);
    PyMem_Free(flow->chains);
}

int
mod_follow_guard(const mod_flow *flow, int instruction)
{
    int range = flow->bytecode.instructions[instruction].range;
    return range < 0 || flow->guards[range] < 0 ? 0 : flow->guards[range];
}

bool
mod_follow_is_handled(const mod_flow *flow, int instruction)
{
    int range = flow->bytecode.instructions[instruction].range;
    return flow->stacks[instruction].chain != 0 || (range >= 0 && flow->guards[range] >= 0);
}
