"""Scopes under fire: nests of scopes made by chance, which two threads shoot at.

By hand: ``cd tests; python scopes_fire.py --seed 1 --scopes 1000000``. Workers nest scopes, limits,
shields, groups, locks, cleanup, generators and forks; shooters ask scopes and threads and move
deadlines.
Each scope is judged when it is left. Every wait that something is sure to end lasts for ever
otherwise. So these come to light (S22-S28):

- wrong: what was asked of one scope, or its time, ends another one, or none;
- lost: a deadline or a request does not end a wait;
- left: a deadline, a request, a lock or a task of a group stays behind; a scope that has been left
  answers True;
- result: a block that had come to its end, or raised something else, is told to have been stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import math
import os
import queue
import random
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from chance import by_hand, seeded
from interruption import (
    Scope,
    ThreadExit,
    ThreadGroup,
    allow_interruption,
    check_interrupt,
    clear_interrupt,
    current_deadline,
    defer_interruption,
    interrupt,
    interruption_requested,
    move_on_after,
    timeout,
    timeout_at,
)
from support import PATIENCE

FOR_EVER = PATIENCE / 2
DEPTH = 5
FAR = 1000.0  # seconds: it does not come
ENOUGH = 2  # that are wrong: then it ends


class Asked(Exception):
    """What some requests ask for."""


class Own(Exception):
    """What blocks raise themselves."""


STOPS = (ThreadExit, Asked, TimeoutError, Own)


class Entry:
    """A scope, and what is known of it."""

    def __init__(self, scope: Scope, name: str, *, sure: bool, again: bool = False) -> None:
        self.scope, self.name = scope, name
        self.again = again  # it is entered more than once, and by others
        self.grouped = False  # tasks of a group are in it, or were: it may have expired for those
        self.shields = False  # what is asked outside of it waits
        self.around: list[str] = []  # the names of those that it is in
        self.sure = sure  # its time is up soon, and nobody moves that
        self.done = self.left = False
        self.arrived: BaseException | None = None  # what has come to its end
        self.before: BaseException | None = None  # what was on its way out at its entry

    @property
    def raises(self) -> bool:
        return isinstance(self.scope, (timeout, timeout_at))


def mark_of(error: BaseException) -> int | None:
    """The number of the scope that it was raised for; None: the thread's, or the program's own."""
    return getattr(error, "_interruption_scope", None)


def is_in_the_midst(error: BaseException) -> bool:
    """Was it raised while another interruption was on its way out?"""
    return is_or_hides_one(error.__context__)


def is_or_hides_one(error: BaseException | None) -> bool:
    """Is it an interruption, or was it raised while one was on its way out?"""
    while error is not None and not isinstance(error, (ThreadExit, Asked)):
        error = error.__context__
    return error is not None


def statements(count: int) -> None:
    for _ in range(count):
        pass


def wait_for_lock(lock: threading.Lock) -> None:
    lock.acquire(timeout=FOR_EVER)


def wait_for_condition() -> None:
    with (condition := threading.Condition()):
        condition.wait(FOR_EVER)


def run_for_ever() -> None:
    end = time.monotonic() + FOR_EVER
    while time.monotonic() < end:
        statements(20)


RUNS = (run_for_ever,)


@contextlib.contextmanager
def managed(scope: Scope) -> Iterator[None]:
    with scope:
        yield


@contextlib.contextmanager
def stacked(scope: Scope) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(scope)
        yield


class Worker:
    """Nests scopes until it has entered so many."""

    def __init__(self, number: int, options: argparse.Namespace, fire: Fire) -> None:
        self.random = seeded(f"{options.seed}, {number}")
        self.number, self.fire, self.forks = number, fire, options.forks
        self.entered: list[Entry] = []  # innermost last
        self.old: deque[Entry] = deque(maxlen=20)  # that were left
        self.goal, self.count = options.scopes // options.workers, 0
        self.counts: Counter[str] = Counter()
        self.notes: deque[str] = deque(maxlen=60)  # what it has done last
        self.lock, self.owns_shared = threading.RLock(), False
        self.truce = False  # nobody shoots at it
        self.swallowed = False  # then nothing is sure any more
        # Requests to the thread, counted by who makes them; asks_before: those that have been
        # cleared, or -1 if there is one under way, which comes later.
        self.asks_begun, self.asks_ended, self.asks_before = 0, 0, 0
        self.waits = (
            lambda: time.sleep(FOR_EVER),
            lambda: wait_for_lock(fire.never),
            lambda: queue.Queue().get(timeout=FOR_EVER),
            lambda: queue.SimpleQueue().get(timeout=FOR_EVER),
            lambda: threading.Event().wait(FOR_EVER),
            lambda: os.read(fire.pipe[0], 1),
            wait_for_condition,
        )
        self.thread = threading.Thread(target=self.run, name=f"worker {number}")

    def wrong(self, what: str) -> None:
        self.fire.wrong.append(what)
        if len(self.fire.wrong) == 1:
            self.fire.notes = list(self.notes)

    # The outside. -------------------------------------------------------------------------------

    def run(self) -> None:
        while self.count < self.goal and len(self.fire.wrong) < ENOUGH:
            error = None
            try:
                if self.random.random() < 0.5:
                    with allow_interruption:
                        self.nest(DEPTH, None)
                else:
                    self.nest(DEPTH, None)
            except STOPS as raised:
                error = raised
            except BaseException as raised:
                self.wrong(f"wrong: {raised!r} has come out of all")
                raise
            self.judge_thread(error)
            error = None

    def judge_thread(self, error: BaseException | None) -> None:
        """Nothing but requests to the thread comes so far, and nothing stays."""
        if error is not None:
            if mark_of(error) is not None and not self.is_passed(error):
                self.wrong(f"wrong: {error!r} has left all scopes")
            elif getattr(error, "reason", None) == "thread":
                self.counts["thread stopped"] += 1
                if not interruption_requested():
                    self.wrong("lost: the thread was stopped and has no request")
        if self.entered:
            self.wrong("left: not all is left")
        if current_deadline() != math.inf:
            self.wrong("left: a deadline in force")
        if interruption_requested() and self.asks_begun == self.asks_before:
            self.wrong("left: a request that nobody made")
        ended = self.asks_ended
        self.asks_before = self.asks_begun if self.asks_begun == ended else -1
        clear_interrupt()
        if self.lock._is_owned():  # noqa: SLF001
            self.wrong("left: a lock")
            self.lock.release()
        self.swallowed = False
        try:
            with allow_interruption:
                statements(5)
        except STOPS as raised:
            if mark_of(raised) is not None:
                self.wrong(f"left: {raised!r} where no scope is")
            clear_interrupt()

    # A scope. -----------------------------------------------------------------------------------

    def make(self) -> Entry:
        self.count += 1
        chance = self.random.random()
        name = f"{self.number}.{self.count}"
        known = self.fire.common if chance < 0.03 or not self.old else self.old[0]
        if chance < 0.06 and type(known.scope) is Scope and not self.is_in(known.scope):
            known.left = False  # so who asks it now does not wonder
            return Entry(known.scope, known.name, sure=False, again=True)
        if chance < 0.35:
            return Entry(Scope(), name, sure=False)
        sure = chance < 0.65
        delay = (0.0 if chance < 0.38 else self.random.random() * 0.002) if sure else FAR
        kind = self.random.randrange(4)
        if kind == 0:
            return Entry(timeout(delay), name, sure=sure)
        if kind == 1:
            return Entry(timeout_at(time.monotonic() + delay), name, sure=sure)
        entry = Entry(move_on_after(delay, shield=kind == 2), name, sure=sure)
        entry.shields = kind == 2
        return entry

    def is_in(self, scope: Scope) -> bool:
        return any(entry.scope is scope for entry in self.entered)

    def nest(self, depth: int, outer: Entry | None) -> None:
        """``outer``: what is sure to end a wait here, if nothing else does."""
        entry = self.make()
        entry.around = [each.name for each in self.entered]
        entry.before = sys.exc_info()[1]
        inner = self.random.choice((lambda scope: scope, lambda scope: scope, managed, stacked))
        out: BaseException | None = None
        try:
            with inner(entry.scope):
                self.inside(entry, depth, self.sure(entry, outer))
        except BaseException as error:
            out = error
            raise
        finally:
            entry.left = True
            self.judge(entry, out)
            out = entry.arrived = entry.before = None

    def sure(self, entry: Entry, outer: Entry | None) -> Entry | None:
        if entry.sure or outer is None or entry.shields:
            return entry
        return self.random.choice((entry, outer))

    def inside(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        try:
            self.entered.append(entry)
            self.notes.append(f"in {entry.name}, {type(entry.scope).__name__}")
            for _ in range(self.random.choice((1, 1, 2))):
                self.act(entry, depth, sure)
            if self.random.random() < 0.02 and sure is not None:
                raise self.random.choice((Own, ThreadExit))
            entry.done = True
        except BaseException as error:
            entry.arrived = error
            raise
        finally:
            if entry in self.entered:
                self.entered.remove(entry)
            if not entry.again:
                self.old.append(entry)
            elif self.random.random() < 0.1:
                self.fire.common = Entry(Scope(), f"{self.number}.{self.count}c", sure=False)

    def judge(self, entry: Entry, out: BaseException | None) -> None:  # noqa: PLR0912
        arrived, scope = entry.arrived, entry.scope
        self.notes.append(f"out of {entry.name}: {arrived!r}, {out!r}")
        expired = scope.expired()
        if expired and not (entry.grouped or self.is_past(scope)):
            self.wrong(f"wrong: {entry.name} has expired before its time")
        if arrived is None:
            if entry.done and out is not None and self.is_of(out, entry):
                self.wrong(f"result: {out!r} though {entry.name} had come to its end")
            return
        if out is arrived:
            if self.is_of(arrived, entry) and not self.is_passed(arrived):
                self.wrong(f"wrong: {arrived!r} has passed its own scope, {entry.name}")
            return
        if not isinstance(arrived, (ThreadExit, Asked)) or mark_of(arrived) is None:
            if out is None or type(out) is TimeoutError:
                self.wrong(f"result: {arrived!r} has become {out!r} at {entry.name}")
            return
        if out is not None and type(out) is not TimeoutError:
            if self.is_of(out, entry):
                self.wrong(f"wrong: {out!r} has come out of {entry.name} for {arrived!r}")
            return
        # It has ended here.
        reason = getattr(arrived, "reason", None)
        self.counts["expired" if reason == "deadline" else "asked"] += 1
        if reason not in ("deadline", entry.name) and not self.is_passed(arrived):
            self.wrong(f"wrong: {arrived!r} has ended at {entry.name}")
        if self.is_forgotten(entry, arrived):
            self.wrong(f"lost: {entry.name} has ended what was to end outside of it")
        if reason == "deadline" and not expired and not self.is_passed(arrived):
            self.wrong(f"wrong: a deadline has ended at {entry.name}, which has not expired")
        if out is None and entry.raises and reason == "deadline" and not self.is_passed(arrived):
            self.wrong(f"lost: {entry.name} has expired in silence")
        if out is not None and not (entry.raises and expired):
            self.wrong(f"wrong: {out!r} of {entry.name}, which does not raise that")

    def is_passed(self, error: BaseException) -> bool:
        """It has displaced that of an outer level, and ends there in its place."""
        return self.swallowed or is_in_the_midst(error)

    def is_forgotten(self, entry: Entry, error: BaseException) -> bool:
        """Has it displaced that of an outer level, and has ended here all the same (S23)?"""
        seen = error.__context__
        while seen is not None and seen is not entry.before and not self.swallowed:
            if getattr(seen, "reason", None) in ("thread", *entry.around):
                return True
            seen = seen.__context__
        return False

    @staticmethod
    def is_past(scope: Scope) -> bool:
        when = scope.when()
        return when is not None and when <= time.monotonic()

    @staticmethod
    def is_of(error: BaseException, entry: Entry) -> bool:
        if isinstance(error, TimeoutError):
            return entry.raises
        return mark_of(error) is not None and getattr(error, "reason", None) == entry.name

    # What is done in it. ------------------------------------------------------------------------

    def act(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        chance = self.random.random()
        if depth == 0 or chance < 0.3:
            self.work(entry, sure)
        elif chance < 0.68:
            with contextlib.suppress(TimeoutError, Own):
                self.nest(depth - 1, sure)
        else:
            around = self.random.choice(self.AROUND)
            self.notes.append(around.__name__)
            around(self, entry, depth - 1, sure)

    def work(self, entry: Entry, sure: Entry | None) -> None:
        chance = self.random.random()
        if chance < 0.7:
            statements(self.random.randrange(30))
        elif chance < 0.8:
            self.for_ever(sure)
        elif chance < 0.84:
            time.sleep(self.random.random() * 0.0003)
        elif chance < 0.9:
            self.get_item()
        elif chance < 0.93:
            check_interrupt()
        elif chance < 0.97:
            self.ask(self.random.choice(self.entered or [entry]))
            statements(20)
        elif self.random.random() < self.forks:
            self.fork(entry)

    def for_ever(self, sure: Entry | None, wait: Callable[[], object] | None = None) -> None:
        """``wait``: by another thread than the worker's."""
        if sure is None or self.swallowed:
            return
        if wait is None:
            holds = self.owns_shared or self.lock._is_owned()  # noqa: SLF001
            wait = self.random.choice(self.waits if holds or self.random.random() < 0.5 else RUNS)
        begun = time.monotonic()
        try:
            if sure.sure:
                self.truce = random.random() < 0.5  # noqa: S311
            else:
                self.fire.promised.append(sure)
            with contextlib.suppress(queue.Empty):
                wait()
        finally:
            self.truce = False
            if time.monotonic() - begun >= FOR_EVER:  # what came, came when the wait had ended
                self.wrong(f"lost: {sure.name} has not ended a wait, {wait}")

    def get_item(self) -> None:
        """It is got, or still there (S10a)."""
        items: Any = self.random.choice((queue.Queue, queue.SimpleQueue))()
        box: list[int] = []
        items.put(1)
        try:
            box.append(items.get())
        finally:
            if len(box) + items.qsize() != 1:
                self.wrong(f"result: an item is lost or doubled: {box}, {items.qsize()}")

    def ask(self, entry: Entry) -> None:
        if self.random.random() < 0.5 and not entry.sure:
            entry.scope.reschedule(0)
        else:
            entry.scope.interrupt(reason=entry.name)

    def in_shield(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        with defer_interruption:
            self.act(entry, depth, None)

    def in_finally(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        try:
            self.act(entry, depth, sure)
        finally:
            self.act(entry, depth, None)

    def in_handler(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        try:
            raise Own
        except Own:
            self.act(entry, depth, None)

    def with_lock(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        with self.lock:
            self.act(entry, depth, sure)

    def with_shared(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        if self.owns_shared:
            return
        with self.fire.shared:
            try:
                self.owns_shared = True
                self.act(entry, 0, sure)
            finally:
                self.owns_shared = False

    def in_generator(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        def each() -> Iterator[int]:
            try:
                yield 1
                self.act(entry, depth, sure)
                yield 2
            finally:
                statements(3)

        for _ in each():
            statements(3)

    def decorated(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        limit = self.random.choice((timeout, move_on_after))

        @limit(0.001)
        def function() -> str:
            self.act(entry, depth, None)
            return "result"

        self.count += 1
        with contextlib.suppress(TimeoutError):
            if function() not in ("result", None):
                self.wrong("result: of a decorated function")

    def in_group(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        """What it is in reaches its tasks, which have ended when it is left (S28)."""
        self.counts["groups"] += 1
        cleanup = is_or_hides_one(sys.exc_info()[1])
        for around in self.entered:
            around.grouped = True
        threads: list[threading.Thread] = []
        futures: list[Future[str]] = []
        kinds = [self.random.random() for _ in range(self.random.randrange(1, 4))]

        def task(kind: float) -> str:
            threads.append(threading.current_thread())
            if kind < 0.2:
                raise Own
            if kind < 0.5:
                self.for_ever(sure, self.waits[int(kind * 100) % len(self.waits)])
            statements(20)
            return "result"

        try:
            with ThreadGroup() as group:
                futures += (group.submit(task, kind) for kind in kinds)
                self.act(entry, depth, sure)
        except ExceptionGroup as errors:
            self.judge_errors(errors)
            # What has been asked of the block is hidden behind them, and ends here; and so does
            # what is cleaned up after.
            self.swallowed = self.swallowed or cleanup or errors.__cause__ is not None
            raise Own from None
        except (ThreadExit, Asked):
            self.swallowed = True  # of several that stop it the last comes out, without the others
            raise
        else:
            if any(future.cancelled() or future.result() != "result" for future in futures):
                self.wrong("result: it goes on behind a group without results")
        finally:
            if any(thread.is_alive() for thread in threads):
                self.wrong("left: a task of a group that has been left")

    def judge_errors(self, errors: ExceptionGroup) -> None:
        """Only what tasks and the block have raised themselves, or have come out by."""
        for error in errors.exceptions:
            passed = mark_of(error) is not None and self.is_passed(error)
            if not (isinstance(error, (Own, TimeoutError, RuntimeError)) or passed):
                self.wrong(f"result: {error!r} is an error of a group")

    def swallow(self, entry: Entry, depth: int, sure: Entry | None) -> None:
        try:
            self.act(entry, depth, sure)
        except (ThreadExit, Asked):
            self.swallowed = True  # what its level has inside is not stopped by itself any more
        except (TimeoutError, Own):
            pass

    AROUND: tuple[Callable[..., None], ...] = (
        *(in_shield, in_finally, in_handler, with_lock, with_shared, in_generator, decorated),
        *(swallow, in_group),
    )

    def fork(self, entry: Entry) -> None:
        """In the child the scopes are there, without deadlines and requests; new ones work."""
        with defer_interruption:
            self.counts["forks"] += 1
            if self.random.random() < 0.5:
                self.ask(entry)
            pid = os.fork()
            if pid == 0:
                self.child(entry)
            with move_on_after(None, shield=True):
                _, status = os.waitpid(pid, 0)
            if status:
                self.wrong(f"left: in the child of a fork, {os.waitstatus_to_exitcode(status)}")

    def child(self, entry: Entry) -> None:
        answer = 1
        try:
            if interruption_requested() or current_deadline() != math.inf:
                answer = 2
            elif (entry.scope.expired() and not entry.grouped) or entry.scope.when() is not None:
                answer = 3
            else:
                answer = 4
                with move_on_after(0.001) as limit:
                    time.sleep(FOR_EVER)
                with Scope() as scope:
                    scope.interrupt()
                    statements(5)
                    answer = 5
                answer = 0 if limit.expired() and answer == 4 else 6
                if interruption_requested():
                    answer = 7
        finally:
            os._exit(answer)


class Fire:
    """The workers, and who shoots at them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.wrong: list[str] = []
        self.notes: list[str] = []  # of who has found the first
        self.promised: deque[Entry] = deque()
        self.common = Entry(Scope(), "common", sure=False)  # which several may be in at once
        self.shots: Counter[str] = Counter()
        self.asking = threading.Lock()
        self.shared, self.never = threading.Lock(), threading.Lock()
        self.never.acquire()
        self.pipe = os.pipe()
        self.workers = [Worker(number, options, self) for number in range(options.workers)]

    def shoot(self, number: int) -> None:
        chance = seeded(f"{self.options.seed}, shooter {number}")
        while any(worker.thread.is_alive() for worker in self.workers):
            with contextlib.suppress(IndexError):
                while True:
                    entry = self.promised.popleft()
                    self.shots["promised"] += 1
                    entry.scope.interrupt(reason=entry.name)
            worker = chance.choice(self.workers)
            with contextlib.suppress(IndexError):
                if not worker.truce:
                    self.shoot_at(worker, chance)
            time.sleep(chance.random() * 0.0006)

    def shoot_at(self, worker: Worker, chance: random.Random) -> None:
        what = chance.random()
        if what < 0.1:
            self.shots["thread"] += 1
            with self.asking:
                worker.asks_begun += 1
                interrupt(worker.thread, reason="thread")
                worker.asks_ended += 1
        elif what < 0.2:
            entry = chance.choice(list(worker.old))
            reached = entry.left and entry.scope.interrupt(reason=entry.name)
            if reached and entry.left:
                self.wrong.append(f"left: {entry.name} has been left and can be asked")
        else:
            entry = chance.choice(worker.entered)
            if what < 0.5:
                self.shots["scope"] += 1
                entry.scope.interrupt(chance.choice((ThreadExit, Asked)), reason=entry.name)
            elif not entry.sure:
                self.shots["moved"] += 1
                now = time.monotonic()
                entry.scope.reschedule(chance.choice((now, now + 0.0005, now + FAR, None)))

    def run(self) -> None:
        shooters = [threading.Thread(target=self.shoot, args=(number,)) for number in range(2)]
        for thread in [*(worker.thread for worker in self.workers), *shooters]:
            thread.start()
        for worker in self.workers:
            worker.thread.join()
        for thread in shooters:
            thread.join()
        if self.shared.locked():
            self.wrong.append("left: the shared lock")

    def report(self, seconds: float) -> str:
        scopes = sum(worker.count for worker in self.workers)
        ends = sum((worker.counts for worker in self.workers), Counter())
        counts = Counter(what.partition(":")[0] for what in self.wrong)
        texts = [f"{count} {what}" for what, count in sorted((ends + self.shots).items())]
        kinds = [f"{kind} {counts[kind]}" for kind in ("wrong", "lost", "left", "result")]
        version = sys.version.split()[0]
        return (
            f"{version}: seed {self.options.seed}: {scopes} scopes in {seconds:.0f} s: "
            f"{', '.join(texts)}; {', '.join(kinds)}"
        )


def main() -> int:
    parser = by_hand(__doc__)
    parser.add_argument("--scopes", type=int, default=20_000, help="how many are entered")
    parser.add_argument("--workers", type=int, default=4, help="that enter them")
    parser.add_argument("--forks", type=float, default=0.02, help="chance of one where one may be")
    options = parser.parse_args()
    faulthandler.dump_traceback_later(3 * PATIENCE, repeat=True)
    sys.setswitchinterval(0.0003)
    fire = Fire(options)
    begun = time.monotonic()
    fire.run()
    print(fire.report(time.monotonic() - begun))
    print(*fire.wrong[:20], *fire.notes, sep="\n")
    return bool(fire.wrong)


if __name__ == "__main__":
    sys.exit(main())
