"""Programs of nested scopes made by chance, run beside a model of levels (S22-S26).

The model knows the rules and nothing of the library: whose request is raised at which step, where
it ends, what each call returns. INTERRUPTION_STRESS scales how many programs there are.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import textwrap
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from chance import examples, scaled
from hypothesis import given
from hypothesis import strategies as st
from interruption import (
    Scope,
    ThreadExit,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    current_deadline,
    defer_interruption,
    interrupt,
    interruption_requested,
    move_on_after,
    timeout,
    timeout_at,
)
from support import in_thread

FAR = 1e9  # seconds: it does not come by itself
KINDS = {
    "Scope": Scope,
    "timeout": lambda: timeout(FAR),
    "timeout_at": lambda: timeout_at(FAR),
    "move_on_after": lambda: move_on_after(FAR),
    "shielded": lambda: move_on_after(FAR, shield=True),
}
NAMES = ("a", "b", "c", "d")
THREAD = "thread"

# A program is a list of these: (what, of whom or how, its body, the cleanup after that).
SIMPLE = st.one_of(
    st.tuples(st.sampled_from(["interrupt", "expire"]), st.sampled_from(NAMES)),
    st.tuples(st.just("interrupt"), st.just(THREAD)),
    st.tuples(st.sampled_from(["step", "wait", "check", "deadline"]), st.just("")),
)


def compound(inner):
    body = st.lists(inner, min_size=1, max_size=4)
    scope = st.tuples(st.just("scope"), st.sampled_from(NAMES), body)
    return st.one_of(
        *(scope, scope, scope),
        st.tuples(st.sampled_from(["shield", "lock", "except"]), st.just(""), body),
        st.tuples(st.just("finally"), st.just(""), body, body),
    )


PROGRAMS = st.lists(st.recursive(SIMPLE, compound, max_leaves=25), min_size=1, max_size=6)


def settled(program, count, used, locked=False):  # noqa: FBT002
    """Each step with its number. No scope is entered twice, no lock in itself."""
    steps = []
    for what, whom, *bodies in program:
        again = (what == "scope" and whom in used) or (what == "lock" and locked)
        used |= {whom} if what == "scope" else set()
        number = next(count)
        inside = [settled(body, count, used, locked or what == "lock") for body in bodies]
        steps.append((number, "nothing" if again else what, whom, inside))
    return steps


# As Python. ---------------------------------------------------------------------------------------

HEADS = {
    "scope": "with suppress(TimeoutError), {0}:",
    "shield": "with defer_interruption:",
    "lock": "with lock:",
    "except": "try:\n raise KeyError\nexcept KeyError:",
    "finally": "try:",
    "nothing": "if True:",
}
LINES = {
    "interrupt": "log({0}.interrupt(reason='{0}'))",
    "expire": "log({0}.reschedule(0))",
    "step": "pass",
    "wait": "sleep(0.0005)",
    "check": "check_interrupt()",
    "deadline": "log(current_deadline() < inf)",
}


def source(steps):
    lines = []
    for number, what, whom, bodies in steps:
        lines += ["for _ in range(3): pass", f"log({number})"]
        texts = [textwrap.indent(source(body), " ") for body in bodies]
        if bodies:
            lines += [HEADS[what].format(whom), texts[0]]
            lines += ["finally:", texts[1]] if what == "finally" else []
        elif whom == THREAD:
            lines.append("log(interrupt(me, reason='thread'))")
        else:
            lines.append(LINES[what].format(whom))
    return "\n".join(lines)


def run(steps, kinds):
    """What it notes and what comes out of it; was the thread asked; which scopes have expired."""
    noted: list[Any] = []
    scopes = {name: KINDS[kind]() for name, kind in zip(NAMES, kinds, strict=True)}
    space = {
        **scopes,
        "log": noted.append,
        "lock": threading.Lock(),
        "inf": math.inf,
        "sleep": time.sleep,
        "interrupt": interrupt,
        "me": threading.get_ident(),
        "suppress": contextlib.suppress,
        "check_interrupt": check_interrupt,
        "current_deadline": current_deadline,
        "defer_interruption": defer_interruption,
        "allow_interruption": allow_interruption,
    }
    text = textwrap.indent(source(steps), "  ")
    text = f"def run():\n with allow_interruption:\n{text}\n  log('end')\n"
    exec(text, space)  # noqa: S102
    out = None
    try:
        space["run"]()
    except ThreadExit as error:
        out = error.reason
    assert current_deadline() == math.inf
    assert not space["lock"].locked()
    requested = interruption_requested()
    clear_interrupt()
    return text, noted, out, requested, [scope.expired() for scope in scopes.values()]


# The model. ---------------------------------------------------------------------------------------


class StopError(Exception):
    """Raised for that level."""

    def __init__(self, level, reason):
        self.level, self.reason = level, reason


@dataclass(eq=False)
class Level:
    name: str
    kind: str = ""
    when: float = math.inf
    state: str = "new"  # entered, left
    asked_early: bool = False  # before it was entered
    requested: bool = False
    pending: bool = False
    reason: str | None = None  # of what was asked; None for a deadline
    delivered: str | None = None
    expired: bool = False
    passed: set[str] = field(default_factory=set)  # what was stopped around it: thread, scope

    def accept(self, reason):
        new = not self.pending
        if new:
            self.requested = self.pending = True
            self.reason = reason
        return new

    def interrupt(self):
        """Returns whether it reaches somebody, now or later; of a thread, whether it is new."""
        if self.state == "new":
            self.asked_early = True
        new = self.state == "entered" and self.accept(self.name)
        return new if self.name == THREAD else self.state != "left"

    def expire(self):
        """Its deadline is moved to the past."""
        moves = not self.expired and (self.state != "left" or self.kind == "Scope")
        if moves:
            self.when = 0
        if moves and self.state == "entered":
            self.look_at_deadline()
        return moves

    def look_at_deadline(self):
        if self.when <= 0:
            self.expired = True
            if not self.requested:  # once it has been stopped, it is left alone (S25)
                self.accept(None)

    def enter(self):
        self.state = "entered"
        self.look_at_deadline()
        if self.asked_early:
            self.accept(self.name)

    def take(self):
        """It is stopped, or is so with what is around it."""
        if self.pending:
            self.delivered, self.pending = self.reason, False


class Model:
    def __init__(self, kinds):
        self.thread = Level(THREAD, state="entered")
        self.scopes = [
            Level(name, kind, math.inf if kind == "Scope" else FAR)
            for name, kind in zip(NAMES, kinds, strict=True)
        ]
        self.named = {level.name: level for level in (self.thread, *self.scopes)}
        self.stack: list[Level | str] = [self.thread]  # levels, and what delays requests
        self.noted: list[Any] = []

    def levels(self):
        return [at for at in self.stack if isinstance(at, Level)]

    def is_behind(self, level, delays):
        """Is one of those inside of it (S24)?"""
        return not delays.isdisjoint(self.stack[self.stack.index(level) :])

    # Raising. -------------------------------------------------------------------------------------

    def stop(self, level):
        level.take()
        levels = self.levels()
        for each in levels[levels.index(level) + 1 :]:
            each.take()
            each.passed.add("thread" if level is self.thread else "scope")
        late = level.delivered is None and level.expired
        raise StopError(level, "deadline" if late else level.delivered)

    def look(self, *delays):
        """Raise for the outermost that waits and may be (S23)."""
        for level in self.levels():
            if level.pending and not self.is_behind(level, set(delays)):
                self.stop(level)

    def at_statement(self):
        self.look("shield", "lock", "cleanup")

    def check(self):  # S5
        for level in self.levels():
            if level.requested and not self.is_behind(level, {"shield"}):
                self.stop(level)

    def has_deadline(self):
        return any(
            level.when < math.inf
            and not self.is_behind(level, {"shield"})
            and not (level.requested and not level.pending)
            for level in self.levels()
        )

    # Running. -------------------------------------------------------------------------------------

    def run(self, steps):
        out = None
        try:
            self.body(steps)
            self.at_statement()
            self.noted.append("end")
        except StopError as error:
            out = error.reason
        return self.noted, out, self.thread.requested, [level.expired for level in self.scopes]

    def body(self, steps):
        for number, what, whom, bodies in steps:
            self.at_statement()
            self.noted.append(number)
            if bodies:
                getattr(self, f"run_{what}")(whom, *bodies)
            elif what in ("interrupt", "expire"):
                self.noted.append(getattr(self.named[whom], what)())
            elif what == "wait":
                self.look("shield")
            elif what == "check":
                self.check()
            elif what == "deadline":
                self.noted.append(self.has_deadline())

    def run_nothing(self, _, body):
        self.body(body)

    def inside(self, delay, body):
        self.stack.append(delay)
        try:
            self.body(body)
        finally:
            self.stack.pop()

    def run_shield(self, _, body):
        self.inside("shield", body)
        self.at_statement()  # S12

    def run_lock(self, _, body):
        self.inside("lock", body)

    def run_except(self, _, body):
        self.inside("cleanup", body)

    def run_finally(self, _, body, cleanup):
        try:
            self.body(body)
        finally:
            self.inside("cleanup", cleanup)

    def run_scope(self, name, body):
        level, error = self.named[name], None
        before = len(self.stack)
        self.stack += ["shield", level] if level.kind == "shielded" else [level]
        level.enter()
        try:
            self.body(body)
        except StopError as raised:
            error = raised
        ends = error is not None and error.level is level and not level.passed
        if error is not None and error.level is level and "scope" in level.passed:
            stopped = (each for each in self.levels()[1:] if each.requested and not each.pending)
            error.level = next(stopped)
        del self.stack[before:]
        level.state = "left"
        if ends or (level.kind == "shielded" and error is None):
            self.at_statement()
        if error is not None and not ends:
            raise error


def test_scopes_do_as_the_model_says(percent):  # S22-S26
    @examples(scaled(2000, percent))
    @given(PROGRAMS, st.tuples(*[st.sampled_from(list(KINDS))] * len(NAMES)))
    def search(program, kinds):
        steps = settled(program, itertools.count(), set())
        text, *found = in_thread(lambda: run(steps, kinds))
        expected = list(Model(kinds).run(steps))
        assert found == expected, f"{kinds}\n{text}"

    search()
