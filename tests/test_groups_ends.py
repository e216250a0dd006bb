"""S28, S18: groups and Ctrl-C, forks, the exit, daemon threads."""

from __future__ import annotations

import os
import signal

import pytest
from chance import scaled
from support import expect_script

PARTS = """
import os, signal, sys, threading, time
from interruption import *

def wait():
    threading.Event().wait()
"""


def test_the_program_ends_with_the_group_by_sys_exit():
    expect_script(
        PARTS
        + """
with ThreadGroup() as group:
    group.submit(wait)
    group.submit(print, "a task").result()
    sys.exit()
""",
        stdout="a task\n",
    )


def test_a_daemon_thread_with_a_live_group_does_not_keep_the_program():
    expect_script(
        PARTS
        + """
inside = threading.Event()

def body():
    with timeout(1000), ThreadGroup() as group:
        assert group.submit(lambda: threading.current_thread().daemon).result()
        group.submit(wait)
        group.submit(inside.set)

threading.Thread(target=body, daemon=True).start()
inside.wait()
""",
    )


def test_a_thread_with_a_live_group_is_waited_for_at_the_exit():
    expect_script(
        PARTS
        + """
submitted = threading.Event()

def body():
    with ThreadGroup() as group:
        group.submit(threading.main_thread().join)
        group.submit(time.sleep, 0.05)
        submitted.set()
    print("left")

threading.Thread(target=body).start()
submitted.wait()
""",
        stdout="left\n",
    )


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal for a thread")
def test_of_what_handlers_raise_while_a_group_is_left_nothing_is_lost():
    expect_script(
        PARTS
        + """
import itertools

class Boom(BaseException):
    pass

def handler(*_):
    if len(seen) < sent:
        seen.append(errors[sent - 1])
        raise errors[sent - 1]

def send():
    global sent
    with defer_interruption:
        shielded.release()
        while not group._for_all:       # it is left
            time.sleep(0.001)
        for sent in range(1, len(errors) + 1):
            while len(seen) < sent:     # see the test below
                signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
                time.sleep(0.001)

signal.signal(signal.SIGALRM, handler)
lost = []   # in a weak reference's callback
sys.unraisablehook = lambda unraisable: lost.append(unraisable.exc_value)
shielded = threading.Semaphore(0)
for kinds in itertools.permutations([Boom, KeyError, KeyboardInterrupt, Boom, SystemExit], 3):
    for of_block in (None, LookupError(), Boom(), KeyboardInterrupt()):
        errors, seen, sent = [kind() for kind in kinds], [], 0
        try:
            with ThreadGroup() as group:
                group.submit(send)
                shielded.acquire()
                if of_block:
                    raise of_block
        except BaseException as error:
            came = error
        raised = [each for each in (of_block, *errors) if each not in lost]
        came_first = [each for each in raised
                      if isinstance(each, (KeyboardInterrupt, SystemExit))]
        assert not came_first or came is came_first[0], (came, of_block, errors)
        found, more = [None], [came]
        while more:
            each = more.pop()
            if each not in found:
                found.append(each)
                more += [each.__context__, each.__cause__, *getattr(each, "exceptions", ())]
        assert all(error in found for error in raised), (raised, found)
""",
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_the_child_of_a_fork_has_no_tasks():
    expect_script(
        PARTS
        + """
def in_child(what):
    pid = os.fork()
    if pid == 0:
        try:
            what()
        except BaseException as error:
            print(type(error).__name__, error)
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.waitpid(pid, 0)

with ThreadGroup() as group:
    future = group.submit(wait)

    def leave():
        told = set()
        for what in (lambda: group.submit(int), group.results, group.first, group.__enter__):
            try:
                what()
            except RuntimeError as error:
                told.add(str(error))
        print(*sorted(told), sep="\\n")
        group.__exit__(None, None, None)
        with ThreadGroup() as another:
            print(another.submit(pow, 2, 3).result())

    def fail_there():
        with timeout(1000):
            raise KeyError("there")

    in_child(leave)
    group.submit(in_child, fail_there).result()
    future.cancel()
print("left")
""",
        stdout="the group has been entered before: make one for each `with` statement\n"
        "the group was entered before a fork: its tasks are not here\n8\n"
        "KeyError 'there'\nleft\n",
    )


def test_a_task_may_be_what_goes_on_in_the_child_of_a_fork():
    expect_script(
        PARTS
        + """
def task(error):
    pid = os.fork()
    if pid == 0:
        if error:
            raise error     # there, it concerns nobody
        return "in the child"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

with timeout(1000), ThreadGroup() as group:
    group.submit(wait)
    print(group.submit(task, None).result(), group.submit(task, KeyError()).result())
    group.first()
""",
        stdout="0 0\n",
    )


def test_ctrl_c_at_any_moment_leaves_no_task_and_no_block():
    # Again and again: one that comes just before the main thread sleeps is not seen by CPython
    # until the next.
    expect_script(
        PARTS
        + f"""
armed = False
sys.unraisablehook = lambda _: None     # in a weak reference's callback it is lost
def handler(*_):
    if armed:
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, handler)
seen = 0
for round in range({scaled(2000)}):
    futures = []
    try:
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, 0.0001 + (round % 50) * 0.00002, 0.02)
            with ThreadGroup() as group:
                for _ in range(3):
                    futures.append(group.submit(wait))
                wait()
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    except (KeyboardInterrupt, RuntimeError, BaseExceptionGroup) as error:
        seen += 1       # RuntimeError: of threading.Condition, which Ctrl-C has come into
    assert all(future.done() for future in futures), futures
    with ThreadGroup() as group:
        assert group.submit(int).result() == 0
assert seen == {scaled(2000)}
""",
    )
