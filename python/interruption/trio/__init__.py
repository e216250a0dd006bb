"""Functions in threads, for Trio: cancelling stops the function, too."""

from . import to_thread

__all__ = ["to_thread"]
