"""Calls with arguments of every kind, in every state, come to the same with us and without (S10).

Run by test_blocking_arguments.py, in a process of its own: ``SEED PERCENT PART [CALL ...]``, where
``0/4`` is the first of four parts. Each call is made where nothing is interposed, then interposed
outside of a region, then inside of one. It prints a line for each that came to something else, and
last how many calls there are and were made. The seed makes others of each version of Python.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import multiprocessing
import os
import queue
import random
import re
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import interruption
from arguments_parts import ASKED, NAMES, POOL, Arena, Value, shut
from blocking_calls.tls import connected
from chance import seeded

# A call that waits for ever, in or out of a region, ends by a signal.
LIMIT = 0.004
ATTEMPTS = 8  # each twice as long: on a loaded machine the limit comes at a chance moment
SKIPPED = {
    "_signal.sigwait",  # no handler ends it: see blocking_calls/signals.py
    "_imp.exec_dynamic",
    "_imp.exec_builtin",
    "greenlet._greenlet.greenlet.switch",
    "greenlet._greenlet.greenlet.throw",
}
REGIONS = (
    interruption.allow_interruption,
    interruption.allow_interruption(async_interrupt=False),
    interruption.allow_interruption(async_interrupt=False, io_interrupt=False),
)


class Late(Exception):
    """It waits."""


def available(descriptor: int) -> int:
    """How many bytes there are to read."""
    return int.from_bytes(fcntl.ioctl(descriptor, 0x541B, b"\0" * 4), sys.byteorder)


# What a kind of calls is made on: the call, valid arguments for it, and what is to be seen after.
Made = tuple[Callable[..., Any], tuple[Any, ...], Callable[[], Any]]
ACQUIRES = {"acquire": (True, 0.001), "__exit__": (None, None, None)}


def on_lock(arena: Arena, name: str) -> Made:
    lock = threading.Lock()
    if arena.state("free", "held") == "held":
        lock.acquire()
    return getattr(lock, name), ACQUIRES.get(name, ()), lock.locked


def on_rlock(arena: Arena, name: str) -> Made:
    lock = threading.RLock()
    state = arena.state("owned", "owned twice", "free", "another's")
    if name == "_acquire_restore":
        state = "owned"  # as deep as it is told
    for _ in range({"owned": 1, "owned twice": 2}.get(state, 0)):
        lock.acquire()
    if state == "another's":
        arena.in_thread(lock.acquire, lock.release)
    saved = (lock._release_save(),) if name == "_acquire_restore" else ()

    def look() -> Any:
        depth = 0
        while lock._is_owned() and depth < 9:  # it may be as deep as it is told to be
            lock.release()
            depth += 1
        return depth

    return getattr(lock, name), ACQUIRES.get(name, saved), look


def on_semaphore(arena: Arena, name: str) -> Made:
    recursive = arena.state("semaphore", "RLock") == "RLock"
    made = multiprocessing.RLock() if recursive else multiprocessing.BoundedSemaphore(2)
    lock = made._semlock
    for _ in range(int(arena.state("0", "1", "2"))):
        lock.acquire()
    return getattr(lock, name), ACQUIRES.get(name, ()), lambda: (lock._get_value(), lock._count())


def a_thread(arena: Arena) -> threading.Thread:
    state = arena.state("finished", "running", "own", "not started")
    if state == "own":
        return threading.current_thread()
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    if state != "not started":
        thread.start()
    if state == "finished":
        over.set()
        thread.join()
    arena.stack.callback(over.set)
    return thread


def on_handle(arena: Arena, name: str) -> Made:
    thread = a_thread(arena)
    handle = getattr(thread, "_handle", None) or thread._os_thread_handle  # 3.14 has renamed it
    return getattr(handle, name), (0.001,) if name == "join" else (), thread.is_alive


def on_thread(arena: Arena, name: str) -> Made:
    thread = a_thread(arena)
    # Up to 3.12, a thread counts as ended when an exception came while it was joined (gh-90882).
    return thread.join, (0.001,), thread.is_alive if sys.version_info >= (3, 13) else int


def on_child(arena: Arena, name: str) -> Made:
    state = arena.state("ended", "ended", "running", "none")
    child = 2**22 - 1  # a number that there is not
    if state != "none":
        command = ["true"] if state == "ended" else ["sleep", "60"]
        child = os.posix_spawn(f"/bin/{command[0]}", command, {})
        if state == "ended":
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

    def end() -> Any:
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "was there"
        return "was reaped"

    return getattr(os, name), () if name == "wait" else (child, 0), end


def on_descriptor(arena: Arena, name: str) -> Made:
    readable, writable = arena.readable, arena.writable
    file = os.open(arena.path, os.O_RDWR)
    arena.stack.callback(shut, file)
    ours, theirs = arena.pair()
    state = arena.state("ready", "empty", "full", "closed", "empty, does not wait")
    if "empty" in state:
        os.read(readable, 5)
    if state == "full":
        os.set_blocking(writable, False)
        os.write(writable, bytes(1 << 16))
    os.set_blocking(writable, "wait" not in state)
    os.set_blocking(readable, "wait" not in state)
    if state == "closed":
        os.close(readable if name == "write" else writable)
        theirs.close()
    valid = {
        "read": (readable, 3),
        "write": (writable, b"abc"),
        "sendfile": (ours.fileno(), file, 1, 4),
        "scandir": (arena.folder,),
        "listdir": (arena.folder,),
    }

    def look() -> Any:
        place = os.lseek(file, 0, os.SEEK_CUR)
        return place, available(readable), available(theirs.fileno()), os.fstat(file).st_size

    return getattr(os, name), valid[name], look


def on_file(arena: Arena, name: str) -> Made:
    state = arena.state("file", "read-only", "pipe", "ended", "does not wait", "closed")
    kept: Any = None
    if state in ("file", "read-only", "closed"):
        file = io.FileIO(arena.path, "r" if state == "read-only" else "r+")
    else:
        kept = io.FileIO(arena.writable, "w", closefd=False)
        file = io.FileIO(arena.readable, "r", closefd=False)
        if state == "ended":
            os.close(arena.writable)
        elif state == "does not wait":
            os.set_blocking(arena.readable, False)
        if name == "write":
            file = kept
    arena.stack.callback(file.close)
    if state == "closed":
        file.close()
    valid = {"read": (4,), "readinto": (bytearray(4),), "write": (b"abc",)}
    seekable = state in ("file", "read-only")
    return (
        getattr(file, name),
        valid.get(name, ()),
        lambda: file.tell() if seekable else available(arena.readable),
    )


def on_file_lock(arena: Arena, name: str) -> Made:
    file, other = os.open(arena.path, os.O_RDWR), os.open(arena.path, os.O_RDWR)
    arena.stack.callback(shut, file)
    arena.stack.callback(shut, other)
    if arena.state("free", "another's") == "another's":
        fcntl.flock(other, fcntl.LOCK_EX)

    def look() -> Any:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "free"
        return "locked"

    return getattr(fcntl, name), (file, fcntl.LOCK_EX), look


def on_signal(arena: Arena, name: str) -> Made:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    arena.stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
    if arena.state("pending", "none") == "pending":
        os.kill(os.getpid(), signal.SIGUSR1)

    def look() -> Any:
        pending = signal.sigpending()
        if signal.SIGUSR1 in pending:
            signal.sigtimedwait([signal.SIGUSR1], 0)
        return pending

    valid = ([signal.SIGUSR1],) + ((0.001,) if name == "sigtimedwait" else ())
    return getattr(signal, name), valid, look


def on_queue(arena: Arena, name: str) -> Made:
    simple: queue.SimpleQueue[int] = queue.SimpleQueue()
    if arena.state("an item", "empty") == "an item":
        simple.put(1)
    valid = {"get": (True, 0.001), "put": (2, True, None), "put_nowait": (3,)}
    return getattr(simple, name), valid.get(name, ()), simple.qsize


def on_sleep(arena: Arena, name: str) -> Made:
    return time.sleep, (0.001,), int


def on_socket(arena: Arena, name: str) -> Made:
    if name in ("connect", "connect_ex"):
        return on_client(arena, name)
    if name == "_accept":
        return on_listener(arena)
    kind = arena.state("SOCK_STREAM", "SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET")
    ours, theirs = arena.pair(getattr(socket, kind))
    state = arena.state("data", "data", "none", "left", "closed", "fresh")
    if state in ("data", "left"):
        theirs.send(b"hello")
        ours.send(b"answer")
    if state == "left":
        theirs.close()
    if state == "fresh":
        ours = arena.stack.enter_context(socket.socket())
    # With a timeout it is waited for before arguments are looked at. Odd flags let it spin so long.
    limits = ("None", "None", "0") if state == "none" else ("None", "0", "0.1")
    ours.settimeout({"None": None, "0": 0, "0.1": 0.1}[arena.state(*limits)])
    if state == "closed":
        ours.close()
    valid = {
        "recv": (3, 0),
        "recv_into": (bytearray(4), 3, 0),
        "recvfrom": (3, 0),
        "recvmsg": (3, 16, 0),
        "send": (b"abc", 0),
        "sendall": (b"abc", 0),
        "sendto": (b"abc", 0, arena.address),
        "settimeout": (0.5,),
        "setblocking": (True,),
    }

    def look() -> Any:
        return [ours.gettimeout(), *(available(one.fileno()) for one in (ours, theirs))]

    return getattr(ours, name), valid.get(name, ()), look


def on_client(arena: Arena, name: str) -> Made:
    state = arena.state("good", "good", "deaf", "connected", "datagrams", "unix", "closed")
    where = arena.deaf if state == "deaf" else arena.address
    family = socket.AF_UNIX if state == "unix" else socket.AF_INET
    kind = socket.SOCK_DGRAM if state == "datagrams" else socket.SOCK_STREAM
    client = arena.stack.enter_context(socket.socket(family, kind))
    if state == "connected":
        client.connect(where)
    client.settimeout({"None": None, "60": 60}[arena.state("None", "60")])
    if state == "closed":
        client.close()
    return getattr(client, name), (where,), client.gettimeout


def on_listener(arena: Arena) -> Made:
    state = arena.state("one comes", "none", "none, does not wait", "does not listen", "closed")
    listener = arena.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    if state == "one comes":
        arena.stack.enter_context(socket.create_connection(listener.getsockname()))
    elif state == "does not listen":
        listener = arena.stack.enter_context(socket.socket())
    elif state == "none, does not wait":
        listener.settimeout(0)
    elif state == "closed":
        listener.close()
    return listener._accept, (), lambda: select.select([listener], [], [], 0)[0] == []


def on_select(arena: Arena, name: str) -> Made:
    return select.select, ([arena.readable], [], [], 0.001), int


def on_poll(arena: Arena, name: str) -> Made:
    poll = select.poll()
    if arena.state("data", "none") == "none":
        os.read(arena.readable, 5)
    poll.register(arena.readable, select.POLLIN)
    return poll.poll, (1,), int


def on_epoll(arena: Arena, name: str) -> Made:
    epoll = arena.stack.enter_context(select.epoll())
    state = arena.state("data", "data", "none", "closed")
    if state == "none":
        os.read(arena.readable, 5)
    epoll.register(arena.readable, select.EPOLLIN)
    if state == "closed":
        epoll.close()
    return epoll.poll, (0.001, 5), int


def on_tls(arena: Arena, name: str) -> Made:
    near, far = connected()
    arena.stack.enter_context(near)
    arena.stack.enter_context(far)
    if name == "read" and arena.state("data", "none") == "data":
        far.sendall(b"hello" * 4)
        near._sslobj.read(1)
    valid = {"read": (3,), "write": (b"abc",), "sendfile": (arena.file, 0, 3)}
    return getattr(near._sslobj, name), valid.get(name, ()), near.pending


CHILDREN = ("wait", "waitpid", "wait4")
PLACES: dict[str, Callable[[Arena, str], Made]] = {
    "_thread.LockType": on_lock,
    "_thread.RLock": on_rlock,
    "_thread._ThreadHandle": on_handle,
    "threading.Thread": on_thread,
    "_multiprocessing.SemLock": on_semaphore,
    "posix": on_descriptor,
    "_io.FileIO": on_file,
    "fcntl": on_file_lock,
    "_signal": on_signal,
    "_queue.SimpleQueue": on_queue,
    "time": on_sleep,
    "_socket.socket": on_socket,
    "select": on_select,
    "select.poll": on_poll,
    "select.epoll": on_epoll,
    "_ssl._SSLSocket": on_tls,
}
MOST = 3  # arguments that most calls take
Change = tuple[str, float, str, Value]  # how, where, by which name, what


class Plan:
    """A call and how its arguments differ from valid ones: the same each time that it is made."""

    def __init__(self, call: str, seed: str, changes: list[Change]) -> None:
        self.call = call
        self.seed = seed
        self.changes = changes

    def __str__(self) -> str:
        changes = [(how, at, name, POOL.index(what)) for how, at, name, what in self.changes]
        return f"{self.call}, seed {self.seed}: {changes}"

    def arguments(
        self, call: Callable[..., Any], valid: tuple[Any, ...], arena: Arena
    ) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
        """They are made now; and what is called with them, which may be told another ``self``."""
        given, named = list(valid), dict[str, Any]()
        for how, number, name, make in self.changes:
            value, at = make(arena), int(number * len(given))
            if how == "replace" and given:
                given[at] = value
            elif how == "drop" and given:
                del given[at:]
            elif how == "add":
                given.append(value)
            elif how == "name" and given:
                named[name] = given.pop()
            elif how == "surplus":
                named[name] = value
            elif how == "all":
                given = [POOL[int(number * 997 + i) % len(POOL)](arena) for i in range(4)]
            elif how == "self" and not isinstance(call.__self__, types.ModuleType):
                call, given = getattr(type(call.__self__), call.__name__), [value, *given]
        return call, given, named


def plans(call: str, chance: random.Random, percent: int) -> Iterator[Plan]:
    """So many of: each value for each argument, in some state; and several changes by chance."""
    slow = call.rpartition(".")[2] in CHILDREN or "_SSLSocket" in call  # to be made
    share = percent / (500 if slow else 100)
    single: list[list[Change]] = [[]] * 20
    for make in POOL:
        single += [[("replace", (at + 0.5) / MOST, "", make)] for at in range(MOST)]
        single += [[("add", 0, "", make)], [("surplus", 0, chance.choice(NAMES), make)]]
    single += [[("self", 0, "", make)] for make in POOL[::9]]
    how = ("replace", "replace", "drop", "name", "surplus", "all")
    several: list[list[Change]] = [
        [
            (chance.choice(how), chance.random(), chance.choice(NAMES), chance.choice(POOL))
            for _ in range(chance.choice((1, 2, 2, 3)))
        ]
        for _ in single
    ]
    for changes in single + several:
        seed = f"{call} {chance.random()}"
        if chance.random() < share:
            yield Plan(call, seed, changes)


def described(value: Any) -> str:
    """What can be compared of a result."""
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({', '.join(map(described, value))})"
    if isinstance(value, os.DirEntry) or hasattr(value, "close") or callable(value):
        return type(value).__name__
    return f"{type(value).__name__} {value!r}"


Outcome = tuple[str, str]


def outcome(plan: Plan, region: Any, limit: float) -> Outcome:
    """What comes of it: the result or exception in words, and what is to be seen afterwards."""
    place, _, name = plan.call.rpartition(".")
    with contextlib.ExitStack() as stack:
        arena = Arena(stack, seeded(plan.seed))
        call, valid, look = (on_child if name in CHILDREN else PLACES[place])(arena, name)
        call, given, named = plan.arguments(call, valid, arena)
        result: Any = None
        ASKED.clear()
        try:
            with limited(limit), region:
                result = call(*given, **named)
        except Exception as error:  # noqa: BLE001  (of whatever kind: it is compared)
            said = f"raises {type(error).__name__}: {error}, {getattr(error, 'errno', None)}"
        else:
            said = f"returns {described(result)}"
        said += f" with {described(given)}" if place != "_ssl._SSLSocket" else ""
        seen = "nothing"
        with contextlib.suppress(OSError, ValueError):
            seen = described(look())
        for made in result if isinstance(result, tuple) else (result,):
            if isinstance(made, int) and name == "_accept":
                os.close(made)
            elif hasattr(made, "close"):
                made.close()
        # Who looks again, or has the original tell what is wrong, asks again.
        asked = dict.fromkeys(ASKED) if name == "poll" or result is None else ASKED
        return without_chance(said, plan, arena), f"{seen}, asked for {[*asked]}"


def without_chance(said: str, plan: Plan, arena: Arena) -> str:
    """Without addresses, idents, the folder, ports, children's ids and their use of the machine."""
    name = plan.call.rpartition(".")[2]
    said = said.replace(vars(arena).get("folder", "no folder"), "FOLDER")
    said = re.sub(r"0x[0-9a-f]+|\b\d{5}(?=\))|\b\d{15}\b", "N", said)
    if name in CHILDREN:
        return re.sub(r"[\d.e-]*\d", "N", said)
    return re.sub(r"int \d+", "int N", said) if name == "_accept" else said


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """What takes longer in the block raises Late, once, also if a first signal came too early."""
    armed = [True]

    def late(*_: object) -> None:
        if armed:
            armed.clear()
            raise Late

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        armed.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)


class Three:
    """A call without us, with us, and in a region."""

    def __init__(self, plan: Plan, number: int) -> None:
        self.plan = plan
        self.region = REGIONS[number % len(REGIONS)]
        self.without: Outcome | None = None

    def look_without(self, limit: float = LIMIT) -> None:
        self.without = outcome(self.plan, contextlib.nullcontext(), limit)

    def look_with(self, limit: float = LIMIT) -> str | None:
        """None, or what differs."""
        outside = outcome(self.plan, contextlib.nullcontext(), limit)
        inside = outcome(self.plan, self.region, limit)
        if self.without == outside and (outside == inside or self.may_wait(outside, inside)):
            return None
        return f"{self.plan}\n  without {self.without}\n  outside {outside}\n  inside  {inside}"

    def may_wait(self, outside: Outcome, inside: Outcome) -> bool:
        """Who peeks is not told what else is wrong before there is something to be seen."""
        several = len(self.plan.changes) > 1 and ".recv" in self.plan.call
        return several and "raises TypeError" in outside[0] and "raises Late" in inside[0]

    def look_again(self) -> str | None:
        """With more and more time."""
        differs = None
        for attempt in range(1, ATTEMPTS):
            interruption.blocking.disable()
            self.look_without(LIMIT * 2**attempt)
            interruption.blocking.enable()
            differs = self.look_with(LIMIT * 2**attempt)
            if differs is None:
                return None
        return differs


def main() -> None:
    seed, percent, part, *wanted = sys.argv[1:]
    first, parts = map(int, part.split("/"))
    # What is written to a small number, a dup() of 1 among them, does not get there.
    out, sys.stderr = (
        os.fdopen(fcntl.fcntl(standard, fcntl.F_DUPFD, 200), "w", buffering=1)
        for standard in (1, 2)
    )
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(4):
        os.dup2(null, number)
    os.chdir(tempfile.mkdtemp())
    interruption.blocking.enable()
    families = interruption.blocking.status().families
    calls = {call for family in families for call in family.calls} | {"threading.Thread.join"}
    chance = seeded(f"{seed}, {sys.version_info[:2]}, {part}")
    made = [
        Three(plan, at)
        for call in sorted(calls - SKIPPED)[first::parts]
        if not wanted or call in wanted
        for at, plan in enumerate(plans(call, chance, int(percent)))
    ]
    interruption.blocking.disable()
    for three in made:
        three.look_without()
    interruption.blocking.enable()
    for three in made:
        if three.look_with() and (differs := three.look_again()):
            print(differs, file=out)
    print(len({three.plan.call for three in made}), len(made), file=out)


main()
