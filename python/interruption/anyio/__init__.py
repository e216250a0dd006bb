"""Functions in threads, for anyio on asyncio and on Trio: cancelling stops the function, too."""

from . import to_thread

__all__ = ["to_thread"]
