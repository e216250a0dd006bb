"""Nothing is cut, doubled, lost or leaked in programs that are made by chance (S8, S9).

Each is run as often as it has steps, with a request at another one each time: see programs/. The
count is of requests. INTERRUPTION_STRESS scales it, in percent: 10 unless set. What goes wrong is
printed with its seed, and found again, made shorter, by ``python -m programs --seed SEED`` in this
folder; by hand, ``--deliveries 1000000`` takes some minutes.
"""

from __future__ import annotations

import itertools
import textwrap
import threading
import warnings

import pytest
from chance import scaled
from interruption import ThreadExit, allow_interruption, clear_interrupt, interrupt
from programs import grammar, mutations, runs
from support import in_thread

SEED = 1


@pytest.fixture(autouse=True)
def _coroutines_may_be_left():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("size", [4, 12, 30])
def test_programs_made_by_chance_end_what_they_begin(size):  # S8, S9
    print(f"from seed {SEED}, of size {size}")  # noqa: T201
    seeds = itertools.count(SEED)
    _, done = in_thread(lambda: runs.search(seeds, scaled(20_000), size))
    assert done >= scaled(20_000)


@pytest.mark.parametrize("mutation", mutations.MUTATIONS, ids=lambda mutation: mutation.breaks)
def test_what_each_protection_is_broken_by_is_still_there(mutation):
    """By hand, ``python -m programs.mutations``: broken so, programs or tests do go wrong."""
    source = mutations.ROOT / mutation.file
    assert source.read_text().count(mutation.old) == 1


# A `finally` of which compilers drop the handler: nothing in its `try` can fail. ------------------

BODIES = [
    *grammar.CONSTANTS,
    *grammar.RETURNS,
    *("break", "continue", "if 1: continue", "'text'; continue", "return; t()", "pass; return 1"),
]

# Where such a `try` stands: for TRY.
SURROUNDINGS = {
    "function": "TRY",
    "with": "with M(1), cm(2):\n TRY",
    "except": "try:\n raise E\nexcept E:\n TRY",
    "finally": "try:\n t()\nfinally:\n TRY",
    "try": "L('a3 ')\ntry:\n t()\n TRY\n t()\nfinally:\n L('r3 ')",
    "try alone": "L('a3 ')\ntry:\n TRY\nfinally:\n L('r3 ')",
    "else": "try:\n t()\nexcept E:\n t()\nelse:\n TRY\nfinally:\n L('b5 ')\n t()\n L('d5 ')",
    "match": "match t():\n case True:\n  TRY\n case _:\n  t()",
    "loop": "n = iter(R)\nwhile next(n, None) is not None:\n TRY\n t()",
}
TRY = """\
try:
{}
finally:
 L('b9 ')
 x = [t() for _ in R]
 for _ in R:
  with M(8): t()
 L('d9 ')
"""
ACQUIRED = "L('a9 ')\n" + TRY + " L('r9 ')\n"

KINDS = {
    "plain": ("def inner():", "inner()"),
    "generator": ("def inner():", "list(inner())"),
    "async": ("async def inner():", "drive(inner())"),
}


def _program(text: str, form: str, body: str, kind: str) -> str:
    lines = []
    for line in SURROUNDINGS[form].split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        if line.strip() == "TRY":
            line = textwrap.indent(text.format(textwrap.indent(body, " ")), indent)  # noqa: PLW2901
        lines.append(line)
    head, call = KINDS[kind]
    inside = "x = 0\nfor one in R:\n" + textwrap.indent("\n".join(lines), " ") + "\nt()\n"
    inside += "yield\n" if kind == "generator" else ""
    return f"{head}\n{textwrap.indent(inside, ' ')}def program():\n t()\n {call}\n t()\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", SURROUNDINGS)
def test_a_finally_is_whole_though_nothing_before_it_can_fail(form, kind):  # S9
    for number, body in enumerate(BODIES):
        for text in (TRY, ACQUIRED)[number % 2 if kind != "plain" else 0 :]:
            source = _program(text, form, body, kind)
            optimize = (0, 2)[number % 3 == 0]
            assert in_thread(lambda: runs.check(source, optimize)) > 0  # noqa: B023


def test_a_try_that_nothing_covers_leaves_the_one_around_it_whole():
    """Its `try:` is an instruction that no handler covers, not even that of the outer one (S9)."""
    for clause in ("except E:\n  t()", "finally:\n  t()", "except* E:\n  t()"):
        source = f"try:\n t()\n try:\n  pass\n {clause}\n t()\nfinally:\n L('r1 ')\n"
        source = "def program():\n L('a1 ')\n" + textwrap.indent(source, " ")
        assert in_thread(lambda source=source: runs.check(source)) > 0


def test_a_return_that_handlers_jump_back_to_leads_into_its_finally():
    """From 3.12 on handlers stand at the end; where they go on is no head of a loop (S9)."""
    for leave in ("return 'text'", "return", "continue", "break", "pass"):
        for first in ("with M(2), cm(3): pass", "try: t()\n except E: pass"):
            text = f"L('a1 ')\ntry:\n {first}\n {leave}\nfinally:\n L('r1 ')\n"
            source = "def program():\n for x in R:\n" + textwrap.indent(text, "  ")
            assert in_thread(lambda: runs.check(source)) > 0  # noqa: B023


# Jumps that stand in a `try` and that some compilers leave without its handler. Far ones have a
# prefix, which is where their line begins.
LEFT_OUT = {
    "a loop that never runs, in a match": """
match (t(), 1):
 case [1, _]:
  while 0: pass
 case _:
  {}""",
    "to a try that is left out itself": """
n = iter(R)
while t() and next(n, None) is not None:
 {}
 try:
  while 0: t()
 finally: L('b2 '); L('d2 ')
""",
}


@pytest.mark.parametrize("far", [0, 40])
@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_jump_that_its_handler_does_not_cover_is_no_point(kind, far):  # S9
    """CPython 3.12 to 3.14; 3.13.0 leaves out more."""
    text = LEFT_OUT[kind].format("; ".join(["t()"] * max(far, 1)))
    source = "L('a1 ')\ntry:\n" + textwrap.indent(text, " ") + "\n t()\nfinally:\n L('r1 ')\n"
    source = "def program():\n t()\n" + textwrap.indent(source, " ")
    for optimize in (-1, 2):
        assert in_thread(lambda: runs.check(source, optimize)) > 0  # noqa: B023


def test_what_a_caught_exception_keeps_is_finalized_after_the_program():
    """Its steps are none of the region's: nothing would be delivered there."""
    source = "def program():\n try:\n  y = D(1)\n  t()\n  raise E\n except E as e:\n  C(e)\n"
    assert in_thread(lambda: runs.check(source)) == 1


# And all around it can be left as ever. -----------------------------------------------------------

ENDLESS = {
    "after it": "try:\n pass\nfinally:\n t()\nwhile True:\n t()",
    "after it, on one line": "try:\n pass\nfinally:\n t()\nwhile True: t()",
    "before it": "while True:\n t()\ntry:\n pass\nfinally:\n t()",
    "around it": "while True:\n try:\n  pass\n finally:\n  t()",
    "continued by it": "while True:\n try:\n  continue\n finally:\n  t()",
    "for": "for _ in forever:\n try:\n  continue\n finally:\n  t()",
    "with a condition": "while t():\n try:\n  pass\n finally:\n  t()",
    "with more": "while True:\n t()\n try:\n  pass\n finally:\n  t()",
    "in a `try`": "try:\n while True:\n  try:\n   pass\n  finally:\n   t()\nfinally:\n t()",
    "in an `else`": "try:\n pass\nexcept E:\n t()\nelse:\n while True:\n  t()",
    "except": "while True:\n try:\n  continue\n except E:\n  t()\n finally:\n  t()",
}


def _is_left(text: str) -> bool:
    """Is a request delivered in it, though it would go on for ten thousand steps more?"""
    always = itertools.repeat(True)
    asking = map(interrupt, [threading.get_ident()])
    steps = itertools.chain(itertools.islice(always, 5), asking, itertools.islice(always, 10_000))
    space = {"t": steps.__next__, "forever": itertools.repeat(1), "E": KeyError}
    exec("def endless():\n" + textwrap.indent(text, " "), space)  # noqa: S102
    try:
        with allow_interruption:
            space["endless"]()
    except ThreadExit:
        return True
    except StopIteration:
        return False
    finally:
        clear_interrupt()
    raise AssertionError


@pytest.mark.parametrize("loop", ENDLESS)
def test_a_loop_beside_such_a_try_can_be_left(loop):  # S9
    assert in_thread(lambda: _is_left(ENDLESS[loop]))
