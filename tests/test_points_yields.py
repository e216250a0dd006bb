"""Which `with` statements a frame is suspended in (S21): read off code."""

from __future__ import annotations

import types

import pytest

try:
    from interruption._interruption import _safepoints
except ImportError:
    pytest.skip("this was built with -Dtesting=false, as wheels are", allow_module_level=True)

NO_YIELD = 32
WITHOUT_YIELD = [
    "f()",
    "return f()",
    "x = [f() for f in x]",
    "try:\n f()\nexcept E:\n f()",
    "try:\n f()\nfinally:\n f()",
    "with f() as y:\n f()",
    "for i in x:\n if i: break\n f()\nelse: f()",
    "while f():\n with f(): continue",
    "def g():\n yield",
]
WITH_YIELD = [
    "{}",
    "x = f({})",
    "return {}",
    "try: f()\nexcept E: {}",
    "try: f()\nfinally: {}",
    "try: return f()\nfinally: {}",
    "with f():\n {}",
    "with {}:\n f()",
    "with f(), {}:\n f()",
    "for i in x:\n try: {}\n except E: break",
    "while f():\n if x: continue\n {}",
]
ASYNC = ["async for i in x: f()", "async with f(): f()", "x = [i async for i in x]"]
BEHIND = ["f()", "{}", "try: {}\nexcept E: {}\nfinally: {}", "with f(): {}"]


def indented(block: str) -> str:
    return "".join(f"  {line}\n" for line in block.split("\n"))


def flags_of_line(source: str, line: int) -> list[int]:
    """Of the instructions of the function that the source defines."""
    consts = compile(source, "source", "exec").co_consts
    (code,) = (each for each in consts if isinstance(each, types.CodeType))
    begins = {
        offset
        for start, end, number in code.co_lines()
        for offset in range(start, end, 2)
        if number == line
    }
    return [flags for offset, flags, *_ in _safepoints(code) if offset in begins]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize(
    ("keyword", "suspends"),
    [
        ("def", "(yield)"),
        ("def", "(yield from x)"),
        ("async def", "(yield)"),
        ("async def", "(await x)"),
    ],
)
def test_a_with_is_told_from_one_that_the_frame_is_suspended_in(keyword, suspends, behind):
    bodies = dict.fromkeys(WITHOUT_YIELD, False) | dict.fromkeys(WITH_YIELD, True)
    if keyword == "async def":
        bodies |= dict.fromkeys(ASYNC, True)
    wrong = []
    for body, yields in bodies.items():
        if suspends == "(yield)" and keyword == "async def" and "return" in body:
            continue  # an asynchronous generator returns nothing
        source = f"{keyword} function():\n while f():\n  with f():\n{indented(indented(body))[:-1]}"
        source += f"\n{indented(behind)}  {suspends}\n"
        source = source.replace("{}", suspends)
        told = any(flags & NO_YIELD for flags in flags_of_line(source, 3))
        if told == yields:
            wrong.append(source)
    assert not wrong, "\n".join(wrong)
