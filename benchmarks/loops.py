"""What ``loops_in_regions.py`` times: kinds of Python code, each a loop of so many turns."""

import json
import threading
from collections.abc import Callable, Iterator


class Body:
    """A body of the n-body problem, in two dimensions."""

    def __init__(self, position: float, speed: float, mass: float) -> None:
        """Take a position."""
        self.x, self.y = position, 0.0
        self.vx, self.vy = 0.0, speed
        self.mass = mass

    def move(self, step: float) -> None:
        """Move on."""
        self.x += step * self.vx
        self.y += step * self.vy


def nbody(turns: int) -> None:
    """Arithmetic with floats and attributes."""
    bodies = [Body(1.0 + i, 0.1 * i, 1.0 / (i + 1)) for i in range(4)]
    for _ in range(turns):
        for i, one in enumerate(bodies):
            for other in bodies[i + 1 :]:
                dx, dy = one.x - other.x, one.y - other.y
                force = 0.001 / (dx * dx + dy * dy + 0.01) ** 1.5
                one.vx -= dx * other.mass * force
                one.vy -= dy * other.mass * force
                other.vx += dx * one.mass * force
                other.vy += dy * one.mass * force
        for body in bodies:
            body.move(0.001)


def containers(turns: int) -> None:
    """Lists, dicts and strings."""
    for turn in range(turns):
        words = f"{turn} one two three four".split()
        lengths = {word: len(word) for word in words}
        words.sort(key=lengths.__getitem__)
        lengths[" ".join(words).upper()] = turn
        words.append(str(sum(lengths.values())))


def fib(n: int) -> int:
    """Call and return."""
    return n if n < 2 else fib(n - 1) + fib(n - 2)  # noqa: PLR2004 - that is Fibonacci's


def recursion(turns: int) -> None:
    """A recursive function."""
    for _ in range(turns):
        fib(8)


def methods(turns: int) -> None:
    """Calls of methods."""
    body = Body(1.0, 0.1, 1.0)
    for _ in range(turns):
        body.move(0.001)
        body.move(-0.001)


def numbers(limit: int) -> Iterator[int]:
    """Yield some."""
    yield from range(limit)


def generators(turns: int) -> None:
    """Generators, consumed by Python and by C."""
    for _ in range(turns):
        for _ in numbers(10):
            pass
        sum(number for number in numbers(10))


def json_text(turns: int) -> None:
    """``json`` there and back."""
    data = {"name": "text", "values": [1, 2.5, None, True], "nested": {"a": [], "b": "c"}}
    for _ in range(turns):
        data = json.loads(json.dumps(data))


def comprehensions(turns: int) -> None:
    """Comprehensions of lists and sets."""
    for _ in range(turns):
        squares = [i * i for i in range(20)]
        _ = {square % 7 for square in squares if square}


def locks(turns: int) -> None:
    """A lock, taken and released."""
    lock = threading.Lock()
    for _ in range(turns):
        with lock:
            pass


LOOPS: dict[str, Callable[[int], object]] = {
    "a step of n bodies": nbody,
    "lists, dicts, strings": containers,
    "recursive calls": recursion,
    "method calls": methods,
    "generators": generators,
    "`json.loads(json.dumps())`": json_text,
    "comprehensions": comprehensions,
    "`with lock: pass`": locks,
}
