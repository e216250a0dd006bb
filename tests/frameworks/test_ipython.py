"""``%load_ext interruption`` in a kernel, as Jupyter starts it."""

from __future__ import annotations

import textwrap
import threading
import time
from pathlib import Path

import pytest
from pages import code_of, codes_of
from said import Said
from support import PATIENCE, until

manager = pytest.importorskip("jupyter_client.manager")
pytest.importorskip("ipykernel")

HERE = Path(__file__).parent


def until_main_thread_blocked(number):
    """Wait until the main thread of that process is at rest: it waits, and for no GIL."""
    task = Path(f"/proc/{number}/task/{number}")
    seen, times = None, 0

    def at_rest():
        nonlocal seen, times
        time.sleep(0.01)  # who waits for the GIL runs meanwhile, each 5 ms
        state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        lines = (task / "status").read_text().splitlines()
        now = state, [line for line in lines if "ctxt_switches" in line]
        times = times + 1 if state == "S" and now == seen else 0
        seen = now
        return times == 3

    if task.exists():
        until(at_rest)


class Kernel:
    """A cell at a time."""

    def __init__(self, folder):
        # By sockets in a folder: a port that is free when it is looked for may be taken later.
        self.manager = manager.KernelManager(transport="ipc", ip=str(folder / "kernel"))
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.shown = ""
        self.run(f"import sys; sys.path.insert(0, {str(HERE)!r})")
        self.run("import threading, time, bodies")
        self.run("%load_ext interruption")

    def begin(self, source):
        # Else an error aborts what is sent a moment later, too.
        return self.client.execute(textwrap.dedent(source), stop_on_error=False)

    def end(self, cell):
        """Its reply."""
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"]["msg_id"] == cell:
                return reply["content"]

    def run(self, source):
        reply = self.end(self.begin(source))
        assert reply["status"] == "ok", reply
        return reply

    def interrupt(self):
        """When the cell waits: on the way there, Ctrl-C may become a RuntimeError in threading."""
        until_main_thread_blocked(self.manager.provisioner.pid)
        self.manager.interrupt_kernel()

    def until_shown(self, text, times=1):
        """By whatever cell."""
        while self.shown.count(text) < times:
            self.shown += self.client.get_iopub_msg(timeout=PATIENCE)["content"].get("text", "")

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def own_threads():
    return tuple(each.name for each in threading.enumerate())


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    yield kernel
    kernel.close()


STARTS = {
    "thread": """
        t = threading.Thread(target=bodies.run, args=({kind!r}, {path!r}))
        t.start()
        t.join()
    """,
    "executor": """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(1) as executor:
            executor.submit(bodies.run, {kind!r}, {path!r}).result()
    """,
    "thread of a thread": """
        t = threading.Thread(target=lambda: (
            inner := threading.Thread(target=bodies.run, args=({kind!r}, {path!r})),
            inner.start(), inner.join(),
        ))
        t.start()
        t.join()
    """,
}


@pytest.mark.parametrize("kind", ["running", "sleep", "lock", "socket"])
@pytest.mark.parametrize("start", STARTS)
def test_interrupt_kernel_stops_the_threads_of_the_cell(kernel, tmp_path, start, kind):
    task = Said(tmp_path / "task")
    cell = kernel.begin(STARTS[start].format(kind=kind, path=str(task.file)))
    task.until("begin")
    kernel.interrupt()
    assert kernel.end(cell)["ename"] == "KeyboardInterrupt"
    task.until("finally")
    assert task.said() == ["begin", "ThreadExit the cell was interrupted", "finally"]
    kernel.run("1 + 1")


def test_one_that_swallows_it_is_reported_by_its_name(kernel, tmp_path):
    task = Said(tmp_path / "task")
    kernel.run("import interruption.ipython; interruption.ipython.report_after = 0.1")
    cell = kernel.begin(STARTS["thread"].format(kind="swallows", path=str(task.file)))
    task.until("begin")
    kernel.interrupt()
    kernel.end(cell)
    kernel.until_shown("(run) still runs, 0.1 s after it was asked to stop (the cell was interru")
    kernel.until_shown("in swallow")
    task.go()
    kernel.run("t.join()")


def test_the_program_of_the_page(kernel):
    load, _ = codes_of("jupyter")
    kernel.run(load)
    cell = kernel.begin(code_of("jupyter"))
    kernel.until_shown("begun", 2)
    kernel.interrupt()
    assert kernel.end(cell)["ename"] == "KeyboardInterrupt"
    kernel.until_shown("closed", 2)  # two threads: the rest of each line comes in any order


def test_threads_of_other_cells_go_on(kernel, tmp_path):
    earlier, task = Said(tmp_path / "earlier"), Said(tmp_path / "task")
    kernel.run(f"u = threading.Thread(target=bodies.run, args=('swallows', {str(earlier.file)!r}))")
    kernel.run("u.start()")
    earlier.until("begin")
    cell = kernel.begin(STARTS["thread"].format(kind="sleep", path=str(task.file)))
    task.until("begin")
    kernel.interrupt()
    kernel.end(cell)
    task.until("finally")
    assert earlier.said() == ["begin"]
    kernel.run("import interruption; interruption.interrupt(u)")
    earlier.until("swallowed")
    earlier.go()
    kernel.run("u.join()")


def test_threads_that_a_library_begins_for_itself_are_left_alone(kernel, tmp_path):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "library.py").write_text(
        "import threading\n"
        "go = threading.Event()\n"
        "def start():\n"
        "    thread = threading.Thread(target=go.wait)\n"
        "    thread.start()\n"
        "    return thread\n"
    )
    task = Said(tmp_path / "task")
    kernel.run(f"sys.path.insert(0, {str(folder)!r}); import library")
    cell = kernel.begin(
        "thread = library.start()\n"
        + textwrap.dedent(STARTS["thread"]).format(kind="sleep", path=str(task.file))
    )
    task.until("begin")
    kernel.interrupt()
    kernel.end(cell)
    task.until("finally")
    kernel.run("assert thread.is_alive(); library.go.set(); thread.join()")


def test_unloaded_everything_is_as_before(tmp_path):
    kernel = Kernel(tmp_path)
    kernel.run("__import__('interruption').load_ipython_extension(get_ipython())")  # twice is once
    kernel.run("%unload_ext interruption")
    kernel.run("assert threading.Thread.start.__module__ == 'threading'")
    kernel.run("assert threading.Thread.start.__code__.co_filename == threading.__file__")
    task = Said(tmp_path / "task")
    cell = kernel.begin(STARTS["thread"].format(kind="swallows", path=str(task.file)))
    task.until("begin")
    kernel.interrupt()
    kernel.end(cell)
    assert task.said() == ["begin"]
    kernel.close()
    until(lambda: not kernel.manager.is_alive())
