"""What the test_delivery and test_regions files run in regions, and where it was interrupted."""

from __future__ import annotations

import sys
import threading

from interruption import ThreadExit, allow_interruption, interrupt
from support import Started, in_thread


def assert_nothing_armed(*codes) -> None:
    """No event of ours is set, in all code or in those; up to 3.11, no trace function."""
    if sys.version_info < (3, 12):
        assert sys.gettrace() is None or "coverage" in repr(sys.gettrace())
        return
    monitoring = sys.monitoring
    (tool,) = [number for number in range(6) if monitoring.get_tool(number) == "interruption"]
    assert monitoring.get_events(tool) == 0
    for code in codes:
        assert monitoring.get_local_events(tool, code) == 0, code


def ask_myself(reason: str | None = None) -> None:
    interrupt(threading.get_ident(), reason=reason)


def statements(count: int = 100) -> None:
    """So many, and more instructions that jump back."""
    for _ in range(count):
        pass


def waits(order: list[str]) -> None:
    """Ask, run statements, and note that nothing came."""
    ask_myself()
    statements()
    order.append("waited")


def run(situation):
    """Run it in a region in a thread; what it has noted, and whether the request was delivered."""

    def body():
        order: list[str] = []
        try:
            with allow_interruption:
                situation(order)
                statements()
                order.append("not delivered")
        except ThreadExit:
            order.append("delivered")
        return order

    return in_thread(body)


def spin_in(function, started, region):
    """Call ``function`` again and again in a region, until interrupted; where that was."""
    try:
        with region:
            started.ready.set()
            while True:
                function()
    except ThreadExit as error:
        traceback = error.__traceback__
        while traceback.tb_next is not None:
            traceback = traceback.tb_next
        return traceback.tb_frame.f_code
    raise AssertionError


def interrupted_in(function, region=allow_interruption):
    started = Started(lambda started: spin_in(function, started, region)).until_ready()
    interrupt(started.thread)
    return started.finish()
