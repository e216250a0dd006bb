"""A made program in a thread of its own, which others ask at any moment."""

from __future__ import annotations

import itertools
import threading

from interruption import ThreadExit, _interruption, explain, interrupt, interruption_requested
from support import PATIENCE

from programs.runs import Program, WrongError


class Target:
    """It runs the program in one region after the other, and judges what is raised in it."""

    def __init__(self, source: str, name: str = "") -> None:
        self.program = Program(source)
        self.name = name
        self.asked = ""  # the reason of the request that is on its way
        self.delivered = threading.Semaphore(0)
        self.failure: BaseException | None = None
        self.stop = False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self.stop:
                if self._turn():
                    self.delivered.release()
        except BaseException as failure:  # noqa: BLE001  (told by who asks)
            self.failure = failure
            self.delivered.release()

    def _turn(self) -> bool:
        """Whether the request was delivered."""
        error = self.program.run(itertools.repeat(True))
        if not isinstance(error, ThreadExit):
            if interruption_requested():
                requested, pending, *_ = _interruption._inspect(self.thread)  # noqa: SLF001
                if requested and not pending:
                    raise WrongError("it was raised, and came to nothing")
            return False
        if error.reason != self.asked:
            raise WrongError(f"{error.reason} instead of {self.asked}")
        try:
            self.program.judge_exit(error)
        except WrongError as wrong:
            source, noted = self.program.source, self.program.noted()
            raise WrongError(f"{wrong}\nin\n{source}\n{noted}") from None
        return True

    def ask(self, reason: str) -> None:
        """Ask it once, and wait until that was delivered."""
        self.asked = f"{self.name}{reason}"
        accepted = interrupt(self.thread, reason=self.asked)
        assert accepted or self.failure, "it was asked already"
        in_time = self.delivered.acquire(timeout=PATIENCE)
        if self.failure is not None:
            raise self.failure
        assert in_time, f"not delivered: {self.asked}\n{explain(self.thread)}"

    def end(self) -> None:
        self.stop = True
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), explain(self.thread)
        if self.failure is not None:
            raise self.failure
