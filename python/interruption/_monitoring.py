"""From Python 3.12 on: how the interpreter is made to call the compiled part between statements.

The first region calls ``connect`` (src/module/delivery/monitoring.c).
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NAME = "interruption"
_TOOLS = (4, 3, 5, 2, 1, 0)  # those first that are not meant for somebody else


def connect(callbacks: "dict[str, Callable[..., object]]") -> "tuple[Any, ...]":
    """Have them called for the events that they are named by, where these are set.

    Nothing of it is undone, and to do it again changes nothing: another thread may do so at the
    same time, and what was broken off is made whole by the next one. Returns what is needed to set
    events: see ``connection`` over there.

    RuntimeError: other tools have all ids.
    """
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    events, tool = monitoring.events, _take_tool(monitoring)
    for name, callback in callbacks.items():
        monitoring.register_callback(tool, getattr(events, name), callback)
    everywhere = events.LINE | events.JUMP | events.CALL | events.PY_START
    return (
        tool,
        monitoring.set_local_events,
        monitoring.set_events,
        monitoring.DISABLE,
        everywhere,
        everywhere | events.INSTRUCTION,
        events.CALL,
        events.PY_START | events.PY_RESUME,
    )


def _take_tool(monitoring: "Any") -> int:
    for tool in _TOOLS:
        try:
            monitoring.use_tool_id(tool, _NAME)
        except ValueError:  # somebody has it; or we have
            if monitoring.get_tool(tool) != _NAME:
                continue
        return tool
    raise RuntimeError(
        "no tool id of sys.monitoring is free, so nothing can be interrupted between statements: "
        f"they are taken by {[monitoring.get_tool(tool) for tool in sorted(_TOOLS)]!r}; stop one "
        "of these tools before the first region is entered, or use "
        "allow_interruption(async_interrupt=False)"
    )
