"""Every test starts and ends with a main thread that is not asked to stop."""

import contextlib
import gc
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import interruption
import pytest
from chance import forget_chance, how_again

# They tell what they found.
pytest.register_assert_rewrite(
    "support",
    "blocking_parts",
    "coexistence_parts",
    "held_locks_parts",
    "property_worker",
    "protected_parts",
    "delivery_parts",
)

# A shell starts what runs in its background with SIGINT and SIGQUIT ignored, nohup with SIGHUP; and
# so would be what we start.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        _as_ever = signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL
        signal.signal(_number, _as_ever)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``percent`` is short, and once more, as stress, of its full length."""
    if "percent" in metafunc.fixturenames:
        full = pytest.param(100, marks=pytest.mark.stress, id="long")
        short = pytest.param(20, marks=pytest.mark.sample, id="short")
        metafunc.parametrize("percent", [short, full])


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """A worker of pytest-xdist reads its share of the modules first, in which pytest has assertions
    rewritten. The bytecode that it leaves is the others'; else each would make all of it.
    """
    config = session.config
    worker = getattr(config, "workerinput", None)
    if worker is None or sys.dont_write_bytecode or config.args != config.getini("testpaths"):
        return
    number, workers = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    for file in sorted(Path(__file__).parent.glob("test_*.py"))[number::workers]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # collecting it tells
            importlib.import_module(file.stem)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A test that fails tells how it is run again with the same chance."""
    report = (yield).get_result()  # type: ignore[misc]
    if report.failed and (again := how_again(item.nodeid)):
        report.sections.append(("chance", again))


@pytest.fixture(autouse=True)
def _not_asked() -> Iterator[None]:
    assert not interruption.interruption_requested()
    forget_chance()
    yield
    interruption.clear_interrupt()


@pytest.fixture
def switching_often() -> Iterator[None]:
    """Threads take the GIL from each other all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def collecting_fast() -> Iterator[None]:
    """Who collects garbage does not look through all that there was before: a tenth of a second."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def bystanders() -> int:
    """How many threads there are beside the test's own: pytest-xdist has one."""
    return interruption.interrupt_all_threads()


@pytest.fixture
def pool():
    """A ThreadPoolExecutor with two workers."""
    with interruption.ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def single():
    """A ThreadPoolExecutor with one worker."""
    with interruption.ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's two ends, which the test may close."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


@pytest.fixture
def interposed() -> Iterator[None]:
    """The test runs with the locks interposed, and leaves them so."""
    from held_locks_parts import interpose

    interpose(True)
    yield
    interpose(True)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this package and `probe`, for PYTHONPATH."""
    from protected_parts import make_site

    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def region():
    """A context manager that tells when it was entered and left."""
    from decorators_parts import Region

    made = Region()
    yield made
    assert made.depth == 0
