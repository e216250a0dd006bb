/*
 * See safepoints.h.
 *
 * Handlers are told by where they are entered: until its POP_EXCEPT an instruction is in one. The
 * body of a `finally` is compiled twice or more, once into a handler and again wherever the `try`
 * is left in peace; those copies are known by their lines, which a `finally` shares with nothing
 * else. The entry and the exit of a `with` are where its exit is on the stack but would not be
 * called if an exception were raised.
 */
#include "safepoints/safepoints.h"
#include "safepoints/flow.h"

#include <limits.h>
#include <string.h>

/* Beyond that many `finally` in one code object, the rest share a bit, and it is never forgiven. */
#define SHARED_FINALLY 63
#define EVERY_FINALLY UINT64_MAX
#define LINES_AT_MOST (1 << 22)

/* What there is to say about an instruction; many say the same. */
typedef struct {
    uint64_t finally; /* a bit for each handler of a `finally` whose body it is a copy of */
    int chain;
    uint8_t flags;
    uint8_t with : 6;       /* mod_cleanup: the entry or exit of a `with`, or nothing */
    bool with_is_outer : 1; /* not only of the innermost one */
    bool known : 1;
} place;

struct mod_safepoints {
    int units;
    uint16_t *at; /* unit -> place */
    place *places;
    mod_chain *chains;
    bool eventless_loops;
};

/* What is found out of an instruction on the way. */
typedef struct {
    uint64_t finallys; /* that it is in, by its line */
    uint64_t turned;   /* those out of whose bodies a jump leads back to it */
    int covers_from;   /* of a handler: the first instruction that it covers; else 0 */
    bool looped;       /* a jump back, or where one goes to */
    bool headed;       /* where a jump back goes to */
    bool cleanup_loop; /* one leads back to it, with nothing but cleanup between */
    bool yields;       /* of a handler: the frame is suspended in what it covers */
} note;

/* While a code object is being analysed. */
typedef struct {
    mod_flow flow;
    note *notes;     /* by instruction */
    uint64_t *lines; /* by line: the `finally` that it is in */
    int first_line;
    int line_count;
    bool lines_are_useless;
} analysis;

static mod_cleanup
kind_of_handler(const mod_bytecode *bytecode, int handler)
{
    int next = handler + 1;
    while (next < bytecode->count && bytecode->instructions[next].action == ACTION_GAP) {
        next++;
    }
    if (next == bytecode->count) {
        return MOD_IN_UNKNOWN;
    }
    switch (bytecode->instructions[next].action) {
    case ACTION_EXIT_WITH:
        return MOD_IN_WITH_EXIT;
    case ACTION_DISCARD: /* `except:` */
        return MOD_IN_EXCEPT;
    default:
        return MOD_IN_FINALLY;
    }
}

static void
tell_handlers(analysis *at)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    for (int i = 1; i < at->flow.chain_count; i++) {
        at->flow.chains[i].kind = kind_of_handler(bytecode, at->flow.chains[i].handler);
    }
    for (int i = 0; i < bytecode->count; i++) {
        const mod_instruction *instruction = &bytecode->instructions[i];
        const mod_stack *stack = &at->flow.stacks[i];
        if (stack->depth < 0 || stack->chain == 0) {
            continue;
        }
        if (instruction->action == ACTION_MATCH_EXCEPTION ||
            instruction->action == ACTION_MATCH_GROUP) {
            at->flow.chains[stack->chain].kind = MOD_IN_EXCEPT;
        }
    }
}

/* A handler may stand in several chains; its bit is the same in all. */
static void
number_finallys(analysis *at)
{
    int count = 0;
    for (int i = 1; i < at->flow.chain_count; i++) {
        if (at->flow.chains[i].kind != MOD_IN_FINALLY) {
            continue;
        }
        int same = 1;
        while (at->flow.chains[same].handler != at->flow.chains[i].handler) {
            same++;
        }
        if (same == i) {
            at->flow.chains[i].bit = count < SHARED_FINALLY ? count++ : SHARED_FINALLY;
        }
        at->flow.chains[i].bit = at->flow.chains[same].bit;
    }
}

/* The `finally` whose handlers are at work, as bits. */
static uint64_t
finallys_of_chain(const analysis *at, int chain)
{
    uint64_t bits = 0;
    for (; chain != 0; chain = at->flow.chains[chain].parent) {
        if (at->flow.chains[chain].kind == MOD_IN_FINALLY) {
            bits |= UINT64_C(1) << at->flow.chains[chain].bit;
        }
    }
    return bits;
}

/* Whose line says where it stands in the program. */
static bool
is_of_body(const mod_instruction *instruction)
{
    return instruction->line >= 0 && instruction->action != ACTION_HANDLER;
}

static int
collect_lines(analysis *at)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    int first = INT_MAX, last = -1;
    for (int i = 0; i < bytecode->count; i++) {
        int line = bytecode->instructions[i].line;
        first = line >= 0 && line < first ? line : first;
        last = line > last ? line : last;
    }
    at->lines_are_useless = last < first || last - first >= LINES_AT_MOST;
    if (at->lines_are_useless) {
        return 1;
    }
    at->first_line = first;
    at->line_count = last - first + 1;
    at->lines = PyMem_Calloc((size_t)at->line_count, sizeof(*at->lines));
    if (at->lines == NULL) {
        return -1;
    }
    for (int i = 0; i < bytecode->count; i++) {
        const mod_stack *stack = &at->flow.stacks[i];
        if (stack->depth >= 0 && stack->chain != 0 && is_of_body(&bytecode->instructions[i])) {
            at->lines[bytecode->instructions[i].line - first] |=
                finallys_of_chain(at, stack->chain);
        }
    }
    return 1;
}

static bool
has_finally(const analysis *at)
{
    for (int i = 1; i < at->flow.chain_count; i++) {
        if (at->flow.chains[i].kind == MOD_IN_FINALLY) {
            return true;
        }
    }
    return false;
}

static uint64_t
finallys_of_line(const analysis *at, int number)
{
    const mod_instruction *instruction = &at->flow.bytecode.instructions[number];
    if (at->lines_are_useless) {
        return has_finally(at) ? EVERY_FINALLY : 0;
    }
    return at->lines == NULL || instruction->line < 0
               ? 0
               : at->lines[instruction->line - at->first_line];
}

/* A jump leads back from there. If nothing but cleanup is between, and what is left of `try:`, then
 * all of that is what the loop consists of. */
static void
find_turned(analysis *at, int jump, int target)
{
    uint64_t last = finallys_of_line(at, jump) | finallys_of_line(at, jump - 1), all = last;
    int i = jump;
    while (i-- > target) {
        uint64_t here = finallys_of_line(at, i);
        if (here == 0 && at->flow.bytecode.instructions[i].action != ACTION_GAP) {
            break;
        }
        all |= here;
    }
    bool only_cleanup = i < target && all != 0;
    at->notes[target].cleanup_loop |= only_cleanup;
    at->notes[target].turned |= only_cleanup ? all : last;
}

/* A `break`, `continue` or `return` that leads into a `finally` leaves an instruction with its own
 * line between what the handler covers and the copy of the body: it is as good as within. So is a
 * whole `try` in which nothing can fail, of which no more is left; but not where a loop turns back
 * to out of that body, or one that consists of it could never be left. A jump out of a body, on the
 * other hand, has the line of what was last in there. */
static void
find_finallys(analysis *at)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    for (int i = bytecode->count; i-- > 0;) {
        const mod_instruction *instruction = &bytecode->instructions[i];
        at->notes[i].finallys = finallys_of_line(at, i);
        if (instruction->action == ACTION_JUMP) {
            int to = instruction->target;
            at->notes[i].finallys = to > i ? at->notes[to].finallys : finallys_of_line(at, to);
        }
        else if (i + 1 < bytecode->count &&
                 (instruction->action == ACTION_GAP || instruction->action == ACTION_PLAIN ||
                  instruction->action == ACTION_DISCARD)) {
            at->notes[i].finallys |= at->notes[i + 1].finallys & ~at->notes[i].turned;
        }
    }
}

static void
find_loops_and_covers(analysis *at)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    for (int i = bytecode->range_count; i-- > 0;) { /* they are sorted: the first is what stays */
        at->notes[bytecode->ranges[i].handler].covers_from = bytecode->ranges[i].first;
    }
    for (int i = 0; i < bytecode->count; i++) {
        int target = bytecode->instructions[i].target;
        if (target >= 0 && target <= i) {
            at->notes[i].looped = at->notes[target].looped = at->notes[target].headed = true;
            if (i > 0) {
                find_turned(at, i, target);
            }
        }
    }
}

/* The handler that what an instruction raises comes to first, or -1. */
static int
next_handler(const mod_bytecode *bytecode, int number)
{
    int range = bytecode->instructions[number].range;
    return range < 0 ? -1 : bytecode->ranges[range].handler;
}

/* The same, if the program wrote it; or -1. */
static int
handler_of(const mod_bytecode *bytecode, int number)
{
    int handler = next_handler(bytecode, number);
    return handler >= 0 && bytecode->instructions[handler].action == ACTION_HANDLER ? handler : -1;
}

/* Does what an instruction raises come to that handler, be it by way of others? No way is longer
   than there are ranges, but one that goes round. */
static bool
is_covered_by(const mod_bytecode *bytecode, int number, int wanted)
{
    for (int i = 0; i < bytecode->range_count && number >= 0; i++) {
        number = next_handler(bytecode, number);
        if (number == wanted) {
            return true;
        }
    }
    return false;
}

/* Is it a jump that stands in a `try`, and that no handler of it covers? Some compilers leave such
 * jumps out: the last one of a loop (CPython 3.13.0), what is left of `while 0: ...` in a `match`
 * (3.13, 3.14), or what leads to a `try:` that itself is left out (3.12, 3.13). A jump to where a
 * `try` begins comes from outside of that. */
static bool
is_left_out(const analysis *at, int number)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    const mod_instruction *jump = &bytecode->instructions[number];
    int to = jump->target;
    if (to < 0 || (to > number && jump->action != ACTION_JUMP)) {
        return false;
    }
    while (to + 1 < bytecode->count && bytecode->instructions[to].action == ACTION_GAP &&
           next_handler(bytecode, to) < 0) {
        to++;
    }
    int handler = next_handler(bytecode, to);
    for (int i = 0; i < bytecode->range_count && handler >= 0; i++) {
        bool begins = to != jump->target && at->notes[handler].covers_from == to;
        if (bytecode->instructions[handler].action == ACTION_HANDLER && !begins &&
            !is_covered_by(bytecode, number, handler)) {
            return true;
        }
        handler = next_handler(bytecode, handler);
    }
    return false;
}

/* Does a handler begin to cover right behind it? Or, where nothing does there because nothing can
 * fail, does one around go on to? What is left of `try:` is covered by none. */
static bool
is_gap(const analysis *at, int number)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    int handler = handler_of(bytecode, number);
    for (int i = number; bytecode->instructions[i].action == ACTION_GAP;) {
        if (++i == bytecode->count) {
            return false;
        }
        int next = handler_of(bytecode, i);
        if (next != handler) {
            return next >= 0 && (handler < 0 || at->notes[next].covers_from == i);
        }
        if (bytecode->instructions[i].action != ACTION_GAP) {
            return is_left_out(at, i);
        }
    }
    return false;
}

static unsigned
flags_of(const analysis *at, int number)
{
    const mod_stack *stack = &at->flow.stacks[number];
    const mod_instruction *instruction = &at->flow.bytecode.instructions[number];
    uint64_t all = mod_slots_below(stack->depth);
    uint64_t blocks = STACK_BLOCKS(stack), clear = blocks | STACK_HARMLESS(stack);
    unsigned flags = 0;
    if (stack->depth <= MOD_SLOTS && (clear & all) == all && !is_left_out(at, number)) {
        flags |= (blocks & all) == all ? MOD_SAFEPOINT_STATEMENT : 0;
        bool handled = mod_follow_is_handled(&at->flow, number);
        if (at->notes[number].looped && !(MOD_JUMPS_IGNORE_HANDLERS && handled)) {
            flags |= MOD_SAFEPOINT_LOOP;
        }
        flags |= at->notes[number].headed ? MOD_SAFEPOINT_HEAD : 0;
    }
    flags |= instruction->calls ? MOD_SAFEPOINT_CALLS : 0;
    flags |= instruction->delegates ? MOD_SAFEPOINT_DELEGATES : 0;
    flags |= is_gap(at, number) && !at->notes[number].cleanup_loop ? MOD_SAFEPOINT_GAP : 0;
    return flags;
}

static void
find_with(const analysis *at, int number, place *into)
{
    const mod_stack *stack = &at->flow.stacks[number];
    uint64_t exits = STACK_EXITS(stack);
    uint64_t lost = exits & ~mod_slots_below(mod_follow_guard(&at->flow, number));
    if (lost != 0) {
        into->with = (lost & STACK_ENTERED(stack)) != 0 ? MOD_IN_WITH_EXIT : MOD_IN_WITH_ENTRY;
        int top = MOD_SLOTS - 1;
        while ((exits >> top & 1) == 0) {
            top--;
        }
        into->with_is_outer = (lost & mod_slots_below(top + 1 - MOD_EXIT_SLOTS)) != 0;
    }
    if (at->flow.bytecode.instructions[number].action == ACTION_ENTER_WITH) {
        into->with_is_outer = lost != 0;
        into->with = lost != 0 ? into->with : MOD_IN_WITH_ENTRY;
    }
}

/* What is raised where the frame is suspended comes to a handler, be it by way of others. */
static void
find_yields(analysis *at)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    for (int i = 0; i < bytecode->count; i++) {
        int handler = bytecode->instructions[i].yields ? next_handler(bytecode, i) : -1;
        while (handler >= 0 && !at->notes[handler].yields) {
            at->notes[handler].yields = true;
            handler = next_handler(bytecode, handler);
        }
    }
}

/* Is the frame suspended in the block of the `with` that the instruction enters? What cannot be
   told of is taken to be. */
static bool
block_yields(const analysis *at, int entry)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    int handler = entry + 1 < bytecode->count ? handler_of(bytecode, entry + 1) : -1;
    return handler < 0 || kind_of_handler(bytecode, handler) != MOD_IN_WITH_EXIT ||
           at->notes[handler].yields;
}

static place
place_of_instruction(const analysis *at, int number)
{
    place found = {
        .finally = at->notes[number].finallys,
        .chain = at->flow.stacks[number].chain,
        .flags = (uint8_t)flags_of(at, number),
        .known = true,
    };
    find_with(at, number, &found);
    if (found.with == MOD_IN_WITH_ENTRY && !block_yields(at, number)) {
        found.flags |= MOD_SAFEPOINT_NO_YIELD;
    }
    return found;
}

static bool
same_place(const place *left, const place *right)
{
    return left->finally == right->finally && left->chain == right->chain &&
           left->flags == right->flags && left->with == right->with &&
           left->with_is_outer == right->with_is_outer && left->known == right->known;
}

/* Neighbours are alike; to look further for the same is not worth it. */
static void
describe_points(analysis *at, mod_safepoints *points)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    int count = 1;
    for (int unit = 0, place_now = 0, number = -1; unit < bytecode->units; unit++) {
        if (bytecode->at[unit] != number) {
            number = bytecode->at[unit];
            place_now = 0;
            if (at->flow.stacks[number].depth >= 0 && count <= UINT16_MAX) {
                place found = place_of_instruction(at, number);
                for (int back = count - 1; back > 0 && back > count - 16; back--) {
                    place_now = same_place(&points->places[back], &found) ? back : place_now;
                }
                if (place_now == 0) {
                    points->places[place_now = count++] = found;
                }
            }
        }
        points->at[unit] = (uint16_t)place_now;
    }
    place *fewer = PyMem_Realloc(points->places, (size_t)count * sizeof(*fewer));
    points->places = fewer != NULL ? fewer : points->places;
}

/* Of a loop: can it be left at its head, but not at its jump back? In a cleanup that both are in,
   it can if the region was entered in there. */
static bool
is_eventless(const place *head, const place *jump)
{
    return (head->flags & MOD_SAFEPOINT_HEAD) && head->with == MOD_IN_NOTHING &&
           head->chain == jump->chain &&
           (!(head->flags & jump->flags & MOD_SAFEPOINT_LOOP) || jump->with != MOD_IN_NOTHING ||
            (jump->finally & ~head->finally) != 0);
}

static void
find_eventless_loops(const analysis *at, mod_safepoints *points)
{
    const mod_bytecode *bytecode = &at->flow.bytecode;
    for (int i = 0; i < bytecode->count; i++) {
        int target = bytecode->instructions[i].target;
        if (target >= 0 && target <= i) {
            const place *head = &points->places[points->at[bytecode->instructions[target].unit]];
            const place *jump = &points->places[points->at[bytecode->instructions[i].unit]];
            points->eventless_loops = points->eventless_loops || is_eventless(head, jump);
        }
    }
}

static int
fill(analysis *at, mod_safepoints *points)
{
    size_t count = (size_t)at->flow.bytecode.count, units = (size_t)at->flow.bytecode.units;
    at->notes = PyMem_Calloc(count, sizeof(*at->notes));
    points->at = PyMem_Calloc(units, sizeof(*points->at));
    points->places = PyMem_Calloc(count + 1, sizeof(*points->places));
    if (at->notes == NULL || points->at == NULL || points->places == NULL) {
        return -1;
    }
    tell_handlers(at);
    number_finallys(at);
    if (has_finally(at) && collect_lines(at) < 0) {
        return -1;
    }
    find_loops_and_covers(at);
    find_finallys(at);
    find_yields(at);
    describe_points(at, points);
    find_eventless_loops(at, points);
    points->chains = at->flow.chains;
    at->flow.chains = NULL;
    points->units = (int)units;
    return 1;
}

mod_safepoints *
mod_safepoints_new(PyCodeObject *code)
{
    mod_safepoints *points = PyMem_Calloc(1, sizeof(*points));
    if (points == NULL) {
        return NULL;
    }
    analysis at = {0};
    int done = mod_follow(&at.flow, code);
    if (done > 0) {
        done = fill(&at, points);
    }
    mod_follow_free(&at.flow);
    PyMem_Free(at.notes);
    PyMem_Free(at.lines);
    if (done < 0) {
        mod_safepoints_free(points);
        return NULL;
    }
    return points; /* with no units, if it was not understood */
}

void
mod_safepoints_free(mod_safepoints *points)
{
    if (points != NULL) {
        PyMem_Free(points->at);
        PyMem_Free(points->places);
        PyMem_Free(points->chains);
        PyMem_Free(points);
    }
}

static const place *
place_at(const mod_safepoints *points, int lasti)
{
    static const place nowhere;
    return lasti < 0 || lasti / 2 >= points->units ? &nowhere
                                                   : &points->places[points->at[lasti / 2]];
}

bool
mod_safepoints_have_eventless_loops(const mod_safepoints *points)
{
    return points->eventless_loops;
}

unsigned
mod_safepoint_flags(const mod_safepoints *points, int lasti)
{
    return place_at(points, lasti)->flags;
}

static bool
is_below(const mod_safepoints *points, int chain, int of)
{
    while (of != 0 && of != chain) {
        of = points->chains[of].parent;
    }
    return of == chain;
}

static mod_cleanup
find_cleanup(const mod_safepoints *points, int lasti, int since, bool outside)
{
    const place *here = place_at(points, lasti), *there = place_at(points, since);
    if (!here->known) {
        return MOD_IN_UNKNOWN;
    }
    if (here->with != MOD_IN_NOTHING && (!outside || here->with_is_outer)) {
        return here->with;
    }
    for (int chain = here->chain; chain != 0; chain = points->chains[chain].parent) {
        int kind = points->chains[chain].kind;
        if (is_below(points, chain, there->chain)) {
            break;
        }
        if (!outside || chain != here->chain || kind != MOD_IN_WITH_EXIT) {
            return (mod_cleanup)kind;
        }
    }
    uint64_t left = here->finally & ~(there->finally & ~(UINT64_C(1) << SHARED_FINALLY));
    return left == 0 ? MOD_IN_NOTHING : MOD_IN_FINALLY;
}

mod_cleanup
mod_safepoint_cleanup(const mod_safepoints *points, int lasti, int since)
{
    return find_cleanup(points, lasti, since, false);
}

mod_cleanup
mod_safepoint_cleanup_outside(const mod_safepoints *points, int lasti, int since)
{
    return find_cleanup(points, lasti, since, true);
}
