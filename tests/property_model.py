"""What a thread's requests, blocks and waits should do: the rules of S1-S21, as plain data.

`Model` is of one thread. It has never heard of the library.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# By kind of region: does it let requests in between statements, and where calls block?
MAKES_REGION = {
    "region": (True, True),
    "waits only": (False, True),
    "statements only": (True, False),
    "neither": (False, False),
}


@dataclass(eq=False)
class Level:
    """What the thread is in: a block, a cleanup, a held lock, or a generator that it runs."""

    kind: str
    form: str = ""
    noted: bool = False  # of a lock: it was taken in a region, so it counts (S9)
    generator: int | None = None

    @property
    def is_region(self):
        return self.kind in MAKES_REGION

    @property
    def is_block(self):
        return self.is_region or self.kind == "shield"


@dataclass(eq=False)
class Model:
    stack: list[Level] = field(default_factory=list)  # outermost first
    suspended: dict[int, list[Level]] = field(default_factory=dict)  # by generator (S21)
    alive: bool = True
    requested: bool = False  # S4
    pending: bool = False  # not delivered yet
    requested_again: bool = False  # asked more than once (S10c)
    request: tuple = ()  # (exception class, reason) of the last one that counts
    delivered: tuple = ()  # of the last delivery
    switches: dict[str, bool] = field(default_factory=lambda: {"async": True, "io": True})

    # Requests. ------------------------------------------------------------------------------------

    def ask(self, exc_type, reason):
        """Returns what interrupt() does (S1)."""
        if not self.alive:
            return False
        if self.pending:
            self.requested_again = True
            return False
        self.requested_again = self.requested
        self.requested = self.pending = True
        self.request = (exc_type, reason)
        return True

    def deliver(self):
        """Returns what is raised; also again, by those who look (S5)."""
        assert self.requested
        if self.pending:
            self.delivered = self.request
        self.pending = self.requested_again = False
        return self.delivered

    def clear(self):
        was = self.requested
        self.requested = self.pending = self.requested_again = False
        return was

    def end(self):
        self.clear()
        self.alive = False
        self.stack.clear()

    # Where it is. ---------------------------------------------------------------------------------

    def all_levels(self):
        return self.stack + [level for levels in self.suspended.values() for level in levels]

    def _has_regions(self):
        """Also suspended ones: while there are any, locks that are taken are noted."""
        return any(level.is_region for level in self.all_levels())

    def _region(self):
        """Where the outermost region in force is."""
        return next((at for at, level in enumerate(self.stack) if level.is_region), None)

    @property
    def shielded(self):
        return any(level.kind == "shield" for level in self.stack)

    def _lets_in(self, which):
        regions = [level for level in self.stack if level.is_region]
        if not regions or self.shielded:
            return False
        off = any(not MAKES_REGION[level.kind][which] for level in regions)
        return not off and self.switches["io" if which else "async"]

    @property
    def lets_statements(self):
        return self._lets_in(0)

    @property
    def lets_waits(self):
        return self._lets_in(1)

    @property
    def in_cleanup(self):
        region = self._region()
        return region is not None and any(x.kind == "cleanup" for x in self.stack[region:])

    @property
    def holds_lock(self):
        return any(level.noted for level in self.all_levels())

    @property
    def deliverable(self):
        """Is a request raised at the next statement? (S9)"""
        free = not self.in_cleanup and not self.holds_lock
        return self.pending and self.lets_statements and free

    def wakes(self, mutex):
        """Does a wait in this place raise? (S10)"""
        enough = self.requested_again or not (mutex and self.in_cleanup)
        return self.pending and self.lets_waits and enough

    @property
    def enter_raises(self):
        """A region that has just been entered is left again. (S7)"""
        regions = sum(level.is_region for level in self.stack)
        return self.requested and regions == 1 and not self.shielded

    # Going somewhere else. ------------------------------------------------------------------------

    def enter(self, level):
        level.noted = level.kind == "lock" and self._has_regions()
        self.stack.append(level)

    def leave(self):
        level = self.stack.pop()
        self._forget_locks()
        return level

    def _forget_locks(self):
        if not self._has_regions():
            for level in self.all_levels():
                level.noted = False

    def resume(self, generator):
        self.stack.append(Level("running", generator=generator))
        self.stack += self.suspended.pop(generator)

    @property
    def running(self):
        """The innermost generator that runs, or None."""
        return next((x.generator for x in reversed(self.stack) if x.kind == "running"), None)

    def suspend(self):
        at = max(at for at, level in enumerate(self.stack) if level.kind == "running")
        generator = self.stack[at].generator
        self.suspended[generator] = self.stack[at + 1 :]
        del self.stack[at:]

    def drop(self, generator):
        """It has been closed."""
        levels = self.suspended.pop(generator)
        self._forget_locks()
        return levels

    # Why has it not stopped? (S19) ----------------------------------------------------------------

    def explained(self, *, protected):
        """`protected`: the innermost frame is in protected code."""
        words = {
            "finished": not self.alive,
            "not asked": not self.requested,
            "delivered": not self.pending,
            "not in a region": self._region() is None,
            "shielded": self.shielded,
            "switched off": not self.lets_statements,
            "in protected code": protected,
            "in cleanup": self.in_cleanup,
            "holding a lock": self.holds_lock,
            "running": True,
        }
        return next(word for word, holds in words.items() if holds)
