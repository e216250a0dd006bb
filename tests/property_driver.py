"""Leads a thread through commands, one at a time, each answered before the next is given.

The threads of test_properties.py execute `serve`: whatever block they are told to enter runs it
again, inside. A driver waits and steps in this module, which that test protects: so its threads are
interrupted in what they are told to run (property_program.py), never on the way to it. They wait
for their next command with a lock, which code that is protected never gives up (S10).
"""

from __future__ import annotations

import queue
import threading
import types

import interruption
import property_program as program
from support import PATIENCE


class LeavingError(BaseException):
    """Raised in a block that is to be left by an exception."""


class EndingError(BaseException):
    """Raised in a thread that is to end, through whatever it is in."""


class Outcome:
    """What became of a command: entered a block, returned or raised."""

    def __init__(self, word, value=None):
        self.word = word
        self.value = value

    def __repr__(self):
        return f"<{self.word} {self.value!r}>"


class Driver:
    """A thread, and what it is told. The methods without `_` are the test's, `serve` excepted."""

    def __init__(self, kind):
        self._gate = _closed()  # the thread's: what it waits for next
        self._opens = self._gate  # the test's
        self._inbox = None  # written by the test while the thread waits, else the thread's
        self._answers = queue.SimpleQueue()
        self.ended_by = None
        self.suspended = {}  # generators by number; the thread's, or the test's when it is idle
        self.abandoned = False  # written by the test while the thread waits: let all exceptions by
        if kind == "plain":
            self.thread = threading.Thread(target=self._run, daemon=True)
        else:
            interruptible = kind == "interruptible"
            self.thread = interruption.Thread(
                target=self._run, interruptible=interruptible, daemon=True
            )
        self.thread.start()
        assert self.answer().word == "entered"

    def tell(self, what, *arguments, deliverable=False):
        """Give it a command; a request that is deliverable is delivered before that."""
        gate, self._opens = self._opens, _closed()
        self._inbox = (what, arguments, deliverable, self._opens)
        gate.release()

    def tell_if_idle(self, what):
        """The same for one that may not be: at the end of a test that has failed, too."""
        if self._inbox is None:
            self.tell(what)

    def answer(self):
        return self._answers.get(timeout=PATIENCE)

    def has_answered(self):
        return not self._answers.empty()

    # The thread's. --------------------------------------------------------------------------------

    def _run(self):
        try:
            self.serve()
        except BaseException as error:  # noqa: BLE001
            self.ended_by = error

    def _next(self):
        """The next command, or None if a request was delivered instead."""
        self._gate.acquire()
        self._gate.release()  # a lock that is held keeps requests away
        what, arguments, deliverable, self._gate = self._inbox
        self._inbox = None
        if self.abandoned:
            raise EndingError
        try:
            if deliverable:
                program.run_on()
            program.run_a_little()
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            self._tell("raised", error)
            return None
        return what, arguments

    def _tell(self, word, value=None):
        if isinstance(value, BaseException):
            value = value.with_traceback(None)
        self._answers.put(Outcome(word, value))

    def serve(self):
        """Execute commands until told to leave."""
        self._tell("entered")
        while True:
            command = self._next()
            if command is None:
                continue
            what, arguments = command
            if what == "leave":
                _leave(*arguments)
                return
            try:
                value = self._execute(what, arguments)
            except EndingError:
                raise
            except BaseException as error:  # noqa: BLE001
                outcome = "raised", error
            else:
                outcome = "returned", value
            self._tell(*outcome)

    @types.coroutine
    def serve_suspendable(self):
        """The same, in a generator or coroutine."""
        self._tell("entered")
        while True:
            command = self._next()
            if command is None:
                continue
            what, arguments = command
            if what == "leave":
                _leave(*arguments)
                return
            if what == "yield":
                yield
                self._tell("entered")
                continue
            try:
                if what == "enter":
                    value = yield from self._enter_suspendable(*arguments)
                else:
                    value = self._execute(what, arguments)
            except (EndingError, GeneratorExit):
                raise
            except BaseException as error:
                if self.abandoned:
                    raise
                outcome = "raised", error
            else:
                outcome = "returned", value
            self._tell(*outcome)

    def _execute(self, what, arguments):
        if what == "run":
            return program.call(*arguments)
        if what == "enter":
            kind, form, _ = arguments
            if kind in program.BLOCKS:
                return program.in_block(form, program.BLOCKS[kind], self.serve)
            if kind == "cleanup":
                return program.in_cleanup(form, self.serve)
            return program.with_lock(form, self.serve)
        if what == "start":
            self.suspended[arguments[0]] = self.serve_suspendable()
        if what in ("start", "resume"):
            try:
                program.call(self.suspended[arguments[0]].send, None)
            except StopIteration:
                return "finished"
            return "yielded"
        assert what == "end"
        raise EndingError

    def _enter_suspendable(self, kind, form, coroutine):
        inside = self.serve_suspendable
        if kind == "cleanup":
            return program.in_cleanup_of_generator(form, inside)
        if kind == "lock":
            return program.with_lock_of_generator(form, inside)
        block = program.BLOCKS[kind]
        if coroutine:
            return program.in_block_of_coroutine(form, block, inside)
        return program.in_block_of_generator(form, block, inside)


def _closed():
    lock = threading.Lock()
    lock.acquire()
    return lock


def _leave(raising):
    if raising:
        raise LeavingError
