"""Arguments that nobody would give: objects whose every answer is wrong, and ordinary ones."""

from __future__ import annotations

import functools
import queue
import sys
import threading
import types

import interruption
from chance import examples
from hypothesis import Phase, given
from hypothesis import strategies as st


class EvilError(Exception):
    """What the evil objects raise: it may come out, as itself."""


def _refuse(*_, **__):
    raise EvilError("refused")


_SPECIAL = ("eq", "hash", "repr", "str", "bool", "len", "iter", "call", "index", "float", "int")


class Evil:
    """Whatever is asked of it, it raises."""

    for _name in _SPECIAL:
        locals()[f"__{_name}__"] = _refuse
    __hash__ = _refuse
    __getattr__ = _refuse


class Liar:
    """Says of itself that it is a thread, and a number out of range."""

    __class__ = property(lambda _: threading.Thread)

    def __index__(self):
        return 2**200

    def __float__(self):
        return float("nan")


class WrongIndex:
    def __index__(self):
        return "three"  # noqa: PLE0305  (that is what it is for)

    def __float__(self):
        return "three"


class Text(str):
    __slots__ = ()
    __eq__ = _refuse
    __hash__ = _refuse


class Whole(int):
    __index__ = __float__ = __int__ = __eq__ = _refuse
    __hash__ = _refuse


class Unmade(threading.Thread):
    """A thread whose __init__ was not called."""

    def __init__(self):
        pass


class WrongIdent(threading.Thread):
    ident = property(_refuse)


class Refusing(BaseException):
    def __init__(self, *_):
        raise EvilError("refused")


class NoException(BaseException):
    def __new__(cls, *_):
        return 3


class FixedReason(Exception):
    reason = property(lambda _: "fixed")


class EvilMeta(type):
    __instancecheck__ = __subclasscheck__ = __eq__ = _refuse
    __hash__ = type.__hash__


class WithEvilMeta(BaseException, metaclass=EvilMeta):
    pass


def _finished():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return thread


def _generator():
    yield


def _functions():
    return [
        int,
        len,
        print,
        _refuse,
        Evil.__repr__,
        staticmethod(int),
        classmethod(int),
        _generator,
    ]


# Made anew for each example: they are changed, entered, decorated.
MAKERS = [
    *(lambda value=value: value for value in (None, True, False, ..., NotImplemented)),
    *(lambda name=name: getattr(interruption, name) for name in interruption.__all__),
    *(lambda function=function: function for function in _functions()),
    *(Evil, Liar, WrongIndex, Unmade, WrongIdent, threading.Thread, interruption.Thread, object),
    lambda: Text("text"),
    lambda: Whole(1),
    lambda: types.ModuleType("made_up"),
    lambda: sys.modules["interruption"],
    lambda: type("Made", (interruption.ThreadExit,), {}),
    _finished,
    _generator,
    lambda: _finished().ident,
    threading.current_thread,
    threading.get_ident,
    ValueError,
    sys.exc_info,
    queue.SimpleQueue,
    *(lambda kind=kind: kind for kind in (Refusing, NoException, FixedReason, WithEvilMeta, Evil)),
    *(lambda kind=kind: kind for kind in (int, str, type, BaseException, KeyboardInterrupt)),
]


class Made:
    """A value that is made anew each time, and the same each time."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"MAKERS[{self.number}]()"


def fresh(value):
    """For one call: what it was drawn as, made or copied."""
    if isinstance(value, Made):
        return MAKERS[value.number]()
    return value.copy() if isinstance(value, (list, dict)) else value


_DRAWN = st.one_of(
    st.integers(0, len(MAKERS) - 1).map(Made),
    st.integers(),
    st.sampled_from([-1, 0, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), 10**400]),
    st.floats(),
    st.text(alphabet=st.characters(), max_size=10),
    st.sampled_from(["", "\0", "\udc80", "a.b", ".", "a" * 100_000]),
    st.binary(max_size=10),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)

VALUES = _DRAWN.map(fresh)

_NAMED = st.dictionaries(st.integers(0, 99), _DRAWN, max_size=3)
_ARGUMENTS = st.tuples(st.lists(_DRAWN, max_size=5), _NAMED)


@functools.cache
def arguments(count):
    """So many lists of arguments, each with keywords, told by numbers: the same each time. Make
    them fresh()."""
    drawn = []

    @examples(count, phases=[Phase.generate])
    @given(_ARGUMENTS)
    def draw(one):
        drawn.append(one)

    draw()
    return drawn
