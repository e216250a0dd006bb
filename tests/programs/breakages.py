"""What mutations.py breaks on purpose, and what has to find it."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """What is broken by it, and how: what stands in a file, and what instead."""

    breaks: str
    file: str
    old: str
    new: str
    since: tuple[int, int] = (3, 11)  # on which versions it shows
    until: tuple[int, int] = (3, 99)
    tests: str = ""  # for pytest, in this folder; "": programs made by chance have to find it


MUTATIONS = [
    Mutation(
        "copies of a finally are cleanup",
        "src/module/safepoints/safepoints.c",
        "bits |= UINT64_C(1) << at->flow.chains[chain].bit;",
        "bits |= 0;",
    ),
    Mutation(
        "so are those of a try that cannot fail",
        "src/module/safepoints/flow.c",
        "return done > 0 ? follow_what_never_runs(at) : done;",
        "return follow_what_never_runs == NULL ? 0 : done;",
    ),
    Mutation(
        "handlers are cleanup",
        "src/module/safepoints/safepoints.c",
        "for (int chain = here->chain; chain != 0; chain = points->chains[chain].parent) {",
        "for (int chain = 0; chain != 0; chain = points->chains[chain].parent) {",
    ),
    Mutation(
        "the entry and the exit of a with are cleanup",
        "src/module/safepoints/safepoints.c",
        "    if (lost != 0) {\n",
        "    if (lost != 0 && exits == 0) {\n",
    ),
    Mutation(
        "what leads into a finally belongs to it",
        "src/module/safepoints/safepoints.c",
        "at->notes[i].finallys |= at->notes[i + 1].finallys & ~at->notes[i].turned;",
        "at->notes[i].finallys |= 0;",
    ),
    Mutation(
        "the gap between acquire() and try is no point",
        "src/module/safepoints/safepoints.c",
        "flags |= is_gap(at, number) && !at->notes[number].cleanup_loop ? MOD_SAFEPOINT_GAP : 0;",
        "flags |= is_gap(at, number) ? 0 : 0;",
    ),
    Mutation(
        "nor is a try that cannot fail in another",
        "src/module/safepoints/safepoints.c",
        "(handler < 0 || at->notes[next].covers_from == i)",
        "at->notes[next].covers_from == i",
    ),
    Mutation(
        "in the middle of a statement is no point",
        "src/module/safepoints/safepoints.c",
        "uint64_t blocks = STACK_BLOCKS(stack), clear = blocks | STACK_HARMLESS(stack);",
        "uint64_t blocks = all, clear = blocks | STACK_HARMLESS(stack);",
    ),
    Mutation(
        "JUMP events that skip handlers are not used in a try",
        "src/module/safepoints/safepoints.c",
        "!(MOD_JUMPS_IGNORE_HANDLERS && handled)",
        "(handled || !handled)",
        since=(3, 12),
        until=(3, 12),
    ),
    Mutation(
        "methods named __enter__ and __exit__ are cleanup",
        "src/module/delivery/obstacles.c",
        "    if (at->since < 0 && mod_is_wrapper(at->code)) {\n        obstacle->kind",
        "    if (at->code == NULL) {\n        obstacle->kind",
    ),
    Mutation(
        "a shield holds requests back",
        "src/module/delivery/obstacles.c",
        "else if (view->shields > 0) {",
        "else if (view->shields > 1000) {",
    ),
    Mutation(
        "a lock that is held holds requests back",
        "src/module/delivery/raise.c",
        "Py_XDECREF(taken_in); /* the quicker question first: it may be asked for long */\n"
        "        return false;",
        "Py_XDECREF(taken_in);",
    ),
    Mutation(
        "the standard library is left alone",
        "src/module/safepoints/protected.c",
        "bool verdict = is_home_of(homes->value, code->co_filename, name) ||",
        "bool verdict = (is_home_of(homes->value, code->co_filename, name) && name == NULL) ||",
    ),
]
