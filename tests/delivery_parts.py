"""What the test_delivery files run in regions, and where that was interrupted."""

from __future__ import annotations

import threading

from interruption import ThreadExit, allow_interruption, interrupt
from support import Started, in_thread


def ask_myself() -> None:
    interrupt(threading.get_ident())


def statements(count: int = 50) -> None:
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
