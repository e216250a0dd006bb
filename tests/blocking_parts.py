"""What test_blocking.py does in processes of their own, with calls of the table by their names.

The main thread waits, so another one has made the call and ends it: the owner. One process does a
part with one call after the other; it prints "done", and nothing else if all is well.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from blocking_calls import Call, named
from interruption import ThreadExit, allow_interruption, interrupt
from support import PATIENCE, Started, until_blocked

waits = allow_interruption(async_interrupt=False)

# Nothing of this outlives the test, if it hangs.
signal.alarm(int(PATIENCE))
os.register_at_fork(after_in_child=lambda: signal.alarm(int(PATIENCE)))


def run(part: Callable[[Owner, str], None], *names: str) -> None:
    """Do that part with each of the calls.

    The owners stay: a thread that ends may hand its ident, and so its RLock, on.
    """
    owners = []
    for name in names:
        signal.alarm(int(PATIENCE))
        owners.append(owner := Owner())
        try:
            part(owner, name)
        except BaseException as error:
            error.add_note(f"{part.__name__}, {name}")
            raise
        if part is not exit_while_parked:
            owner.close()
    print("done")  # noqa: T201


class Owner:
    """A thread that does what it is told to."""

    def __init__(self) -> None:
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.made: list[Call] = []

    def make(self, name: str) -> Call:
        self.made.append(self.pool.submit(named(name)).result())
        return self.made[-1]

    def close(self) -> None:
        """Let go of what it has made; no wait is under way."""
        for call in self.made:
            self.pool.submit(call.close).result(PATIENCE)

    def once_main_is_blocked(self, *functions: Callable[[], Any]) -> None:
        """Have each called when the main thread is blocked again."""

        def do() -> None:
            for function in functions:
                until_blocked(threading.main_thread())
                function()

        self.doing = self.pool.submit(do)

    def has_done(self) -> None:
        self.doing.result(PATIENCE)


def wait_in(call: Call) -> Any:
    if call.end is None:
        return call.timed(1)
    return call.wait()


def next_gets_it(owner: Owner, call: Call) -> None:
    """After a wait that was interrupted."""
    owner.pool.submit(call.check_untouched).result(PATIENCE)
    if call.end is not None:
        started = Started(lambda started: (started.ready.set(), call.wait())).until_blocked()
        owner.pool.submit(call.end).result(PATIENCE)
        started.finish()


class Handler:
    """Of SIGUSR1, which the owner sends to the process."""

    def __init__(self, do: Callable[[], Any] = lambda: None) -> None:
        self.do = do
        self.calls = 0
        self.called = threading.Semaphore(0)
        signal.signal(signal.SIGUSR1, self)

    def __call__(self, *_: object) -> None:
        self.calls += 1
        self.do()
        self.called.release()

    def send(self) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert self.called.acquire(timeout=PATIENCE), "the handler did not run"


def handlers(owner: Owner, name: str) -> None:
    """They run while the main thread waits, and it waits on; what they raise ends the wait."""
    expected = shown_outside(owner, name)
    call = owner.make(name)
    handler = Handler()
    owner.once_main_is_blocked(handler.send, handler.send, call.end or (lambda: None))
    with waits:
        result = wait_in(call)
    owner.has_done()
    assert call.shown(result) == expected
    assert handler.calls == 2

    call = owner.make(name)
    Handler(lambda: 1 / 0)
    owner.once_main_is_blocked(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    try:
        with waits:
            wait_in(call)
    except ZeroDivisionError:
        owner.has_done()
        next_gets_it(owner, call)
    else:
        raise AssertionError("what the handler raised is lost")


def shown_outside(owner: Owner, name: str) -> Any:
    call = owner.make(name)
    started = Started(lambda started: (started.ready.set(), wait_in(call))[1]).until_blocked()
    if call.end is not None:
        owner.pool.submit(call.end).result(PATIENCE)
    return call.shown(started.finish())


def control_c(owner: Owner, name: str) -> None:
    call = owner.make(name)
    owner.once_main_is_blocked(lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        with waits:
            wait_in(call)
    except KeyboardInterrupt:
        owner.has_done()
        next_gets_it(owner, call)
    else:
        raise AssertionError("the KeyboardInterrupt is lost")


def park(call: Call, **options: Any) -> threading.Thread:
    """A thread that is blocked in it, in a region."""
    ready = threading.Event()

    def body() -> None:
        with contextlib.suppress(ThreadExit), waits:
            ready.set()
            wait_in(call)

    thread = threading.Thread(target=body, **options)
    thread.start()
    ready.wait()
    until_blocked(thread)
    return thread


def exit_while_parked(owner: Owner, name: str) -> None:
    """Some are in each of the calls when the interpreter ends."""
    for _ in range(3):
        park(owner.make(name), daemon=True)


def check_works(name: str) -> None:
    """In a child: one that waits is woken."""
    owner = Owner()
    thread = park(owner.make(name))
    interrupt(thread)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def end_child(check: Callable[[], Any]) -> None:
    """Its status tells whether that was well."""
    status = 1
    try:
        check()
        status = 0
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def expect_child(pid: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def fork_while_parked(owner: Owner, name: str) -> None:
    """Another thread is in it: the child is without it, the parent goes on."""
    thread = park(owner.make(name))
    pid = os.fork()
    if pid == 0:
        end_child(lambda: check_works(name))
    expect_child(pid)
    interrupt(thread)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def fork_in_a_handler(owner: Owner, name: str) -> None:
    """The main thread is in it: in the child it waits on, and can be interrupted."""
    expected = shown_outside(owner, name)
    call = owner.make(name)
    pids = []

    def fork() -> None:
        pids.append(os.fork())
        if pids[-1] == 0:
            threading.Thread(target=interrupt_main, daemon=True).start()

    handler = Handler(fork)
    owner.once_main_is_blocked(handler.send, call.end or (lambda: None))
    raised = False
    try:
        with waits:
            result = wait_in(call)
    except ThreadExit:
        raised = True
    if pids[-1] == 0:
        end_child(lambda: check_raised(raised=raised, name=name))
    expect_child(pids[-1])
    assert not raised
    assert call.shown(result) == expected
    owner.has_done()


def interrupt_main() -> None:
    until_blocked(threading.main_thread())
    interrupt(threading.main_thread())


def check_raised(*, raised: bool, name: str) -> None:
    assert raised
    from interruption import clear_interrupt

    clear_interrupt()
    check_works(name)
