"""What the test_decorators files decorate with: any context manager will do."""

from __future__ import annotations


class Region:
    """Reentrant, as the real ones are. ``log`` has what happened, in order."""

    def __init__(self):
        self.depth = 0
        self.log = []
        self.refuses = None

    def __enter__(self):
        if self.refuses is not None:
            raise self.refuses
        self.depth += 1
        self.log.append("enter")
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.depth -= 1
        self.log.append("exit" if exc_type is None else exc_type.__name__)


class Stop(Exception):
    pass
