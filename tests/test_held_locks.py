"""The locks that a thread has taken inside its region, and still holds (S9).

``tracking`` stands for a region: inside it the thread's locks are noted.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import operator
import os
import queue
import random
import sys
import threading
import weakref
from types import SimpleNamespace

import pytest
from interruption._interruption import (
    _held,
    _held_by,
    _held_place,
    _held_size,
    _interpose_locks,
    _track_locks,
)
from support import PATIENCE, Started, expect_script, in_thread, scaled

try:
    import multiprocessing.synchronize
except ImportError:  # a platform without semaphores
    multiprocessing = None

LOCK_TYPES = {"lock": threading.Lock, "rlock": threading.RLock}
if multiprocessing:
    LOCK_TYPES["process lock"] = lambda: vars(multiprocessing.Lock())["_semlock"]
    LOCK_TYPES["process rlock"] = lambda: vars(multiprocessing.RLock())["_semlock"]
RECURSIVE = {"rlock", "process rlock"}
every_lock = pytest.mark.parametrize("kind", LOCK_TYPES)

PyRLock = vars(threading)["_PyRLock"]

# The ways to take and to release a lock; a type may be without some.
TAKES = {
    "acquire": lambda lock: lock.acquire(),
    "acquire, not blocking": lambda lock: lock.acquire(False),
    "acquire, keyword": lambda lock: lock.acquire(**keyword(lock, True)),
    "acquire, timeout": lambda lock: lock.acquire(True, 60),
    "acquire, keyword timeout": lambda lock: lock.acquire(timeout=60),
    "acquire_lock": lambda lock: lock.acquire_lock(),
    "__enter__": lambda lock: lock.__enter__(),
    "of the type": lambda lock: type(lock).acquire(lock),
    "map": lambda lock: list(map(lock.acquire, [True])),
    "partial": lambda lock: functools.partial(lock.acquire, True)(),
    "methodcaller": lambda lock: operator.methodcaller("acquire")(lock),
    "ExitStack": lambda lock: contextlib.ExitStack().enter_context(lock),
}
RELEASES = {
    "release": lambda lock: lock.release(),
    "release_lock": lambda lock: lock.release_lock(),
    "__exit__": lambda lock: lock.__exit__(None, None, None),
    "of the type": lambda lock: type(lock).release(lock),
    "partial": lambda lock: functools.partial(type(lock).__exit__, lock)(None, None, None),
    "methodcaller": lambda lock: operator.methodcaller("release")(lock),
}


def keyword(lock, blocking):
    return {"block" if type(lock).__name__ == "SemLock" else "blocking": blocking}


def interpose(on):
    for process in range(2 if multiprocessing else 1):
        _interpose_locks(process, on)


@pytest.fixture(autouse=True)
def _interposed():
    """Every test runs with the locks interposed, and leaves them as it found them."""
    before = [_interpose_locks(n, True) for n in range(2 if multiprocessing else 1)]
    yield
    for process, on in enumerate(before):
        _interpose_locks(process, on)


@contextlib.contextmanager
def tracking():
    found = _track_locks(True)
    try:
        yield found
    finally:
        del found
        _track_locks(False)


def held():
    return [name for name, _, _ in _held()]


def size():
    return _held_size()[1]


def line_here(back=0):
    return inspect.currentframe().f_back.f_lineno + back


# What is held --------------------------------------------------------------------------------


@every_lock
@pytest.mark.parametrize("take", TAKES)
def test_a_lock_taken_in_any_way_is_held(kind, take):  # S9
    lock = LOCK_TYPES[kind]()
    if take == "acquire_lock" and not hasattr(lock, take):
        pytest.skip("this type has no such method")
    with tracking():
        assert _held_place() is None
        TAKES[take](lock)
        assert len(held()) == 1
        lock.release()
        assert held() == []
        assert _held_place() is None


@every_lock
@pytest.mark.parametrize("release", RELEASES)
def test_a_lock_released_in_any_way_is_not_held(kind, release):  # S9
    lock = LOCK_TYPES[kind]()
    if release == "release_lock" and not hasattr(lock, release):
        pytest.skip("this type has no such method")
    with tracking():
        lock.acquire()
        assert len(held()) == 1
        RELEASES[release](lock)
        assert held() == []
        assert lock.acquire(False)
        lock.release()


@every_lock
def test_a_with_block_holds_its_lock(kind):  # S9
    lock = LOCK_TYPES[kind]()
    with tracking():
        for _ in range(100):  # until the bytecode is specialized
            with lock:
                assert len(held()) == 1
            assert held() == []


@every_lock
def test_a_failed_attempt_holds_nothing(kind):  # S9
    lock = LOCK_TYPES[kind]()

    def attempt():
        with tracking():
            assert not lock.acquire(False)
            assert not lock.acquire(True, 0.001)
            with pytest.raises((TypeError, ValueError, OverflowError)):
                lock.acquire(timeout="x")
            assert held() == []

    with lock:
        in_thread(attempt)


@pytest.mark.parametrize("kind", sorted(RECURSIVE & set(LOCK_TYPES)))
def test_a_recursive_lock_is_held_until_its_last_release(kind):  # S9
    lock, other = LOCK_TYPES[kind](), LOCK_TYPES[kind]()
    with tracking():
        for _ in range(3):
            lock.acquire()
            other.acquire()
        for _ in range(2):
            lock.release()
            assert len(held()) == 2
        lock.release()
        assert len(held()) == 1
        for _ in range(3):
            assert len(held()) == 1
            other.release()
        assert held() == []


@every_lock
def test_a_lock_taken_before_the_region_is_not_held_in_it(kind):  # S9
    lock = LOCK_TYPES[kind]()
    lock.acquire()
    with tracking():
        assert held() == []
        if kind in RECURSIVE:
            with lock:
                assert len(held()) == 1
            assert held() == []
        lock.release()
        assert held() == []
        lock.acquire()
    lock.release()  # outside again, taken inside
    with tracking():
        assert held() == []


def test_locks_are_released_in_any_order():  # S9
    locks = [threading.Lock() for _ in range(40)]
    with tracking():
        for lock in locks:
            lock.acquire()
        rest = len(locks)
        for lock in random.Random(7).sample(locks, len(locks)):  # noqa: S311
            assert len(held()) == rest
            lock.release()
            rest -= 1
        assert held() == []
        assert _held_size()[0] == 0


def test_the_primitives_of_threading_hold_their_lock_and_nothing_more():  # S9
    semaphore, event = threading.Semaphore(2), threading.Event()
    channel, barrier = queue.Queue(), threading.Barrier(1)
    python_rlock = PyRLock()
    with tracking():
        semaphore.acquire()
        assert held() == []  # a permit is no lock
        semaphore.release()
        event.set()
        event.wait()
        channel.put(1)
        channel.get()
        with pytest.raises(queue.Empty):
            channel.get(timeout=0.001)
        barrier.wait()
        assert held() == []
        with python_rlock, python_rlock:
            assert held() == ["_thread.lock"]
        assert held() == []
        for lock in (None, threading.Lock(), python_rlock):
            condition = threading.Condition(lock)
            with condition:
                assert len(held()) == 1
                assert not condition.wait(0.001)
                assert len(held()) == 1
            assert held() == []


def test_a_permit_of_a_counting_semaphore_is_no_lock():  # S9
    pytest.importorskip("_multiprocessing")
    with tracking():
        for semaphore in (
            multiprocessing.Semaphore(1),
            multiprocessing.Semaphore(3),
            multiprocessing.BoundedSemaphore(3),
        ):
            with semaphore:
                assert held() == []


# Where it was taken ---------------------------------------------------------------------------


def test_the_place_is_that_of_the_innermost():  # S9, S19
    outer, inner = threading.Lock(), threading.RLock()
    with tracking():
        outer.acquire()
        first = line_here(-1)
        assert _held_place() == (__file__, first)
        with inner:
            assert _held_place() == (__file__, line_here(-1))
        assert _held_place() == (__file__, first)
        assert _held() == [("_thread.lock", __file__, first)]
        outer.release()


@pytest.mark.parametrize(
    "make", [threading.Condition, PyRLock, lambda: threading.Condition(threading.Lock())]
)
def test_the_place_is_that_of_the_caller_of_a_wrapper(make):  # S19
    lock = make()

    class Mine:
        def acquire(self):
            lock.acquire()

        def __enter__(self):
            self.acquire()

        def __exit__(self, *_):
            lock.release()

    with tracking():
        with lock:
            assert _held_place() == (__file__, line_here(-1))
        with Mine():
            assert _held_place() == (__file__, line_here(-1))
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock)
            assert _held_place() == (__file__, line_here(-1))
        if hasattr(lock, "wait"):
            with lock:
                line = line_here(-1)
                lock.wait(0.001)
                wait = line_here(-1)
                assert _held_place()[1] in (line, wait)


def test_the_place_outlives_the_function_that_took_the_lock():  # S19
    lock = threading.Lock()
    namespace = {"lock": lock}
    exec("def take():\n\n    lock.acquire()\n", namespace)  # noqa: S102
    with tracking():
        namespace.pop("take")()
        gc.collect()
        assert _held_place() == ("<string>", 3)
        lock.release()


def test_another_thread_can_read_where_a_lock_was_taken():  # S19
    lock, extra = threading.Lock(), threading.RLock()
    told, tell = os.pipe()  # a pipe takes no locks of ours
    going, go = os.pipe()
    seen = SimpleNamespace()

    def body(_):
        with tracking() as seen.tracker:
            with lock:
                seen.line = line_here(-1)
                os.write(tell, b".")
                os.read(going, 1)
            with extra:
                os.write(tell, b".")
                os.read(going, 1)
            os.write(tell, b".")
            os.read(going, 1)

    thread = Started(body)
    os.read(told, 1)
    assert _held_by(seen.tracker) == (lock, (__file__, seen.line))
    assert held() == []
    os.write(go, b".")
    os.read(told, 1)
    assert _held_by(seen.tracker)[0] is extra
    os.write(go, b".")
    os.read(told, 1)
    assert _held_by(seen.tracker) is None
    os.write(go, b".")
    thread.finish()
    for descriptor in (told, tell, going, go):
        os.close(descriptor)


def test_reading_what_another_thread_holds_while_it_takes_and_releases():  # S19
    """Invariant: what is read is a lock that the thread takes, with its place."""
    locks = [threading.Lock() for _ in range(3)]
    source = "with locks[0], locks[1]:\n  locks[2].acquire()\nlocks[2].release()"
    seen = SimpleNamespace(tracker=None, stop=False)
    places = set()

    def body(me):
        with tracking() as seen.tracker:
            me.ready.set()
            while not seen.stop:
                exec(source, {"locks": locks})  # noqa: S102  (each time another code object)

    with Started(body):
        for _ in range(scaled(20_000)):
            found = _held_by(seen.tracker)
            if found is not None and found[0] in locks:
                places.add(found[1][0])
        seen.stop = True
    assert places <= {"<string>"}


# Released by others, dropped -----------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(set(LOCK_TYPES) - RECURSIVE))
@pytest.mark.parametrize("inside", [False, True])
def test_a_lock_that_another_thread_released_is_not_held(kind, inside):  # S9
    lock = LOCK_TYPES[kind]()

    def release():
        with tracking() if inside else contextlib.nullcontext():
            lock.release()

    with tracking():
        lock.acquire()
        in_thread(release)
        assert held() == []
        lock.acquire()
        assert len(held()) == 1
        lock.release()
        assert held() == []


@pytest.mark.parametrize("kind", sorted(set(LOCK_TYPES) - RECURSIVE))
@pytest.mark.parametrize("inside", [False, True])
def test_a_lock_that_another_released_and_a_third_took_is_the_thirds(kind, inside):  # S9
    lock = LOCK_TYPES[kind]()

    def take(me):
        with tracking() if inside else contextlib.nullcontext():
            lock.acquire()
            me.ready.set()
            assert me.go.wait(PATIENCE)
            assert len(held()) == inside
            lock.release()

    with tracking():
        lock.acquire()
        in_thread(lock.release)
        with Started(take) as third:
            assert held() == []
            third.finish()
        assert held() == []


@every_lock
def test_a_dropped_lock_is_not_held(kind):  # S9
    with tracking():
        LOCK_TYPES[kind]().acquire()
        assert held() == []
        kept = threading.Lock()
        kept.acquire()
        for _ in range(100):
            LOCK_TYPES[kind]().acquire()
        assert len(held()) == 1
        assert size() <= 64
        kept.release()
        assert held() == []


def test_a_dropped_lock_is_freed_when_the_region_is_left():  # S9
    lock = threading.RLock()
    gone = weakref.ref(lock)
    with tracking():
        lock.acquire()
        del lock
    assert gone() is None


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock])
def test_waits_on_a_condition_keep_the_list_short(make):  # S9
    condition = threading.Condition(make())
    turns = scaled(2000)
    turn = 0

    def play(mine):
        nonlocal turn
        outer = threading.Lock()
        with tracking(), outer:
            for _ in range(turns):
                with condition:
                    while turn % 2 != mine:
                        condition.wait(PATIENCE)
                    assert len(held()) == 2
                    turn += 1
                    condition.notify()
                assert len(held()) == 1
            assert size() <= 64

    players = [Started(lambda _, mine=mine: play(mine)) for mine in range(2)]
    for player in players:
        player.finish()


def test_a_recursive_lock_waited_with_comes_back_with_the_levels_of_the_region():  # S9
    condition = threading.Condition()
    with condition, tracking():
        with condition, condition:
            condition.wait(0.001)
            assert held() == ["_thread.RLock"]
        assert held() == []
        condition.wait(0.001)
        assert held() == []
    assert condition.acquire(blocking=False)
    condition.release()


def test_a_state_restored_without_having_been_saved_here_counts():  # S9
    lock = threading.RLock()
    lock.acquire()
    lock.acquire()
    state = lock._release_save()  # noqa: SLF001
    with tracking():
        lock._acquire_restore(state)  # noqa: SLF001
        for _ in range(2):
            assert held() == ["_thread.RLock"]
            lock.release()
        assert held() == []


def test_a_signal_handler_may_take_locks_while_a_lock_is_waited_for():  # S9, S20
    signal = pytest.importorskip("signal")
    lock, other = threading.Lock(), threading.Lock()
    seen = []

    def handler(*_):
        with other:
            seen.append(len(held()))
        kept.append(threading.Lock())
        kept[-1].acquire()

    def shoot(_):
        while not seen:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            threading.Event().wait(0.01)
        lock.release()

    kept = []
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        lock.acquire()
        with tracking():
            shooter = Started(shoot)
            lock.acquire()
            shooter.finish()
            assert set(seen) <= set(range(1, len(seen) + 1))
            assert len(held()) == 1 + len(kept)
            lock.release()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_dropping_a_lock_may_run_code_that_takes_locks():  # S20
    other = threading.RLock()  # what runs may run within itself
    ran = []

    class Owner:
        def __init__(self):
            self.lock = threading.RLock()
            weakref.finalize(self.lock, self.end)

        @staticmethod
        def end():
            for _ in range(20):
                threading.Lock().acquire()
            with other:
                ran.append(len(held()))

    with tracking():
        for _ in range(scaled(50)):
            Owner().lock.acquire()
        other.acquire()
        assert len(held()) == 1
        other.release()
        assert size() <= 256
    assert len(ran) == scaled(50)
    assert in_thread(lambda: other.acquire(False))


# Threads and processes ------------------------------------------------------------------------


def test_a_thread_that_ends_with_a_lock_leaves_nothing_behind():  # S9
    lock = threading.Lock()

    def end(lock):
        _track_locks(True)
        lock.acquire()
        threading.RLock().acquire()

    for _ in range(100):
        in_thread(functools.partial(end, lock))
        assert lock.locked()
        with tracking():
            assert held() == []
            lock.release()
            assert held() == []
    gone = weakref.ref(lock)
    del lock
    gc.collect()
    assert gone() is None


FORK = """
    import os, sys, threading
    from interruption import _interruption as tracker

    tracker._interpose_locks(0, True)
    theirs, mine = threading.Lock(), threading.Lock()
    ready, go = threading.Event(), threading.Event()

    def hold():
        tracker._track_locks(True)
        with theirs:
            ready.set()
            go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    in_region = sys.argv[1] == "1"
    if in_region:
        tracker._track_locks(True)
        mine.acquire()
    child = os.fork()
    if child == 0:
        assert len(tracker._held()) == in_region, tracker._held()
        theirs.release()  # of a thread that is not here
        if not in_region:
            tracker._track_locks(True)
            mine.acquire()
        with theirs:
            assert len(tracker._held()) == 2
            threading.Thread(target=mine.release).start()
            while mine.locked():
                pass
            assert len(tracker._held()) == 1
        tracker._track_locks(False)
        sys.exit(0)
    status = os.waitpid(child, 0)[1]
    go.set()
    assert status == 0
    assert len(tracker._held()) == in_region
    thread.join()
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("in_region", ["0", "1"])
def test_the_child_of_a_fork_has_its_own_locks_alone(in_region):  # S18
    expect_script(FORK, in_region, stdout="done\n")


@pytest.mark.parametrize("daemon", [False, True])
def test_an_exit_with_locks_held_is_clean(daemon):  # S18
    expect_script(
        f"""
        import threading
        from interruption import _interruption as tracker

        tracker._interpose_locks(0, True)
        ready = threading.Event()

        def hold():
            tracker._track_locks(True)
            threading.Lock().acquire()
            threading.RLock().acquire()
            locks.append(threading.Lock())
            locks[-1].acquire()
            ready.set()
            if {daemon}:
                threading.Event().wait()

        locks = []
        tracker._track_locks(True)
        threading.Thread(target=hold, daemon={daemon}).start()
        ready.wait()
        locks.append(threading.RLock())
        locks[-1].acquire()
        print("done")
        """,
        stdout="done\n",
    )


# Interposing -----------------------------------------------------------------------------------

RAISES = type("Raises", (), {"__bool__": lambda _: 1 / 0, "__index__": lambda _: 1 / 0})()
# (method, arguments, keywords, may it block on a lock that is held)
CALLS = [
    *[
        (method, arguments, keywords, blocks)
        for method in ("acquire", "acquire_lock")
        for arguments, keywords, blocks in [
            ((), {}, True),
            ((True,), {}, True),
            ((False,), {}, False),
            ((0,), {}, False),
            (("yes",), {}, True),
            ((None,), {}, False),
            ((), {"blocking": False}, False),
            ((), {"block": False}, False),
            ((), {"timeout": 0.001}, False),
            ((), {"timeout": 0}, False),
            ((True,), {"timeout": -1}, True),
            ((), {"blocking": True, "timeout": 0.001}, False),
            ((True, 0.001), {}, False),
            ((False, 1), {}, False),
            ((), {"timeout": -2}, False),
            ((), {"timeout": 1e300}, False),
            ((), {"timeout": float("nan")}, False),
            ((), {"timeout": "x"}, False),
            ((), {"timeout": RAISES}, False),
            ((), {"timeout": None}, True),
            ((RAISES,), {}, False),
            ((1, 2, 3), {}, False),
            ((), {"bogus": 1}, False),
            ((True,), {"blocking": True}, False),
        ]
    ],
    ("__enter__", (), {}, True),
    ("__enter__", (False,), {}, False),
    ("__enter__", (), {"bogus": 1}, False),
    *[
        (method, arguments, keywords, False)
        for method in ("release", "release_lock", "__exit__", "_release_save", "_acquire_restore")
        for arguments, keywords in [
            ((), {}),
            ((None,), {}),
            ((None, None, None), {}),
            ((1, 2, 3, 4), {}),
            ((), {"bogus": 1}),
        ]
    ],
    ("_acquire_restore", (("x", "y"),), {}, False),
    ("_acquire_restore", ((1,),), {}, False),
    ("locked", (), {}, False),
]


def outcome(function, *arguments, **keywords):
    try:
        return function(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001  (that is what is compared)
        return type(error), str(error)


def transcript(make, recursive):
    """What every call answers, on a free lock and on one that is held, and what it leaves."""
    answers = []
    for method, arguments, keywords, blocks in CALLS:
        for taken in (False, True):
            lock = make()
            function = getattr(lock, method, None)
            if function is None or (blocks and taken and not recursive):
                continue
            if taken:
                lock.acquire()
            if blocks and keywords.get("timeout", 0) is None and taken:
                continue
            answer = outcome(function, *arguments, **keywords)
            if method == "_release_save" and not isinstance(answer[0], type):
                answer = (answer[0], outcome(lock._acquire_restore, answer))  # noqa: SLF001
            free = in_thread(lambda lock=lock: lock.acquire(False))
            answers.append((method, arguments, taken, answer, free))
            if free and recursive:
                continue
            answers.append(outcome(lock.release))
            answers.append(outcome(lock.release))
    kind = type(make())
    for name in ("acquire", "release", "__enter__", "__exit__"):
        answers.append(outcome(getattr(kind, name)))
        answers.append(outcome(getattr(kind, name), object()))
    return answers


@every_lock
def test_every_call_answers_as_the_original(kind):
    make = LOCK_TYPES[kind]
    recursive = kind in RECURSIVE
    interpose(False)
    plain = transcript(make, recursive)
    interpose(True)
    assert transcript(make, recursive) == plain
    with tracking():
        inside = transcript(make, recursive)
    assert inside == plain
    assert len(plain) > 50


def traits(kind):
    return {
        name: (
            id(method),
            method.__doc__,
            getattr(method, "__text_signature__", None),
            repr(method),
            method.__qualname__,
            outcome(lambda method=method: str(inspect.signature(method))),
        )
        for name, method in vars(kind).items()
        if inspect.ismethoddescriptor(method)
    }


@every_lock
def test_interposing_changes_nothing_that_can_be_seen(kind):
    lock_type = type(LOCK_TYPES[kind]())
    interpose(False)
    before = traits(lock_type)
    interpose(True)
    assert traits(lock_type) == before
    interpose(True)  # twice is once
    assert traits(lock_type) == before
    interpose(False)
    interpose(False)
    assert traits(lock_type) == before
    lock = LOCK_TYPES[kind]()
    with tracking(), lock:
        assert held() == []


@every_lock
def test_methods_bound_and_code_specialized_before_are_covered(kind):
    interpose(False)
    lock = LOCK_TYPES[kind]()
    take, release = lock.acquire, lock.release

    def loop(count):
        seen = set()
        for _ in range(count):
            lock.acquire()
            seen.add(len(_held()))
            lock.release()
        return seen

    with tracking():
        assert loop(1000) == {0}
        interpose(True)
        assert loop(10) == {1}
        take()
        assert len(held()) == 1
        release()
        assert held() == []
        interpose(False)
        assert loop(10) == {0}


def test_a_subclass_is_covered_by_what_it_inherits():
    class Mine(threading.RLock if isinstance(threading.RLock, type) else type(threading.RLock())):
        def acquire(self, *arguments, **keywords):
            return super().acquire(*arguments, **keywords)

    lock = Mine()
    with tracking():
        lock.acquire()
        assert held() == ["Mine"]
        lock.release()
        assert held() == []


# Leaks and stress ------------------------------------------------------------------------------


def use_every_way(kind):
    for take, release in ((t, r) for t in TAKES.values() for r in RELEASES.values()):
        lock = LOCK_TYPES[kind]()
        with tracking():
            with contextlib.suppress(AttributeError):
                take(lock)
                release(lock)
            _held()
            _held_place()


@pytest.mark.skipif(not hasattr(sys, "gettotalrefcount"), reason="needs a debug build of Python")
@every_lock
def test_tracking_leaks_no_reference(kind):
    def grown(rounds):
        gc.collect()
        before = sys.gettotalrefcount()
        for _ in range(rounds):
            use_every_way(kind)
        gc.collect()
        return sys.gettotalrefcount() - before

    grown(2)
    # Each round takes dozens of locks; a reference leaked by any of them would be ten a round.
    assert grown(10) < 30


def test_handing_locks_about_at_random_the_list_is_the_truth():  # noqa: PLR0915  (S9)
    """Seed 20 and the number of the thread. Invariant: when all stand still, each thread in a
    region holds, by its list, as many locks as it has taken and nobody has released for it."""
    threads, regions, rounds, steps = 6, 4, scaled(40), 60
    locks = [threading.Lock() for _ in range(8)]
    recursive = [threading.RLock() for _ in range(3)]
    barrier = threading.Barrier(threads)
    given = queue.SimpleQueue()

    def step(mine, levels, chance):
        what = chance.random()
        lock = chance.choice(locks)
        if what < 0.35 and lock not in mine:
            if lock.acquire(False) or (not mine and lock.acquire(timeout=0.0001)):
                mine.add(lock)
        elif what < 0.6 and mine:
            mine_now = mine.pop()
            mine_now.release()
        elif what < 0.7 and mine:
            given.put(mine.pop())  # somebody else releases it
        elif what < 0.8:
            with contextlib.suppress(queue.Empty):
                given.get_nowait().release()
        elif what < 0.85:
            threading.Lock().acquire()  # dropped
        else:
            lock = chance.choice(recursive)
            if levels.get(lock) and what < 0.93:
                levels[lock] -= 1
                lock.release()
            elif lock.acquire(False):
                levels[lock] = levels.get(lock, 0) + 1

    def compare(mine, levels):
        taken = len(mine) + sum(1 for count in levels.values() if count)
        assert len(held()) == taken
        assert (_held_place() is not None) == bool(taken)
        assert size() <= 64

    def body(number):
        chance, mine, levels = random.Random(20 + number), set(), {}  # noqa: S311
        with tracking() if number < regions else contextlib.nullcontext():
            for _ in range(rounds):
                for _ in range(steps):
                    step(mine, levels, chance)
                barrier.wait(PATIENCE)
                if number == 0:
                    while not given.empty():
                        given.get().release()
                barrier.wait(PATIENCE)
                if number < regions:
                    compare(mine, levels)
                barrier.wait(PATIENCE)
            for lock in mine:
                lock.release()
            for lock, count in levels.items():
                for _ in range(count):
                    lock.release()
            assert held() == []

    def guarded(number):
        try:
            body(number)
        except BaseException:
            barrier.abort()
            raise

    workers = [Started(lambda _, n=number: guarded(n)) for number in range(threads)]
    errors = [outcome(worker.finish) for worker in workers]
    assert errors == [None] * threads
    assert not any(lock.locked() for lock in locks)
