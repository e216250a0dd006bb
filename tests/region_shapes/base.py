"""What a shape is: see Shape."""

from __future__ import annotations

from pathlib import Path

SHAPES: list[type[Shape]] = []


def step(number: int = 1) -> int:
    """Some statements, and calls, at which a thread can be interrupted."""
    number += 1
    number += len(str(number))
    return number


class Shape:
    """What is opened is closed, and a cleanup that began has ended."""

    rounds = 4  # how often the body runs in one region
    own_regions = False  # it is run outside of a region, and has its own
    files: tuple[str, ...] = ()
    takers: tuple[str, ...] = ()
    pause = 3000  # turns of an empty loop, at most, between requests

    def __init_subclass__(cls) -> None:
        if not cls.__name__.startswith("_"):
            SHAPES.append(cls)

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.began = self.ended = 0
        self.guarded = 0  # 1 where nothing may be raised

    def make(self, folder: Path) -> None:
        """Prepare it; the folder is for files."""

    def remove(self) -> None:
        """Undo that."""

    def body(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        assert self.guarded == 0
        assert self.opened == self.closed
        assert self.began == self.ended


class Manager:
    """A manager whose entry and exit are several statements."""

    def __init__(self, of: Shape) -> None:
        self.of = of

    def __enter__(self) -> Manager:
        self.of.opened += 1  # never
        step()  # never
        return self  # never

    def __exit__(self, *exc_info: object) -> None:
        step()  # never
        self.of.closed += 1  # never
        step()  # never
