"""S30: who takes the GIL for good, after a signal was seen, does not hold up the end of a process.

Without us the signal would have ended the process at once. It is in force until the process has
ended, whatever that is at; and nobody is ended who only takes his time.
"""

from __future__ import annotations

import signal

import pytest
from support import HAS_GIL, run_script
from test_watchdog import GRACE, HEAD, deliver, finish, start

STUCK = f"""
from interruption._shutdown import under_way
under_way.UNLESS_SAID = {GRACE}                            # seconds

def hold(deque=collections.deque, repeat=itertools.repeat):   # globals may have gone
    deque(repeat(0), maxlen=0)

def hold_later():
    now.wait()
    hold()

now = threading.Event()
threading.Thread(target=hold_later, daemon=True).start()    # 3.12 starts none at the end

def hold_in_thread():
    now.set()
    for_ever()
"""

HEAD_AND_STUCK = HEAD + STUCK

# Threads that compute come one after the other, and the machine may be busy.
PATIENT = HEAD_AND_STUCK + "under_way.UNLESS_SAID = 2\n"
SIGTERM = "os.kill(os.getpid(), signal.SIGTERM)"


def at(phase):
    """A program that holds the GIL from that moment on, by `holds()`."""
    return f"""
        if {phase!r} == "handler":
            entered = threading.Event()
            def work():
                with allow_interruption, on_interrupt(holds):
                    entered.set()
                    ctypes.CDLL(None).sleep(1000)
            threading.Thread(target=work, daemon=True).start()
            entered.wait()
        if {phase!r} == "threads":
            def work():
                with allow_interruption:
                    try:
                        for_ever()
                    except ThreadExit:
                        holds()
            threading.Thread(target=work).start()
        if {phase!r} == "atexit":
            atexit.register(holds)
        if {phase!r} == "last objects":
            under_way.UNLESS_SAID = 3       # the end of the interpreter has begun long before
            class Last:
                def __del__(self, holds=holds, ends=sys.is_finalizing):
                    assert ends()
                    holds()
            sys.last = Last()
        interrupt_on_signal()
        ready()
        try:
            for_ever()
        finally:
            if {phase!r} == "cleanup":
                holds()
    """


PHASES = ["handler", "cleanup", "threads", "atexit"]
HOLDS = [
    *((phase, "hold") for phase in (*PHASES, "last objects")),
    *((phase, "hold_in_thread") for phase in PHASES),
]


@pytest.mark.parametrize(("phase", "holds"), HOLDS)
def test_it_ends_whoever_takes_the_gil_and_whenever(phase, holds):  # S30
    process = start(STUCK, f"holds = {holds}", at(phase))
    status, _, stderr = finish(process, signal.SIGTERM)
    assert status == -signal.SIGTERM
    assert "interruption: SIGTERM came" in stderr
    assert "in hold" in stderr


def test_it_ends_where_no_thread_can_be_started_any_more():  # S30
    process = start(
        STUCK,
        """
        import resource
        interrupt_on_signal()
        if os.getuid() == 0:        # who is under no limit
            os.setgroups([])
            os.setgid(61236)
            os.setuid(61236)
        ready()
        try:
            for_ever()
        except SystemExit:
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            try:
                threading.Thread(target=print, args=("started",)).start()
            except RuntimeError:
                hold()
    """,
    )
    status, stdout, stderr = finish(process, signal.SIGTERM)
    assert (status, stdout) == (-signal.SIGTERM, []), stderr
    assert "interruption: SIGTERM came" in stderr


def test_it_ends_if_it_swallows_what_the_signal_has_raised():  # S30
    process = start(
        STUCK,
        """
        interrupt_on_signal()
        ready()
        try:
            for_ever()
        except SystemExit:
            hold()
    """,
    )
    status, _, stderr = finish(process, signal.SIGTERM)
    assert status == -signal.SIGTERM
    assert ("which holds the GIL" if HAS_GIL else ", running") in stderr


def test_it_ends_after_the_block_that_the_signal_was_for():  # S30
    process = start(
        STUCK,
        """
        atexit.register(hold)
        with interrupt_on_signal():
            ready()
            for_ever()
    """,
    )
    status, _, _ = finish(process, signal.SIGTERM)
    assert status == -signal.SIGTERM


def test_a_sigterm_after_ctrl_c_ends_it():  # S30
    """Ctrl-C would not have ended it without us, while the GIL is held; SIGTERM would."""
    process = start(
        STUCK,
        """
        interrupt_on_signal()
        try:
            ready()
            for_ever()
        finally:
            print("cleanup", flush=True)
            hold()
    """,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        deliver(process, signal.SIGINT)
        assert process.stdout.readline() == "cleanup\n"
        deliver(process, signal.SIGTERM)
        process.communicate()
    assert process.returncode == -signal.SIGTERM


# Who only takes his time. -------------------------------------------------------------------------

SLOW = {
    "waits": "time.sleep(3)",
    "computes": """
end = time.monotonic() + 3
while time.monotonic() < end:
    pass""",
    "computes in threads": """
def compute():
    end = time.monotonic() + 3
    while time.monotonic() < end:
        pass
threads = [threading.Thread(target=compute) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()""",
    "holds it for moments": """
for _ in range(30):
    ctypes.PyDLL(None).usleep(100_000)
    time.sleep(0)""",
}


def indented(source):
    return source.replace("\n", "\n    ")


@pytest.mark.parametrize("slow", SLOW)
def test_cleanup_takes_as_long_as_it_takes(slow):  # S30
    result = run_script(
        PATIENT
        + f"""
interrupt_on_signal()
try:
    {SIGTERM}
    for_ever()
finally:
    {indented(SLOW[slow])}
    print("cleaned up", flush=True)
"""
    )
    assert (result.returncode, result.stdout, result.stderr) == (-15, "cleaned up\n", "")


def test_the_last_objects_may_wait():  # S30
    result = run_script(
        PATIENT
        + f"""
class Last:
    def __del__(self, wait=time.sleep, write=os.write, ends=sys.is_finalizing):
        wait(3)
        write(1, b"waited" if ends() else b"too early")
sys.last = Last()
interrupt_on_signal()
{SIGTERM}
for_ever()
"""
    )
    assert (result.returncode, result.stdout, result.stderr) == (-15, "waited", "")


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_program_with_a_handler_of_its_own_may_hold_the_gil(before):  # S30
    """Without us the signal does not end it."""
    install = ["interrupt_on_signal()", "signal.signal(signal.SIGTERM, lambda *_: came.set())"]
    lines = "\n".join(reversed(install) if before else install)
    result = run_script(
        HEAD_AND_STUCK
        + f"""
came = threading.Event()
{lines}
threading.Timer(0.1, lambda: {SIGTERM}).start()
ctypes.PyDLL(None).usleep(100)                    # it is loaded
while not came.is_set():
    ctypes.PyDLL(None).usleep(900_000)
ctypes.PyDLL(None).usleep(900_000)
print("goes on")
"""
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "goes on\n", "")


def test_a_program_that_goes_on_may_hold_the_gil():  # S30
    result = run_script(
        HEAD_AND_STUCK
        + f"""
try:
    with interrupt_on_signal():
        {SIGTERM}
        for_ever()
except SignalExit:
    pass
ctypes.PyDLL(None).usleep(900_000)
print("goes on")
"""
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "goes on\n", "")
