"""Pickled, copied, sent to another process: regions and shields, what they decorate, SignalExit."""

import copy
import inspect
import pickle
import signal
import subprocess
import sys
import threading

import pytest
from interruption import (
    SignalExit,
    ThreadExit,
    allow_interruption,
    defer_interruption,
    interrupt,
    interrupt_on_exit,
    on_interrupt,
    run_in_process,
)
from support import run_script

WAYS = [copy.copy, copy.deepcopy] + [
    lambda thing, protocol=protocol: pickle.loads(pickle.dumps(thing, protocol))  # noqa: S301
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
]

CONFIGURED = [
    allow_interruption(async_interrupt=False),
    allow_interruption(io_interrupt=False),
    allow_interruption(async_interrupt=False, io_interrupt=False),
]


@pytest.mark.parametrize("way", WAYS)
def test_the_region_and_the_shield_are_one_object_each(way):  # S14
    for block in (allow_interruption, defer_interruption):
        assert way(block) is block
        assert way([block])[0] is block


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("region", CONFIGURED, ids=repr)
def test_a_region_with_options_keeps_them(way, region):  # S14
    assert repr(way(region)) == repr(region)


def test_options_that_change_nothing_make_no_new_object():  # S14
    assert allow_interruption() is allow_interruption
    assert allow_interruption(io_interrupt=True) is allow_interruption
    switched = allow_interruption(io_interrupt=False)
    assert switched() is switched
    assert switched(io_interrupt=True) is allow_interruption
    assert defer_interruption() is defer_interruption


def test_a_copy_is_a_region():  # S7
    interrupt(threading.get_ident())
    for region in (copy.copy(allow_interruption), copy.deepcopy(CONFIGURED[0])):
        with pytest.raises(ThreadExit), region:
            pytest.fail("entered")


def in_region(region):
    """Of another process: with a region that was sent."""
    interrupt(threading.get_ident())
    try:
        with region:
            return "entered"
    except ThreadExit:
        return f"{region!r} raised"


def test_another_process_is_sent_regions():
    for region in (allow_interruption, CONFIGURED[1]):
        assert run_in_process(in_region, region) == f"{region!r} raised"


def test_functions_of_main_are_sent_by_value():
    """As dask, Ray and joblib send them; those that name a region, and those it decorates."""
    pytest.importorskip("cloudpickle")
    sender = run_script("""
        import sys, cloudpickle
        from interruption import allow_interruption, defer_interruption

        @allow_interruption
        def decorated(x):
            return x + 1

        @allow_interruption(io_interrupt=False)
        @defer_interruption
        def twice(x):
            return x + 1

        @allow_interruption
        def generator(x):
            yield x + 1

        @allow_interruption
        async def coroutine(x):
            return x + 1

        @allow_interruption
        async def asynchronous_generator(x):
            yield x + 1

        def naming(x):
            with allow_interruption, defer_interruption:
                return x + 1

        class Job:
            region = allow_interruption(async_interrupt=False)

            @allow_interruption
            def run(self, x):
                with self.region:
                    return x + 1

        functions = [decorated, twice, naming, Job().run]
        functions += [generator, coroutine, asynchronous_generator]
        print(cloudpickle.dumps(functions).hex())
    """)
    assert sender.returncode == 0, sender.stderr
    receiver = run_script(f"""
        import asyncio, pickle
        *functions, generator, coroutine, asynchronous = pickle.loads(
            bytes.fromhex("{sender.stdout.strip()}")
        )
        async def all_of(items):
            return [item async for item in items]
        print(*(function(1) for function in functions), *generator(1))
        print(asyncio.run(coroutine(1)), asyncio.run(all_of(asynchronous(1))))
    """)
    assert receiver.stdout == "2 2 2 2 2\n2 [2]\n", receiver.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_signal_exit_stays_what_it_is(way):  # S13
    plain = way(SignalExit(signal.SIGTERM))
    assert (type(plain), plain.signum, plain.code, plain.args) == (SignalExit, 15, 143, (143,))
    changed = SignalExit(signal.SIGTERM)
    changed.code, changed.note = 3, "mine"
    again = way(changed)
    assert (again.signum, again.code, again.note) == (15, 3, "mine")


def test_a_signal_exit_ends_another_process_by_its_signal():
    code = "import pickle, sys; raise pickle.loads(sys.stdin.buffer.read())"
    sent = pickle.dumps(SignalExit(signal.SIGTERM))
    assert b"signals" not in sent  # it is known by its public name
    done = subprocess.run([sys.executable, "-c", code], input=sent, timeout=60, check=False)
    assert done.returncode == -signal.SIGTERM


def test_what_belongs_to_a_thread_or_a_process_is_refused():
    with interrupt_on_exit() as installation:
        for thing in (on_interrupt(print), installation):
            for way in WAYS:
                with pytest.raises(TypeError, match=r"[Ii]nstallation|on_interrupt"):
                    way(thing)


def test_regions_and_shields_have_signatures():  # S14
    options = "(function=None, /, *, async_interrupt=True, io_interrupt=True)"
    assert str(inspect.signature(allow_interruption)) == options
    assert str(inspect.signature(CONFIGURED[0])) == options
    assert str(inspect.signature(defer_interruption)) == "(function=None, /)"
