"""Where a frame may be left, between statements (S9): read off code, and tried out."""

from __future__ import annotations

import ast
import contextlib
import dis
import inspect
import re
import sys
import threading
import time
import tokenize
import tracemalloc
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import points_corpus
import pytest
from chance import seeded
from points_corpus import RUNNABLE, Resources
from support import in_thread

try:
    from interruption._interruption import _safepoints
except ImportError:
    pytest.skip("this was built with -Dtesting=false, as wheels are", allow_module_level=True)

STATEMENT, LOOP, CALLS, GAP = 1, 2, 4, 8
NOTHING, FINALLY, EXCEPT, WITH_ENTRY, WITH_EXIT, UNKNOWN = range(6)
CLEANUPS = {"finally": {FINALLY}, "except": {EXCEPT}, "with": {WITH_ENTRY, WITH_EXIT}}
SEED = 1


class Stop(BaseException):
    """What is raised at a point."""


class Place(NamedTuple):
    line: int
    flags: int
    cleanup: int
    outside: int  # the cleanup but for the innermost with's entry or exit


def places(code: types.CodeType, since: int = -1) -> dict[int, Place]:
    lines = {
        offset: line
        for start, end, line in code.co_lines()
        for offset in range(start, end, 2)
        if line is not None
    }
    return {
        offset: Place(lines.get(offset, -1), *rest) for offset, *rest in _safepoints(code, since)
    }


def inner_frame(depth: int = 2) -> types.FrameType:
    """That of the caller's caller, or further out."""
    return sys._getframe(depth)  # noqa: SLF001


class Event(NamedTuple):
    line: int
    offset: int
    source: int | None  # of a jump back

    def may_raise(self, at: dict[int, Place]) -> bool:
        here = at[self.offset]
        if here.cleanup or here.flags & GAP:
            return False
        if self.source is None:
            return bool(here.flags & STATEMENT)
        there = at[self.source]
        return bool(here.flags & there.flags & LOOP) and not there.cleanup


@contextlib.contextmanager
def monitored(code: types.CodeType, see: Callable[[Event], None]) -> Iterator[None]:
    """Every line that begins and every jump back, in frames of that code, is seen."""

    def line_begins(_: object, line: int) -> None:
        see(Event(line, inner_frame().f_lasti, None))

    def jumps(_: object, source: int, destination: int) -> None:
        if destination <= source:
            see(Event(inner_frame().f_lineno, destination, source))

    tool, monitoring = 3, sys.monitoring
    events = monitoring.events
    monitoring.use_tool_id(tool, "points")
    monitoring.register_callback(tool, events.LINE, line_begins)
    monitoring.register_callback(tool, events.JUMP, jumps)
    monitoring.set_local_events(tool, code, events.LINE | events.JUMP)
    try:
        yield
    finally:
        monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, events.LINE, None)
        monitoring.register_callback(tool, events.JUMP, None)
        monitoring.free_tool_id(tool)


@contextlib.contextmanager
def traced(code: types.CodeType, see: Callable[[Event], None]) -> Iterator[None]:
    """The same by the trace function, for which a jump back begins a line."""

    def trace(frame: types.FrameType, event: str, _: object) -> Any:
        if frame.f_code is not code:
            return None
        if event == "line":
            see(Event(frame.f_lineno, frame.f_lasti, None))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


watched = monitored if sys.version_info >= (3, 12) else traced


def finish(started: Any) -> None:
    """Run a coroutine or a generator to its end."""
    if inspect.iscoroutine(started):
        with contextlib.suppress(StopIteration):
            while True:
                started.send(None)
    elif inspect.isgenerator(started):
        for _ in started:
            pass


def run(
    function: Callable[[Resources], Any], raise_at: int | None = None
) -> tuple[list[Event], Resources]:
    """Run it, raise at its event of that number; say what events there were."""
    events: list[Event] = []
    resources = Resources()

    def see(event: Event) -> None:
        events.append(event)
        if len(events) - 1 == raise_at:
            raise Stop

    with contextlib.suppress(Stop), watched(function.__code__, see):
        finish(function(resources))
    return events, resources


def marks() -> dict[int, str]:
    with open(points_corpus.__file__, "rb") as source:
        comments = {
            token.start[0]: token.string
            for token in tokenize.tokenize(source.readline)
            if token.type == tokenize.COMMENT
        }
    found = {}
    for line, comment in comments.items():
        match = re.match(r"# (point|gap|pending|cleanup: \w+)$", comment)
        if match:
            found[line] = match[1]
    return found


MARKS = marks()
by_name = pytest.mark.parametrize("function", RUNNABLE, ids=lambda function: function.__name__)


def of_with(line: int) -> bool:
    text = inspect.getsource(points_corpus).splitlines()[line - 1].strip()
    return text.startswith(("with ", "async with "))


@by_name
def test_each_line_is_what_its_comment_says(function):
    at = places(function.__code__)
    lines = [event for event in run(function)[0] if event.source is None]
    seen = {event.line for event in lines}
    first, last = function.__code__.co_firstlineno, max(seen)
    assert any(MARKS.get(line) == "point" for line in seen)
    for event in lines:
        mark, here = MARKS.get(event.line), at[event.offset]
        where = f"{function.__name__}:{event.line} at {event.offset}: {here}"
        if mark == "point" and of_with(event.line) and here.cleanup:
            assert here.cleanup in CLEANUPS["with"], where  # its exit
        elif mark == "point":
            assert event.may_raise(at), where
        elif mark == "gap":
            assert here.flags & GAP, where
        elif mark == "pending":
            assert not here.flags & STATEMENT, where
        elif mark is not None and of_with(event.line):
            assert here.cleanup, where
        elif mark is not None:
            assert here.cleanup in CLEANUPS[mark.split()[1]], where
    # The comments are about something. (An unmarked line may be left out by the compiler.)
    for line in range(first, last):
        if MARKS.get(line) in ("point", "gap"):
            assert line in seen, line


@by_name
def test_an_exception_at_a_point_leaks_nothing(function):
    at = places(function.__code__)
    events, resources = run(function)
    assert resources.open == 0
    points = [number for number, event in enumerate(events) if event.may_raise(at)]
    assert points
    for number in points:
        again, resources = run(function, number)
        assert again[number] == events[number]
        assert resources.open == 0, (events[number], at[events[number].offset])


# Where an exception at some event that is not a point does leak. (Not so where the statement is
# one of those that hold nothing, and where the exit of a `with` is not a line of its own.)
LEAKING = {
    "plain_with",
    "with_as",
    "nested_with",
    "with_in_a_loop",
    "acquire_and_try",
    "acquire_in_a_test",
    "acquire_in_a_loop",
    "three_deep",
    "leaving_by_return",
    "leaving_by_break_and_continue",
    "finally_with_blocks",
    "finally_after_a_failure",
    "all_clauses",
    "except_group",
    "generator_body",
    "await_in_try",
    "asynchronous",
    "async_with_in_a_loop",
}


def test_elsewhere_an_exception_does_leak():
    leaking = set()

    def raise_elsewhere() -> None:
        for function in RUNNABLE:
            at = places(function.__code__)
            events, _ = run(function)
            for number, event in enumerate(events):
                if not event.may_raise(at) and run(function, number)[1].open:
                    leaking.add(function.__name__)

    # What leaks may also be what sys.exception() is: not for the tests that follow.
    in_thread(raise_elsewhere)
    assert leaking >= LEAKING, LEAKING - leaking


def offsets_of(function: Callable[..., Any], text: str) -> list[int]:
    """Where lines with that text begin."""
    lines, first = inspect.getsourcelines(function)
    wanted = {first + number for number, line in enumerate(lines) if text in line}
    found, before = [], -1
    for offset, place in places(function.__code__).items():
        if place.line >= 0:
            if place.line in wanted and place.line != before:
                found.append(offset)
            before = place.line
    assert found
    return found


def points_of(function: Callable[..., Any], text: str, since: int = -1) -> list[bool]:
    """Of each place where such a line begins: is it outside all cleanup?"""
    at = places(function.__code__, since)
    return [not at[offset].cleanup for offset in offsets_of(function, text)]


def entries_of(function: Callable[..., Any], text: str) -> list[int]:
    """Where the ``with`` of a line with that text calls the entry of its manager."""
    lines, first = inspect.getsourcelines(function)
    return [
        offset
        for offset, place in places(function.__code__).items()
        if place.flags & CALLS and place.cleanup == WITH_ENTRY and text in lines[place.line - first]
    ]


def regions(region, failing):
    try:
        failing("body")
    except ValueError:
        failing("handler before")
        with region(1):
            failing("in handler's region")
            try:
                failing("protected")
            except ValueError:
                failing("handler in region")
    finally:
        with region(2):
            failing("in finally's region")
            try:
                failing("protected in it")
            finally:
                failing("finally in region")
    with region(3):
        failing("plain")


@pytest.mark.parametrize(
    ("region", "inside", "cleanup_inside"),
    [
        ("region(1)", '"in handler\'s region"', '"handler in region"'),
        ("region(2)", '"in finally\'s region"', '"finally in region"'),
    ],
)
def test_a_cleanup_that_a_region_was_entered_in_does_not_close_it(region, inside, cleanup_inside):
    assert not any(points_of(regions, inside))
    assert not any(points_of(regions, cleanup_inside))
    entries = entries_of(regions, region)
    assert entries
    for since in entries:
        assert any(points_of(regions, inside, since))
        assert not any(points_of(regions, cleanup_inside, since))


def test_a_region_entered_elsewhere_is_closed_by_cleanup():
    for since in entries_of(regions, "region(3)"):
        for text in ('"in handler', '"handler in', '"in finally', '"finally in'):
            assert not any(points_of(regions, text, since))
        assert all(points_of(regions, '"plain"', since))


def test_the_innermost_with_can_be_left_out():
    """So that the exit of a shield may deliver, though a frame is in the exit of a ``with``."""

    def shielded(outer, shield):
        with outer:
            with shield:
                pass

    cleanups = {(place.cleanup, place.outside) for place in places(shielded.__code__).values()}
    exits = {(WITH_EXIT, NOTHING), (WITH_ENTRY, NOTHING)}
    assert exits <= cleanups
    in_a_finally = places(points_corpus.finally_with_blocks.__code__).values()
    assert any(place.cleanup == WITH_EXIT and place.outside == FINALLY for place in in_a_finally)


def test_a_comprehension_is_a_loop_unless_a_result_waits_below():
    def harmless(log, r):
        log.append([str(x) for x in r])

    code = harmless.__code__
    if sys.version_info < (3, 12):
        (code,) = (const for const in code.co_consts if isinstance(const, types.CodeType))
    assert any(place.flags & LOOP for place in places(code).values())
    waiting = places(points_corpus.comprehension_with_a_result_below.__code__)
    assert not any(place.flags & LOOP for place in waiting.values())


def test_loops_of_one_line_can_be_left():
    def spinning():
        while True:
            pass

    def calling(data):
        while True:
            sum(data)

    for function in (spinning, calling):
        assert any(place.flags & LOOP for place in places(function.__code__).values())


def test_frames_below_are_told_by_whether_their_instruction_calls():
    seen = []

    def look():
        frame = inner_frame(3)
        seen.append(bool(places(frame.f_code)[frame.f_lasti].flags & CALLS))

    class Kind:
        def __getattr__(self, name):
            look()

        def __add__(self, other):
            look()

        def __iter__(self):
            look()
            return self

        def __next__(self):
            look()
            raise StopIteration

        def __enter__(self):
            look()

        def __exit__(self, *_):
            look()

    def calling():
        look()

    def program(kind):
        calling()
        kind.anything  # noqa: B018
        kind + 1
        for _ in kind:
            pass
        with kind:
            pass

    program(Kind())
    assert seen == [True] * 7

    class Dying:
        def __del__(self):
            look()

    def dropping():
        dying = Dying()
        dying = None  # noqa: F841

    seen.clear()
    dropping()
    assert seen == [False]


def functions_of(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from functions_of(const)


STANDARD = [
    "_pyio",
    "asyncio.base_events",
    "contextlib",
    "inspect",
    "multiprocessing.pool",
    "subprocess",
]


def lines_of(statements: list[ast.stmt] | list[ast.ExceptHandler]) -> set[int]:
    return {
        line
        for statement in statements
        for line in range(statement.lineno, (statement.end_lineno or 0) + 1)
    }


@pytest.mark.parametrize("name", STANDARD)
def test_finally_and_except_are_where_the_source_has_them(name):
    module = __import__(name, fromlist=["x"])
    source = inspect.getsource(module)
    final, handled = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Try | ast.TryStar):
            final |= lines_of(node.finalbody)
            handled |= lines_of(node.handlers)
    statements = 0
    for code in functions_of(compile(source, name, "exec")):
        at = places(code)
        assert at[0].cleanup != UNKNOWN, code
        # What leads into a `finally` counts as within.
        names = {i.offset: i.opname for i in dis.get_instructions(code)}
        for offset, place in at.items():
            name = names.get(offset, "CACHE")
            if (
                place.flags & STATEMENT
                and place.line >= 0
                and not name.startswith(("JUMP", "NO", "EXT", "POP", "DELETE"))
            ):
                statements += 1
                assert place.cleanup != FINALLY or place.line in final, (code, offset)
                assert place.cleanup != EXCEPT or place.line in handled | final, (code, offset)
    assert statements


def signed(number: int) -> bytes:
    value = -number << 1 | 1 if number < 0 else number << 1
    encoded = []
    while value >= 64:
        encoded.append(value & 63 | 64)
        value >>= 6
    return bytes([*encoded, value])


def without_columns(code: types.CodeType) -> types.CodeType:
    """What ``-X no_debug_ranges`` compiles."""
    table, before = b"", code.co_firstlineno
    for start, end, line in code.co_lines():
        for unit in range(start, end, 16):
            length = (min(end, unit + 16) - unit) // 2
            if line is None:
                table += bytes([0x80 | 15 << 3 | length - 1])
            else:
                table += bytes([0x80 | 13 << 3 | length - 1]) + signed(line - before)
                before = line
    return code.replace(co_linetable=table)


def test_without_columns_it_is_the_same():
    source = inspect.getsource(points_corpus)
    for code in functions_of(compile(source, "corpus", "exec")):
        assert places(without_columns(code)) == places(code)


def test_without_lines_a_finally_may_be_anywhere():
    code = points_corpus.acquire_and_try.__code__.replace(co_linetable=b"")
    assert all(place.cleanup for place in places(code).values())
    code = points_corpus.plain_with.__code__.replace(co_linetable=b"")
    assert any(place.flags & STATEMENT and not place.cleanup for place in places(code).values())


def test_code_that_no_compiler_made_has_no_points_and_does_no_harm():
    chance = seeded(SEED)
    for function in RUNNABLE * 20:
        code = function.__code__
        table = bytearray(code.co_exceptiontable)
        for _ in range(3):
            if table:
                table[chance.randrange(len(table))] = chance.randrange(256)
        places(code.replace(co_exceptiontable=bytes(table)))
    # A jump that leads out of the code.
    jumping = bytes([dis.opmap["JUMP_FORWARD"], 200, dis.opmap["RETURN_VALUE"], 0])
    wrong = points_corpus.nothing.__code__.replace(co_code=jumping)
    assert {place.cleanup for place in places(wrong).values()} == {UNKNOWN}


@pytest.mark.parametrize(
    "statement",
    [
        "if x: y()",
        "while x:\n  y()",
        "if x:\n  with r: y()",
        "try: x()\n finally: y()",
        "try: x()\n except r: y()",
        "for each in x:\n  with r:\n   if y(): continue\n   return (yield)",
    ],
)
def test_a_long_function_takes_no_more_than_its_length(statement: str) -> None:
    def seconds_for_one(count: int) -> float:
        space: dict[str, Any] = {}
        exec("def f(x, y, r):\n" + f" {statement}\n" * count, space)  # noqa: S102
        taken = []
        for _ in range(3):
            code = space["f"].__code__.replace()  # one that is not known
            begun = time.thread_time()
            points = _safepoints(code)
            taken.append(time.thread_time() - begun)
            assert points[0][2] != UNKNOWN
        return min(taken) / count

    # 1 to 2; if each took a look at all that come before it, 16.
    assert seconds_for_one(4000) / seconds_for_one(250) < 6


def test_threads_that_ask_at_once_get_the_same_answer():
    source = inspect.getsource(points_corpus)
    expected = [_safepoints(code) for code in functions_of(compile(source, "corpus", "exec"))]
    for _ in range(5):
        codes = list(functions_of(compile(source, "corpus", "exec")))
        answers: list[list[Any]] = [[] for _ in range(4)]
        start = threading.Barrier(4)

        def ask(into, codes=codes, start=start):
            start.wait()
            into.extend(_safepoints(code) for code in codes)

        threads = [threading.Thread(target=ask, args=[answer]) for answer in answers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [expected] * 4


def test_what_is_known_of_a_code_object_goes_with_it():
    source = inspect.getsource(points_corpus)

    def ask() -> None:
        for code in functions_of(compile(source, "corpus", "exec")):
            _safepoints(code)

    ask()
    tracemalloc.start()
    try:
        ask()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            ask()
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()
