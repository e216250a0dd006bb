"""The text of programs: every form of statement that a request may come in, in any other.

What a program calls is not in its text, but given by runs.py:

``t()``
    A step, in C and true. One of them is where the request comes from.
``N(ignored)``
    The same, with an argument.
``L(what)``
    Notes it in the log, in C, and is true. Each thing that is begun has to be ended as often, be it
    by an exception; a letter, a number and a blank say which. ``e``/``x``: a manager is entered and
    left. ``a``/``r``: something is acquired before a ``try`` and released in its ``finally``.
    ``b``/``d``: a cleanup, or what else is whole, begins and is done. ``u``/``v``: so does a
    finalizer. Other letters are only noted.
``C(e)``
    Notes what was caught, in C.
``M``, ``cm``, ``S``, ``D``, ``W``, ``O``, ``K``, ``P``, ``V``, ``B``, ``Z``...
    Managers, objects with a finalizer or a weak reference, or with operators; locks, semaphores, a
    condition, a barrier, an event.

A program whose request is swallowed goes on, so it may swallow (``except BaseException``); what it
has begun it ends in any case.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from chance import seeded

# Bodies of a `try` that cannot fail: compilers drop its handler. The first ones fit everywhere.
CONSTANTS = (
    "pass",
    "...",
    "1",
    "'text'",
    "assert True",
    "note: int",
    "if 0: t()",
    "while 0: t()",
    "None",
    "x = 1",
    "x = y = True",
    "lambda: t()",
    "x = lambda: t()",
    "if True: pass",
    "x = 1; y = 2",
    "assert 1, t()",
    "global unused",
    "pass\npass",
    "if __debug__: pass",
)
RETURNS = ("return", "return 1", "return True", "return -1", "return 'text'", "return (1, 2)")

EXPRESSIONS = (
    "t()",
    "t() and t()",
    "t() or 1",
    "(t(), t())",
    "[t(), *[t()]]",
    "{t(): t()}",
    "f'{t()}{t()!r}'",
    "[t() for _ in R]",
    "[t() for _ in R if t() for _ in R]",
    "{t(): t() for _ in R}",
    "{t() for _ in R}",
    "list(t() for _ in R)",
    "sorted(R, key=lambda _: t())",
    "list(map(lambda _: t(), R))",
    "(lambda x=t(): t() and x)()",
    "t() if t() else t()",
    "not t()",
    "t() < t() < t()",
    "f(t(), t(), *[t()], **{'k': t()})",
    "f(\n t(),\n t(),\n)",
    "R[t() and 0]",
    "min((y := t()), t())",
    "(O() + O(), O()[0], O().half, t() in O(), O() == O(), not O())",
    "[*O()]",
    "{O(): O() for _ in R}",
    "reduce(lambda *_: t(), R)",
    "max(R, key=lambda _: t())",
    "list(filter(lambda _: t(), R))",
    "eval('t() and t()')",
)


ONE_LINERS = (
    "for _ in R: t()",
    "for _ in R: pass",
    "if t(): t()",
    "x = 1; t(); y = 2",
    "assert t(), t()",
    "del x; x = t()",
    "with M(0): t()",
    "with M(0): pass",
    "with cm(0): t()",
    "with M(0), cm(0): pass",
    "class C: t(); x = t()",
    "import sys; t()",
    "z = 0; z += t()",
    "f(D(0)); t()",
    "W(0); t()",
    "y = D(0); y = t()",
    "y = U(); y = t()",
    "Cycle(); t()",
    "load()",
    "exec(TEXT)",
    "with V: V.notify_all(); V.wait(0)",
    "with V: t()",
)
# Those that may raise as they begin, also where a lock is held (S10b).
WAITS = ("Z.set(); Z.wait(); Z.clear()", "B.wait(); t()")


@dataclass(frozen=True)
class Place:
    """Where a statement stands."""

    kind: str = "plain"  # of its function: plain, generator, async, async generator
    loop: bool = False  # `break` and `continue` are allowed
    leaves: bool = True  # it may return, raise, be suspended
    raises: bool = True
    star: bool = False  # in an `except*`, of which one may not return
    depth: int = 0

    def inner(self, **changes: object) -> Place:
        return replace(self, depth=self.depth + 1, **changes)  # type: ignore[arg-type]

    def whole(self) -> Place:
        """In what is not to be left before its end."""
        return self.inner(loop=False, leaves=False, raises=False)


Lines = list[str]


def indented(lines: Lines) -> Lines:
    return [" " + line for text in lines for line in text.split("\n")]


class Maker:
    """Makes one program."""

    def __init__(self, chance: random.Random, size: int) -> None:
        self.chance = chance
        self.left = size  # statements
        self.count = 0  # of names

    def new(self) -> int:
        self.count += 1
        return self.count

    def pick(self, *choices: str) -> str:
        return self.chance.choice(choices)

    def often(self, percent: int) -> bool:
        return self.chance.randrange(100) < percent

    # Bodies. --------------------------------------------------------------------------------------

    def program(self) -> str:
        head = ["def program():"]
        body = self.body(Place(), at_least=2)
        return "\n".join(head + indented(["x = y = 0", *body])) + "\n"

    def body(self, at: Place, at_least: int = 1) -> Lines:
        lines: Lines = []
        for _ in range(self.chance.randint(at_least, 3)):
            lines += self.statement(at)
        return lines

    def statement(self, at: Place) -> Lines:
        self.left -= 1
        if self.left < 0 or at.depth > 6:
            return [self.step()]
        forms = STATEMENTS if at.depth < 6 else SIMPLE
        total = sum(weight for weight, _ in forms)
        number = self.chance.randrange(total)
        for weight, form in forms:
            number -= weight
            if number < 0:
                return form(self, at)
        raise AssertionError

    def step(self) -> str:
        return self.pick("t()", f"L('s{self.new()} ')", "x = t()")

    def constant(self, at: Place) -> Lines:
        """A body that cannot fail, or hardly."""
        choices = [*CONSTANTS]
        if at.leaves and not at.star:
            if at.kind != "async generator":
                choices += RETURNS
            else:
                choices += ["return"] * 3
        if at.loop:
            choices += ["break", "continue"] * 3
        return self.pick(*choices).split("\n")

    def try_body(self, at: Place) -> Lines:
        if self.often(40):
            return self.constant(at)
        lines = self.body(at)
        if self.often(30):
            lines = self.constant(at) + lines if self.often(30) else lines + self.constant(at)
        return lines

    def cleanup(self, at: Place, first: Lines | None = None) -> Lines:
        """Of a `finally` or an `except`: what begins is done."""
        number = self.new()
        lines = [f"L('b{number} ')", *(first or [])]
        if self.often(70):
            lines += self.body(at.whole())
        elif self.often(50):
            lines += ["t()"]
        lines += [f"L('d{number} ')"]
        return ["; ".join(lines)] if len(lines) == 2 else lines

    def under(self, head: str, body: Lines) -> Lines:
        """A block; one line of it may stand on that of its head."""
        if len(body) == 1 and not body[0].startswith(HEADS) and self.often(50):
            return [head + " " + body[0]]
        return [head, *indented(body)]

    # Simple statements. ---------------------------------------------------------------------------

    def expression(self, at: Place) -> Lines:
        number = self.new()
        text = self.pick(*EXPRESSIONS)
        target = self.pick("", "x = ", "y = ", "x, y = 1, ", "x = y = ")
        if at.kind.startswith("async") and at.leaves and self.often(40):
            return [f"{target}await pause()"]
        if self.often(20):
            return [f"L('s{number} ')", target + text]
        return [target + text]

    def one_line(self, at: Place) -> Lines:
        return [self.pick(*ONE_LINERS, *(WAITS if at.raises else ()))]

    def leave(self, at: Place) -> Lines:
        choices = []
        if at.loop:
            choices += ["break", "continue", "if t(): continue", "if not t(): break"]
        if at.leaves and not at.star:
            choices += ["if not t(): return", "return" if self.often(20) else "t()"]
            if at.kind != "async generator":
                choices += ["if not t(): return t()", "return t()" if self.often(20) else "t()"]
        if at.raises:
            choices += ["raise E", "if t(): raise E(t())", "fail()"]
        return [self.pick(*choices)] if choices else [self.step()]

    def suspend(self, at: Place) -> Lines:
        if not at.leaves:
            return [self.step()]
        if at.kind == "generator":
            return [self.pick("yield", "x = yield t()", "yield from R", "yield from numbers()")]
        if at.kind == "async":
            return ["await pause()"]
        if at.kind == "async generator":
            return [self.pick("yield", "x = yield t()", "await pause()")]
        return [self.step()]

    # Compound statements. -------------------------------------------------------------------------

    def manager(self) -> str:
        number = self.new()
        which = self.pick("M", "M", "cm", "S", "stack")
        text = f"{which}({number})"
        if self.often(20):
            text = f"t() and {text}"
        return text + (" as x" if self.often(20) else "")

    def with_block(self, at: Place) -> Lines:
        is_async = at.kind.startswith("async") and at.leaves and self.often(50)
        if is_async:
            names = [self.pick("AM", "acm") + f"({self.new()})" for _ in range(2)]
            head = "async with " + ", ".join(names[: self.chance.randint(1, 2)])
        else:
            items = [self.manager() for _ in range(self.chance.choice((1, 1, 1, 2, 3)))]
            text = ", ".join(items)
            head = (
                "with (\n" + "".join(f" {item},\n" for item in items) + ")"
                if self.often(20)
                else f"with {text}"
            )
        body = self.constant(at) if self.often(20) else self.body(at.inner())
        return [head + ":", *indented(body)]

    def acquired(self, at: Place) -> Lines:
        number = self.new()
        final = self.cleanup(at, [f"L('r{number} ')"])
        if len(final) > 1 and self.often(50):
            final = [f"L('r{number} ')"]
        tail = [*self.under("try:", self.try_body(at.inner())), *self.under("finally:", final)]
        if self.often(20):
            return [f"if L('a{number} '):", *indented(tail)]
        if self.often(15) and at.leaves:
            return self.permitted(at)
        take = self.pick(
            f"L('a{number} ')",
            f"x = (\n t(),\n L('a{number} '),\n t(),\n)",
            f"x = L('a{number} ')",
            f"(t(), L('a{number} '), t())",
        )
        return [take, *tail]

    def permitted(self, at: Place) -> Lines:
        """A permit of a semaphore, whose methods are Python code of the standard library."""
        name = f"P{self.new()}"
        inside = Place(leaves=False, raises=at.raises, depth=at.depth + 1)
        tail = ["try:", *indented(self.body(inside)), "finally:", f" {name}.release()"]
        take = f"{name}.acquire(timeout=0)"
        return [f"if {take}:", *indented(tail)] if self.often(50) else [take, *tail]

    def try_finally(self, at: Place) -> Lines:
        lines = [*self.under("try:", self.try_body(at.inner()))]
        if self.often(40):
            lines += self.handlers(at)
        return [*lines, *self.under("finally:", self.cleanup(at))]

    def try_except(self, at: Place) -> Lines:
        return [*self.under("try:", self.try_body(at.inner())), *self.handlers(at)]

    def handlers(self, at: Place) -> Lines:
        lines: Lines = []
        star = self.often(25)
        names = ["E", "(E, OSError)", "Other"]
        swallows = "generator" not in at.kind  # one must not swallow its GeneratorExit
        if swallows and self.often(30):
            names.append("BaseException")
        for _ in range(self.chance.randint(1, 2)):
            head = "except* " if star else "except "
            head += self.pick(*names) + (" as e" if self.often(50) else "")
            if swallows and not star and self.often(10):
                head = "except"
            catch = ["C(e)"] if head.endswith("BaseException as e") else []
            handled = catch + self.cleanup(replace(at, star=at.star or star))
            if self.often(25) and at.raises:
                handled += [self.pick("raise", "raise E from None")]
            elif self.often(20):
                handled = self.try_constant(at)
            lines += self.under(head + ":", handled)
            if head == "except":
                break
        if self.often(30):
            lines += [*self.under("else:", self.body(at.inner()))]
        return lines

    def try_constant(self, at: Place) -> Lines:
        """A `finally` with nothing before it, and in any other cleanup."""
        body = self.constant(at.whole())
        return [*self.under("try:", body), *self.under("finally:", self.cleanup(at))]

    def loop(self, at: Place) -> Lines:
        number = self.new()
        inside = at.inner(loop=True)
        body = indented(self.body(inside))
        form = self.chance.randrange(6)
        tail = [*self.under("else:", self.body(at.inner()))] if self.often(20) else []
        if form == 0:
            return [f"for _{number} in R:", *body, *tail]
        if form == 1:
            return [
                f"n{number} = iter(R)",
                f"while next(n{number}, None) is not None:",
                *body,
                *tail,
            ]
        if form == 2:
            counted = [" if next(n, None) is None: break".replace("n,", f"n{number},")]
            return [f"n{number} = iter(R)", "while True:", *counted, *body]
        if form == 3:
            return [f"for _{number} in map(L, ('s{number} ',) * 2):", *body, *tail]
        if form == 4 and at.kind.startswith("async") and at.leaves:
            return ["async with aclosing(anumbers()) as x:", " async for y in x:", *indented(body)]
        return [f"for _{number} in numbers():", *body, *tail]

    def condition(self, at: Place) -> Lines:
        lines = [
            f"if {self.pick('t()', 'not t()', 't() and x')}:",
            *indented(self.body(at.inner())),
        ]
        if self.often(50):
            lines += [*self.under("else:", self.body(at.inner()))]
        return lines

    def matching(self, at: Place) -> Lines:
        subject = self.pick("t()", "(t(), x)", "{'k': t()}", "[t(), *R]")
        lines = [f"match {subject}:"]
        for case in ("(1, _)", "{'k': z} if t()", "[z, *_] if not t()", "_"):
            body = self.constant(at) if self.often(20) else self.body(at.inner())
            lines += indented([f"case {case}:", *indented(body)])
        return lines

    def shielded(self, at: Place) -> Lines:
        number = self.new()
        body = [f"L('b{number} ')", *self.body(at.whole()), f"L('d{number} ')"]
        return ["with defer_interruption:", *indented(body)]

    def region(self, at: Place) -> Lines:
        return ["with allow_interruption:", *indented(self.body(at.inner()))]

    def locked(self, at: Place) -> Lines:
        number = self.new()
        name = f"K{number}"
        if self.often(50):
            return [f"with {name}:", *indented(self.body(at.inner()))]
        body = [f"L('b{number} ')", *self.body(at.whole()), f"L('d{number} ')"]
        return [f"{name}.acquire()", *body, f"{name}.release()"]

    def finalized(self, at: Place) -> Lines:
        number = self.new()
        return [f"y = D({number})", *self.body(at.inner()), "y = t()"]

    def called_back(self, _: Place) -> Lines:
        """Python code of the standard library calls C code, one after the other."""
        number = self.new()
        calls = [f"partial(next, map(L, ['{note}{number} ']))" for note in "bd"]
        calls.insert(1, "N")
        added = [f"y.add_done_callback({call})" for call in calls]
        return ["y = Future()", *added, "y.set_result(t())"]

    def function(self, at: Place) -> Lines:
        """A function, and a call of it."""
        number = self.new()
        name = f"f{number}"
        kind = self.pick("plain", "plain", "generator", "async", "async generator")
        inside = Place(kind=kind, raises=at.raises, depth=at.depth + 1)
        body = ["x = y = 0", *self.body(inside)]
        if kind in ("generator", "async generator"):
            body += ["yield"]
        head = ["@keep"] if self.often(10) else []
        if kind == "plain" and self.often(20):
            head = [self.pick("@opened", "@allow_interruption", "@defer_interruption")]
        head += ["async " * kind.startswith("async") + f"def {name}(k=t()):"]
        lines = [*head, *indented(body)]
        if kind == "plain":
            call = self.pick(
                "{}()",
                "x = {}()",
                "f(t(), {}(), t())",
                "[{}() for _ in R]",
                "list(map({}, R))",
                "partial({})()",
            )
            if at.kind == "class":  # what is nested in there does not see its names
                call = "{}()"
            return [*lines, call.format(name)]
        if kind == "generator":
            call = self.pick(
                "list({}())",
                "for x in {}(): t()",
                "x = {}(); next(x, 0)",
                "[t() for x in {}()]",
                "x = {}(); next(x, 0); x.close()",
            )
            if at.kind == "generator" and at.leaves and self.often(50):
                call = "x = yield from {}()"
            return [*lines, call.format(name)]
        if kind == "async":
            call = self.pick("drive({}())", "drive({}())", "in_loop({}())")
            if at.kind != "plain" or not at.leaves:
                call = "drive({}())"
            if at.kind.startswith("async") and at.leaves and self.often(70):
                call = self.pick("await {}()", "x = await {}()", "[await {}() for _ in R]")
            return [*lines, call.format(name)]
        return [*lines, f"drive(exhaust({name}()))"]

    def class_body(self, at: Place) -> Lines:
        inside = Place(kind="class", leaves=False, raises=at.raises, depth=at.depth + 1)
        # At its end it has nothing that waits for the garbage collector.
        return [f"class C{self.new()}:", *indented(["x = y = 0", *self.body(inside), "x = y = 0"])]


HEADS = ("@", "try", "if", "for", "while", "with", "def", "async", "class", "match", "pass\n")

SIMPLE: list[tuple[int, Callable[[Maker, Place], Lines]]] = [
    (6, Maker.expression),
    (4, Maker.one_line),
    (3, Maker.leave),
    (3, Maker.suspend),
]
STATEMENTS: list[tuple[int, Callable[[Maker, Place], Lines]]] = [
    *SIMPLE,
    (6, Maker.with_block),
    (6, Maker.acquired),
    (6, Maker.try_finally),
    (4, Maker.try_except),
    (3, Maker.try_constant),
    (6, Maker.loop),
    (3, Maker.condition),
    (2, Maker.matching),
    (2, Maker.shielded),
    (1, Maker.region),
    (3, Maker.locked),
    (1, Maker.finalized),
    (1, Maker.called_back),
    (5, Maker.function),
    (1, Maker.class_body),
]


def make(seed: int, size: int = 12) -> str:
    """The text of that program."""
    maker = Maker(seeded(seed), size)
    return maker.program()
