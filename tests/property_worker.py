"""A thread of test_properties.py beside its model: whether they agree; and who asks it how."""

from __future__ import annotations

import gc
import signal
import threading
import weakref

import interruption
from property_driver import Driver, Outcome
from property_model import Level, Model
from support import until_blocked


class Worker:
    """A driver and the model of its thread; how they are compared."""

    def __init__(self, kind):
        self.kind = kind
        self.model = Model()
        if kind == "interruptible":
            self.model.enter(Level("region", "with"))
        self.driver = Driver(kind)
        self.thread = self.driver.thread
        self.wait = None  # what it is blocked in
        self.wait_ends = False  # by a request, where that may be let in
        self.looks = False  # it is blocked in wait_for_interruption
        self.fd = None
        self.steps = 0
        self.orphaned = False  # another thread has closed a generator of its

    @property
    def blocked(self):
        return self.wait is not None or self.looks

    @property
    def idle(self):
        return self.model.alive and not self.blocked

    def expect_raised(self, outcome):
        exc_type, reason = self.model.deliver()
        assert outcome.word == "raised", outcome
        assert type(outcome.value) is exc_type, outcome
        assert outcome.value.reason == reason

    def begin(self, what, *arguments):
        """Start a step. False: what was pending was raised instead, as it had to be."""
        deliverable = self.model.deliverable
        self.steps += 1
        self.driver.tell(what, *arguments, deliverable=deliverable)
        if deliverable:
            self.expect_raised(self.driver.answer())
        return not deliverable

    def ended(self, outcome, expected=None, *, word="returned", must_raise=False):
        """The model is where the step leads to. What is deliverable there, may have been raised
        there; else it is before the next step.
        """
        if self.model.deliverable and outcome.word == "raised":
            self.expect_raised(outcome)
            return
        assert not (must_raise and self.model.deliverable), outcome
        assert outcome.word == word, outcome
        assert outcome.value == expected, outcome

    def step(self, expected, function, *arguments):
        """A step that returns that."""
        if self.begin("run", function, *arguments):
            self.ended(self.driver.answer(), expected() if callable(expected) else expected)

    def woken(self):
        """It has been asked, or a switch was set: is it still blocked where it was?"""
        if self.looks and self.model.requested:
            self.looks = False
            self.ended(self.driver.answer(), expected=True)
        elif self.wait is not None and self.wait_ends and self.model.wakes(self.wait.mutex):
            outcome = self.driver.answer()
            wait, self.wait = self.wait, None
            self.expect_raised(outcome)
            wait.free()
            assert wait.is_whole()
            wait.close()
        elif self.blocked:
            until_blocked(self.thread)
            assert not self.driver.has_answered()

    def free(self):
        wait, self.wait = self.wait, None
        wait.free()
        self.ended(self.driver.answer(), expected=True)
        wait.close()


def here(function):
    try:
        return Outcome("returned", function())
    except BaseException as error:  # noqa: BLE001  (that is what is looked for)
        return Outcome("raised", error)


class Asking:
    """The ways in which the main thread asks another one."""

    def __init__(self):
        self.before = signal.signal(signal.SIGUSR1, lambda *_: self.ask())
        self.ask = None

    def close(self):
        signal.signal(signal.SIGUSR1, self.before)

    def by(self, way, worker, exc_type, reason):
        """Returns what interrupt() returned, in that way."""
        answers = []
        target = worker.thread.ident if way == "ident" else worker.thread

        def ask(*_):
            answers.append(interruption.interrupt(target, exc_type, reason=reason))

        if way == "signal":
            self.ask = ask
            signal.raise_signal(signal.SIGUSR1)
            self.ask = None
        elif way == "del":
            made = type("Late", (), {"__del__": ask})()
            del made
            gc.collect(0)
        elif way == "weakref":
            target_of_reference = set()
            reference = weakref.ref(target_of_reference, ask)
            del target_of_reference
            assert reference() is None
        elif way == "another thread":
            asker = threading.Thread(target=ask)
            asker.start()
            asker.join()
        elif way == "method" and worker.kind != "plain":
            answers.append(worker.thread.interrupt(exc_type, reason=reason))
        else:
            ask()
        (answer,) = answers
        return answer
