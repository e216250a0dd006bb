"""What the standard library exchanges with others, and a wait was broken off in (S31).

Called by the compiled part (src/module/safepoints/making.c), which has the table of what that is.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def close(connection: "Any", path: "str | None") -> None:
    """Close it; or what it has under that name, or names, and have it no more.

    Called again if it was broken off.
    """
    if path is None:
        connection.close()
        return
    first, _, second = path.partition(".")
    if second:
        holder = getattr(connection, first)
        getattr(holder, second).close()
        delattr(holder, second)
    else:
        getattr(connection, first).close()
        setattr(connection, first, None)
