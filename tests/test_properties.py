"""Real threads against a model of them: what is pending where, what is raised where (S1-S21).

Hypothesis leads up to three threads through blocks, generators, waits and requests, one step at a
time; after each one, the library must agree with property_model.py. INTERRUPTION_STRESS scales how
many such ways are gone. A failure prints the steps as a program.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import select
import threading
import time

import interruption
import property_driver
import property_program as program
import pytest
from chance import examples, scaled
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from interruption import ThreadExit, clear_interrupt, interrupt
from property_driver import EndingError, LeavingError
from property_model import Level
from property_worker import Asking, Worker, here
from support import PATIENCE, until_blocked

KINDS = ("plain", "ours", "interruptible")
WAYS = ("thread", "ident", "method", "signal", "del", "weakref", "another thread")
SHORT = 0.001  # seconds: a timeout that passes
LIFE = 15  # steps after which a thread may end


class CancelledError(BaseException):
    pass


EXCEPTIONS = (ThreadExit, CancelledError, LookupError)


def picks(condition):
    """A rule for a worker of which that is true; the number says which."""

    def decorate(function):
        def with_worker(self, which, **arguments):
            able = [worker for worker in self.workers if condition(worker)]
            function(self, able[which % len(able)], **arguments)

        return with_worker

    return decorate


WHICH = st.integers(0, 5)
CLEANUPS = ("finally", "except", "exit")
LEVELS = st.one_of(
    st.tuples(st.just("region"), st.sampled_from(program.FORMS), st.booleans()),
    st.tuples(st.sampled_from(list(program.BLOCKS)), st.sampled_from(program.FORMS), st.booleans()),
    st.tuples(st.just("cleanup"), st.sampled_from(CLEANUPS), st.just(value=False)),
    st.tuples(st.just("lock"), st.sampled_from(["with", "try"]), st.just(value=False)),
    st.tuples(st.just("generator"), st.none(), st.none()),
)
REASONS = st.sampled_from([None, "", "enough", "\udc80 of \0"])
IDLE = precondition(lambda self: any(worker.idle for worker in self.workers))
BLOCKED = precondition(lambda self: any(worker.wait is not None for worker in self.workers))


def has_levels(worker):
    least = 1 if worker.kind == "interruptible" else 0
    return worker.idle and len(worker.model.stack) > least


def has_room(worker):
    return worker.idle and len(worker.model.stack) < 8


def has_running(worker):
    return worker.idle and worker.model.running is not None


def has_suspended(worker):
    return worker.idle and worker.model.suspended


def can_resume(worker):
    return worker.idle and sum(level.kind == "running" for level in worker.model.stack) < 3


def some(condition):
    return precondition(lambda self: any(condition(worker) for worker in self.workers))


class Threads(RuleBasedStateMachine):
    """The steps. Each one first delivers what is deliverable, and then is over."""

    def __init__(self):
        super().__init__()
        self.workers = []
        self.asking = Asking()
        self.generators = 0
        self.bystanders = interruption.interrupt_all_threads(None)  # pytest-xdist has one
        interruption.protect(property_driver.__name__)

    @initialize(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=2))
    def start(self, kinds):
        self.workers += [Worker(kind) for kind in kinds]

    @precondition(lambda self: sum(worker.model.alive for worker in self.workers) < 3)
    @precondition(lambda self: len(self.workers) < 5)
    @rule(kind=st.sampled_from(KINDS))
    def start_another(self, kind):  # S1: no request of one that has ended reaches it
        self.workers.append(Worker(kind))

    # Blocks, generators. --------------------------------------------------------------------------

    def enter(self, worker, kind, form, coroutine):  # S7, S14
        if kind == "lock" and worker.orphaned:
            return  # blocks that nobody leaves any more count as regions there
        if not worker.begin("enter", kind, form, coroutine):
            return
        outcome = worker.driver.answer()
        level = Level(kind, form)
        worker.model.enter(level)
        if level.is_region and worker.model.enter_raises:
            worker.model.leave()
            worker.expect_raised(outcome)
        else:
            assert outcome.word == "entered", outcome

    @some(has_room)
    @rule(which=WHICH, levels=st.lists(LEVELS, min_size=1, max_size=4), anew=st.booleans())
    @picks(has_room)
    def enter_several(self, worker, levels, anew):
        if anew:
            worker.step(worker.model.clear, interruption.clear_interrupt)
        self.enter_all(worker, levels)

    def enter_all(self, worker, levels):
        for kind, form, coroutine in levels:
            if kind == "generator":
                self.start_generator(worker)
            else:
                self.enter(worker, kind, form, coroutine)

    @some(has_room)
    @rule(
        which=WHICH,
        levels=st.lists(LEVELS, max_size=2),
        waits=st.none() | st.sampled_from(program.WAITS),
        times=st.integers(1, 2),
        then=st.sampled_from(["leave", "leave raising", "block", "switch"]),
    )
    @picks(has_room)
    def ask_inside(self, worker, levels, waits, times, then):
        """What matters most, at once: a thread is asked inside of blocks, then does something."""
        worker.step(worker.model.clear, interruption.clear_interrupt)
        self.enter(worker, "region", "with", coroutine=False)
        self.enter_all(worker, levels)
        if waits is not None:
            self.block_in(worker, waits)
        if then == "switch" and worker.kind != "plain":
            self.set_switch(worker, "io", on=False)
        for _ in range(times):
            self.ask_one(worker, "thread", ThreadExit, "inside")
        if then == "switch" and worker.kind != "plain":
            self.set_switch(worker, "io", on=True)
        if worker.wait is not None:
            worker.free()
        if then.startswith("leave"):
            self.leave_one(worker, then == "leave raising")
        elif then == "block":
            self.block_in(worker, waits or program.LockWait)

    @some(has_levels)
    @rule(which=WHICH, raising=st.booleans())
    @picks(has_levels)
    def leave(self, worker, raising):
        self.leave_one(worker, raising)

    def leave_one(self, worker, raising):  # S11, S12
        if not worker.begin("leave", raising):
            return
        level = worker.model.leave()
        outcome = worker.driver.answer()
        if raising:
            assert outcome.word == "raised", outcome
            assert type(outcome.value) is LeavingError, outcome
            return
        expected = "finished" if level.kind == "running" else None
        # Others are left in the standard library's code, and raise after it.
        must_raise = level.kind == "shield" and level.form == "with"
        worker.ended(outcome, expected, must_raise=must_raise)

    @some(can_resume)
    @rule(which=WHICH, number=WHICH)
    @picks(can_resume)
    def run_generator(self, worker, number):
        """A new one, or one that is suspended (S21)."""
        known = sorted(worker.model.suspended)
        if len(known) < 2 and number % 2:
            self.start_generator(worker)
        elif known:
            number = known[number % len(known)]
            if worker.begin("resume", number):
                worker.model.resume(number)
                assert worker.driver.answer().word == "entered"

    def start_generator(self, worker):
        self.generators += 1
        if worker.begin("start", self.generators):
            worker.model.suspended[self.generators] = []
            worker.model.resume(self.generators)
            assert worker.driver.answer().word == "entered"

    @some(has_running)
    @rule(which=WHICH)
    @picks(has_running)
    def suspend(self, worker):  # S21
        if worker.begin("yield"):
            worker.model.suspend()
            worker.ended(worker.driver.answer(), "yielded")

    @some(has_suspended)
    @rule(which=WHICH, generator=WHICH, closer=WHICH)
    @picks(has_suspended)
    def close(self, worker, generator, closer):  # S21
        """By this thread, the main thread, or another one."""
        number = sorted(worker.model.suspended)[generator % len(worker.model.suspended)]
        others = [one for one in self.workers if one.idle and one is not worker]
        closers = [worker, None, *others]
        closer = closers[closer % len(closers)]
        if closer is not worker:
            # What another thread leaves is not noted as left.
            if not any(level.kind == "lock" for level in worker.model.all_levels()):
                self.abandon(worker, number, closer)
        elif worker.begin("run", worker.driver.suspended[number].close):
            worker.driver.suspended.pop(number)
            worker.model.drop(number)
            worker.ended(worker.driver.answer())

    def abandon(self, worker, number, closer=None):
        """Close a generator of that worker's in another thread, or in this one."""
        close = worker.driver.suspended[number].close
        worker.driver.abandoned = True  # before anybody closes it
        if closer is not None and not closer.begin("run", close):
            worker.driver.abandoned = False
            return
        outcome = here(close) if closer is None else closer.driver.answer()
        worker.driver.abandoned = False
        worker.driver.suspended.pop(number)
        if any(level.is_block for level in worker.model.drop(number)):
            worker.orphaned = True
            assert outcome.word == "raised", outcome
            assert type(outcome.value) is RuntimeError, outcome
        else:
            assert outcome.word == "returned", outcome

    # Looking. -------------------------------------------------------------------------------------

    @IDLE
    @rule(which=WHICH, how=st.sampled_from(["look", "check", "explain", "fd", "wait"]))
    @picks(lambda worker: worker.idle)
    def look(self, worker, how):
        model = worker.model
        if how == "look":  # S4
            worker.step(lambda: model.requested, interruption.interruption_requested)
        elif how == "check":
            self.check(worker)
        elif how == "explain":  # S19
            worker.step(lambda: model.explained(protected=False), program.explain_itself)
        elif how == "fd":
            self.look_by_descriptor(worker)
        else:  # S15
            worker.step(lambda: model.requested, interruption.wait_for_interruption, SHORT)

    def check(self, worker):  # S5
        if worker.begin("run", interruption.check_interrupt):
            outcome = worker.driver.answer()
            if worker.model.requested and not worker.model.shielded:
                worker.expect_raised(outcome)
            else:
                worker.ended(outcome)

    def look_by_descriptor(self, worker):  # S16
        if worker.begin("run", interruption.interruption_fd):
            outcome = worker.driver.answer()
            assert worker.fd in (None, outcome.value)
            worker.fd = outcome.value
            worker.ended(outcome, worker.fd)

    @IDLE
    @rule(which=WHICH)
    @picks(lambda worker: worker.idle)
    def clear(self, worker):  # S6
        worker.step(worker.model.clear, interruption.clear_interrupt)

    # Waiting. -------------------------------------------------------------------------------------

    @IDLE
    @rule(which=WHICH, kind=st.sampled_from(program.WAITS))
    @picks(lambda worker: worker.idle)
    def block(self, worker, kind):
        self.block_in(worker, kind)

    def block_in(self, worker, kind):  # S10
        wait = kind()
        if not worker.begin("run", wait.block):
            wait.close()
            return
        worker.wait = wait
        worker.wait_ends = worker.model.lets_waits
        worker.woken()

    @BLOCKED
    @rule(which=WHICH)
    @picks(lambda worker: worker.wait is not None)
    def free(self, worker):  # S10a
        worker.free()

    @IDLE
    @rule(which=WHICH, kind=st.sampled_from(program.WAITS))
    @picks(lambda worker: worker.idle)
    def time_out(self, worker, kind):
        wait = kind()
        if worker.begin("run", wait.block, SHORT):
            outcome = worker.driver.answer()
            if worker.model.wakes(wait.mutex):
                worker.expect_raised(outcome)
            else:
                worker.ended(outcome, expected=False)
            wait.free()
            assert wait.is_whole()
        wait.close()

    @IDLE
    @rule(which=WHICH)
    @picks(lambda worker: worker.idle)
    def wait_for_interruption(self, worker):  # S15
        if not worker.begin("run", interruption.wait_for_interruption):
            return
        if worker.model.requested:
            worker.ended(worker.driver.answer(), expected=True)
        else:
            until_blocked(worker.thread)
            worker.looks = True

    # Asking. --------------------------------------------------------------------------------------

    @rule(
        which=WHICH,
        way=st.sampled_from(WAYS),
        exc_type=st.sampled_from(EXCEPTIONS),
        reason=REASONS,
    )
    @picks(lambda _: True)
    def ask(self, worker, way, exc_type, reason):
        self.ask_one(worker, way, exc_type, reason)

    def ask_one(self, worker, way, exc_type, reason):  # S1, S2, S8, S20
        if not worker.model.alive:
            way = "thread"
        expected = worker.model.ask(exc_type, reason)
        assert self.asking.by(way, worker, exc_type, reason) is expected
        worker.woken()

    @IDLE
    @rule(which=WHICH, other=WHICH, exc_type=st.sampled_from(EXCEPTIONS), reason=REASONS)
    @picks(lambda worker: worker.idle)
    def ask_each_other(self, worker, other, exc_type, reason):  # S1
        target = self.workers[other % len(self.workers)]
        asking = functools.partial(interruption.interrupt, target.thread, exc_type, reason=reason)
        if worker.begin("run", asking):
            expected = target.model.ask(exc_type, reason)
            worker.ended(worker.driver.answer(), expected)
            if target is not worker:
                target.woken()

    @rule(reason=REASONS)
    def ask_all(self, reason):  # S3
        live = [worker for worker in self.workers if worker.model.alive]
        assert interruption.interrupt_all_threads(reason) == self.bystanders + len(live)
        for worker in live:
            worker.model.ask(ThreadExit, reason)
            worker.woken()

    @IDLE
    @rule(which=WHICH, reason=REASONS)
    @picks(lambda worker: worker.idle)
    def ask_all_others(self, worker, reason):  # S3
        others = [one for one in self.workers if one.model.alive and one is not worker]
        if not worker.begin("run", interruption.interrupt_all_threads, reason):
            return
        worker.ended(worker.driver.answer(), self.bystanders + len(others) + 1)
        assert interruption.clear_interrupt()  # the main thread's own
        for other in others:
            other.model.ask(ThreadExit, reason)
            other.woken()

    @some(lambda worker: worker.kind != "plain")
    @rule(which=WHICH, name=st.sampled_from(["async", "io"]), on=st.booleans())
    @picks(lambda worker: worker.kind != "plain")
    def switch(self, worker, name, on):
        self.set_switch(worker, name, on)

    def set_switch(self, worker, name, on):  # S14
        setattr(worker.thread, f"enable_{name}_interrupt", on)
        worker.model.switches[name] = on
        worker.woken()

    @some(lambda worker: worker.idle and worker.steps > LIFE)
    @rule(which=WHICH)
    @picks(lambda worker: worker.idle and worker.steps > LIFE)
    def end(self, worker):  # S1, S13
        if worker.begin("end"):
            worker.thread.join(PATIENCE)
            assert not worker.thread.is_alive()
            assert type(worker.driver.ended_by) is EndingError
            for number in list(worker.model.suspended):
                self.abandon(worker, number)
            worker.model.end()

    # What holds after every step. -----------------------------------------------------------------

    @invariant()
    def agrees(self):
        for worker in self.workers:
            model = worker.model
            assert not worker.driver.has_answered()
            in_library = worker.idle or (worker.wait is not None and worker.wait.in_library)
            explained = interruption.explain(worker.thread)
            assert explained.state == model.explained(protected=in_library), explained
            if worker.kind != "plain":
                assert worker.thread.interruption_requested is model.requested
            if worker.fd is not None and model.alive:
                readable, _, _ = select.select([worker.fd], [], [], 0)
                assert bool(readable) is model.requested
        assert not interruption.interruption_requested()

    def teardown(self):
        self.asking.close()
        for worker in self.workers:
            worker.driver.abandoned = True
            if worker.wait is not None:
                worker.wait.free()
            end = time.monotonic() + property_driver.PATIENCE
            while worker.thread.is_alive() and time.monotonic() < end:
                interrupt(worker.thread)  # it may wait for that
                worker.driver.tell_if_idle("end")
                worker.thread.join(SHORT)
            if worker.wait is not None:
                worker.wait.close()
            for suspended in worker.driver.suspended.values():
                here(suspended.close)
        interruption.unprotect(property_driver.__name__)
        clear_interrupt()


def run(machine, count, *, phases):
    chosen = examples(count, stateful_step_count=50, phases=phases, report_multiple_bugs=False)
    run_state_machine_as_test(machine, settings=chosen)


def test_real_threads_do_what_the_model_says():
    """Not "explain": it would trace what is traced and monitored here."""
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    run(Threads, scaled(300), phases=(Phase.explicit, Phase.generate, Phase.shrink))
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


# A model that agrees with anything shows nothing: here is what it must not agree with. ------------


def _lower_with_check(check=interruption.check_interrupt):
    try:
        check()
    except BaseException:
        clear_interrupt()
        raise


def _drop_reason(target, exc_type, *, reason):
    return interrupt(target, exc_type, reason=reason or None)


def _say_new(target, exc_type, *, reason):
    interrupt(target, exc_type, reason=reason)
    return True


def _raise_thread_exit(target, _, *, reason):
    return interrupt(target, ThreadExit, reason=reason)


def _ask_some(reason, interrupt_all=interruption.interrupt_all_threads):
    return interrupt_all() if reason else interrupt_all(reason)


MUTATIONS = {
    "clearing clears nothing": {"clear_interrupt": interruption.interruption_requested},
    "checking lowers the flag": {"check_interrupt": _lower_with_check},
    "every request is new": {"interrupt": _say_new},
    "it is always ThreadExit": {"interrupt": _raise_thread_exit},
    "all are asked without the reason": {"interrupt_all_threads": _ask_some},
    "a shield does not hold back": {"shield": contextlib.nullcontext()},
    "a region does not let statements in": {"region": program.REGIONS["waits only"]},
    "an empty reason is lost": {"interrupt": _drop_reason},
    "a shield is a region": {"shield": interruption.allow_interruption},
    "a region does not open": {"region": contextlib.nullcontext()},
    "a region does not let waits in": {"region": program.REGIONS["statements only"]},
    "an option is forgotten": {"waits only": interruption.allow_interruption},
    "the other option is forgotten": {"statements only": interruption.allow_interruption},
}


# Those that many ways have to be gone for, by hand only.
TRIED = list(MUTATIONS)[: max(6, scaled(len(MUTATIONS)))]


@pytest.mark.parametrize("mutation", TRIED)
def test_the_model_notices(mutation, monkeypatch):
    monkeypatch.setattr(property_driver, "PATIENCE", 2)  # what hangs is noticed, too
    monkeypatch.setattr(program, "PATIENCE", 2)
    for name, what in MUTATIONS[mutation].items():
        if name in program.BLOCKS:
            monkeypatch.setitem(program.BLOCKS, name, what)
        else:
            monkeypatch.setattr(interruption, name, what)
    with pytest.raises((AssertionError, queue.Empty)):
        run(Threads, 500, phases=(Phase.generate,))
