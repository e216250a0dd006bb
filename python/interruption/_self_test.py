"""Is this interpreter the one that the compiled part was made for (S32)? Asked by the first region.

A wheel that was built on one release runs on others of the same version. What is read off compiled
code may differ there. So forms whose safe places are known are compiled, and compared: source with
a mark on each line that says what the line's instructions must be. "Somewhere", "nowhere" are about
where an exception may be raised between statements.
"""

import _frozen_importlib_external as _importer
from collections import defaultdict
from types import CodeType

from . import _interruption
from ._interruption import _magic_number, _safepoints

# What must be found on the line, and what must not; of any other mark nothing.
_MARKS: dict[str, tuple[set[str], set[str]]] = {
    "p": ({"point"}, set()),  # somewhere; and where it calls, it is known to
    "g": (
        set(),
        {"point"},
    ),  # nowhere, if there is an instruction at all: before what a `try` protects
    "f": ({"finally"}, {"point"}),  # nowhere, and one is in a `finally`,
    "F": ({"finally"}, {"point", "loop"}),  # nor in a loop that is all on that line
    "e": ({"except"}, {"point"}),  # nowhere, and one is in an `except`
    "w": ({"point", "entry", "exit"}, set()),  # somewhere; both ends of a `with` are there
    "l": ({"loop"}, set()),  # at the head of a loop or its jump back
}

_FORMS = """\
def f(a): #.
 for x in a(): #p
  with x: #w
   if a(): break #p
   if x(): continue #p
  x.acquire() #p
  try: #g
   if x(): break #p
   if a(): return a() #p
   a() #p
  finally: #.
   a() #f
   x.release() #f
 while a: pass #l
 match a(): #p
  case [x, *_] if x: #.
   x() #p
 return [x() for x in a] #p
def f(a): #.
 try: #g
  a() #p
 except OSError as e: #e
  a(e) #e
 else: #.
  a() #p
 finally: #.
  a() #f
 try: #g
  a() #p
 except* OSError: #e
  a() #e
 try: #g
  yield a() #p
 except: #e
  a() #e
 finally: #.
  for x in a: x() #F
  with a: a() #f
 while True: pass #l
async def f(a): #.
 async with a as x: #w
  async for x in a(): #p
   await x() #p
 try: #g
  a() #p
 finally: #.
  await a() #f
# Of a `try` that cannot fail compilers leave no handler that anything leads to.
def f(a): #.
 for x in a: #p
  try: pass #g
  finally: #.
   a() #f
 while a: #.
  try: break #.
  finally: #.
   a() #f
 try: #g
  try: x = 1 #.
  finally: #.
   a() #f
 finally: #.
  a() #f
 try: return 1 #.
 finally: #.
  if a: a() #f
"""

# Of an instruction (safepoints.h): what may happen there, and what cleanup it is in.
_STATEMENT, _LOOP, _CALLS, _GAP, _HEAD = 1, 2, 4, 8, 16
_CLEANUPS = ("free", "finally", "except", "entry", "exit", "unknown")


def find_refusal(strange: str | None) -> str | None:
    """Why nothing can be told safe on this interpreter, in words; None: all is as expected.

    ``strange``: a field of a struct that is not where it was. The compiled part keeps the answer
    as ``_refused``: it is there still if this package is imported anew.
    """
    number = int.from_bytes(_importer.MAGIC_NUMBER[:2], "little")
    refused: str | None
    if number != _magic_number:
        refused = (
            f"its bytecode has number {number}, and this library was built for {_magic_number}"
        )
    elif strange is not None:
        refused = f"its {strange} is not where it was"
    else:
        try:
            refused = check_forms(_FORMS)
        except SyntaxError as error:
            refused = f"its compiler refuses form {error.lineno}"
    _interruption._refused = refused  # noqa: SLF001
    return refused


def check_forms(source: str) -> str | None:
    """The first line of such forms that is not as marked, in words; or None."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    _look_at(compile(source, "<interruption>", "exec", dont_inherit=True), found)
    for number, line in enumerate(source.splitlines(), 1):
        text, _, mark = line.partition("#")
        needed, forbidden = _MARKS.get(mark[:1], (set(), set()))
        if mark == "p" and "(" in text:
            needed = needed | {"calls"}
        if not needed <= found[number] or forbidden & found[number]:
            return f'its compiler makes something else of "{text.strip()}" (form {number})'
    return None


def _look_at(code: CodeType, found: defaultdict[int, set[str]]) -> None:
    """What there is at the instructions of each line, of a code object and all that are within."""
    places = _safepoints(code)
    before = None
    for start, end, line in code.co_lines():
        here = found[line or 0]
        for offset, flags, cleanup, _ in places[start // 2 : end // 2]:
            free = cleanup == 0 and not flags & _GAP
            if free and flags & _STATEMENT and offset == start and line != before:
                here.add("point")
            if free and flags & (_LOOP | _HEAD):
                here.add("loop")
            if flags & _CALLS:
                here.add("calls")
            here.add(_CLEANUPS[cleanup])
        before = line
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _look_at(constant, found)
