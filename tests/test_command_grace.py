"""`run`: what the grace bounds, and whose threads are stopped (S30)."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from support import HAS_GIL, expect_script, run_python
from test_command_run import finish, start

linux = pytest.mark.skipif(sys.platform != "linux", reason="the timers are Linux's")

STUCK_CLEANUP = """
    try:
        ready()
        time.sleep(1000)
    finally:
        say("cleanup")
        threading.Event().wait()
"""

STUCK_HANDLER = """
    signal.signal(signal.SIGTERM, lambda *_: threading.Event().wait())
    signal.signal(signal.SIGINT, lambda *_: threading.Event().wait())
    ready()
    time.sleep(1000)
"""

FLAG_HANDLER = """
    import asyncio
    async def main():
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, asked.set)
        loop.add_signal_handler(signal.SIGINT, asked.set)
        ready()
        await asked.wait()
        await asyncio.Event().wait()        # for connections that are never closed
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    "source", [STUCK_CLEANUP, STUCK_HANDLER, FLAG_HANDLER], ids=["cleanup", "handler", "loop"]
)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_grace_that_is_given_is_for_the_whole_process(source, signum, tmp_path):  # S30
    process = start(tmp_path, source, "--grace", "300ms")
    status, _, told = finish(process, signum, blocked=True)
    assert status == -signum
    assert f"interruption: {signum.name} came" in told
    assert "Main thread" in told
    assert "program.py" in told


def test_without_one_a_cleanup_takes_its_time(tmp_path):  # S30
    """Longer than threads are given."""
    process = start(
        tmp_path,
        """
        try:
            ready()
            time.sleep(1000)
        finally:
            time.sleep(8)
            say("cleaned up")
        """,
    )
    status, said, told = finish(process, signal.SIGINT, blocked=True)
    assert (status, said) == (-signal.SIGINT, ["cleaned up"])
    assert "interruption:" not in told


@linux
def test_without_one_sigterm_ends_what_cannot_see_it_all_the_same(tmp_path):  # S30
    process = start(
        tmp_path,
        """
        import re
        match = re.compile("(a+)+$").match
        def work():
            ready()
            match("a" * 60 + "b")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
    )
    status, _, told = finish(process, signal.SIGTERM)
    assert status == -signal.SIGTERM
    what = "which holds the GIL" if HAS_GIL else ", running"
    assert what in told or told == ""  # it came before the thread began


def test_an_exit_that_does_not_end_is_ended_with_its_status(tmp_path):  # S30
    process = start(
        tmp_path,
        """
        import atexit
        atexit.register(threading.Event().wait)
        sys.exit(3)
        """,
        "--grace",
        "300ms",
    )
    status, _, told = finish(process)
    assert status == 3
    assert "interruption: the main program ended" in told


def test_a_program_that_reads_its_configuration_again_goes_on(tmp_path):  # S30
    process = start(
        tmp_path,
        """
        def again(*_):
            say("read again")
            done.set()
        done = threading.Event()
        signal.signal(signal.SIGHUP, again)
        ready()
        done.wait()
        time.sleep(3)
        say("goes on")
        """,
        "--grace",
        "300ms",
    )
    status, said, told = finish(process, signal.SIGHUP, blocked=True)
    assert (status, said, told) == (0, ["goes on", "read again"], "")


# Threads of installed packages. -------------------------------------------------------------------

PACKAGE = """
import queue, threading

class Observer(threading.Thread):
    def __init__(self, callback):
        super().__init__()
        self.events, self.callback = queue.Queue(), callback

    def run(self):
        self.ended = "cut"
        while (event := self.events.get()) is not None:
            self.callback(event)
        self.ended = "whole"

    def stop(self):
        self.events.put(None)

def start(function):
    thread = threading.Thread(target=function)
    thread.start()
    return thread
"""

OBSERVES = """
    sys.path.insert(0, "site-packages")
    import installed
    observer = installed.Observer(wait)
    observer.start()
    try:
        ready()
        time.sleep(1000)
    finally:
        say("running" if observer.is_alive() else "stopped")
        observer.stop()
        observer.join()
        say(observer.ended)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "installed.py").write_text(PACKAGE)
    return tmp_path


@pytest.mark.parametrize("packages", ["site-packages", "dist-packages"])
def test_a_thread_of_an_installed_package_is_ended_by_who_has_begun_it(packages, folder):  # S30
    (folder / "site-packages").rename(folder / packages)
    source = OBSERVES.replace("site-packages", packages)
    status, said, told = finish(start(folder, source), signal.SIGINT, blocked=True)
    assert (status, said) == (-signal.SIGINT, ["running", "whole"])
    assert "interruption:" not in told


def test_and_what_it_calls_of_the_programs_is_stopped(folder):  # S30
    """Waiting, between statements, and also if it is called only then."""
    called = OBSERVES.replace("ready()", "observer.events.put(None); ready(1)")
    for body in (
        called.replace("Observer(wait)", "Observer(lambda _: wait())").replace(
            "put(None)", "put(1)"
        ),
        OBSERVES.replace("Observer(wait)", "Observer(spin)")
        .replace("observer =", "def spin(event):\n        while True: pass\n    observer =")
        .replace("observer.stop()", "observer.events.put(1)"),
    ):
        status, said, told = finish(start(folder, body), signal.SIGINT, blocked=True)
        assert status == -signal.SIGINT
        # It may have ended before the main thread looks.
        assert {"cut"} <= set(said) <= {"cut", "running", "stopped", "wait stopped"}
        assert "interruption:" not in told


def test_but_one_that_runs_the_programs_own_function_is_stopped(folder):
    status, said, _ = finish(
        start(
            folder,
            """
            sys.path.insert(0, "site-packages")
            import installed
            installed.start(wait)
            ready(1)
            time.sleep(1000)
            """,
        ),
        signal.SIGTERM,
        blocked=True,
    )
    assert (status, said) == (-signal.SIGTERM, ["wait stopped"])


def test_whose_a_package_is():
    expect_script(
        """
        from interruption._interruption import _is_installed, _set_own
        folders = ("site-packages", "a")
        code, own = (compile("", f"/there/{name}/some.py", "exec") for name in folders)
        names = ("install", "installed", "install.below", "a", "a.b", "a.bc", "a.b.c")
        assert all(_is_installed(code, {"__name__": name}) for name in names)
        assert not any(_is_installed(own, {"__name__": name}) for name in names)
        _set_own(("install", "a.b"))
        print([name for name in names if _is_installed(code, {"__name__": name})])
        """,
        stdout="['installed', 'a', 'a.bc']\n",
    )


@pytest.mark.parametrize("module", ["installed", "installed.below"])
def test_a_package_may_be_the_programs_own(module, folder):
    """As the one that is run by -m is; and with it all that is below."""
    path = folder / "site-packages"
    if module == "installed.below":
        (path / "below.py").write_text(PACKAGE)
        (path / "installed.py").write_text("__path__ = [__file__.rpartition('/')[0]]")
    source = OBSERVES.replace('say("running" if', 'observer.join(); say("running" if')
    source = source.replace("import installed", f"import {module} as installed")
    environment = {**os.environ, "PYTHONPATH": str(path)}
    process = start(folder, source, "--region", "installed", "--region", "all", env=environment)
    status, said, _ = finish(process, signal.SIGINT, blocked=True)
    assert (status, said) == (-signal.SIGINT, ["cut", "stopped"])


def test_an_observer_of_files_ends_as_ever(tmp_path):  # S30
    pytest.importorskip("watchdog")
    process = start(
        tmp_path,
        """
        import tempfile
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer
        observer = Observer()
        observer.schedule(FileSystemEventHandler(), tempfile.mkdtemp())
        observer.start()
        try:
            ready()
            time.sleep(1000)
        finally:
            observer.stop()
            observer.join()
            say("observer has ended")
        """,
        "--grace",
        "60s",
    )
    status, said, _ = finish(process, signal.SIGINT, blocked=True)
    assert (status, said) == (-signal.SIGINT, ["observer has ended"])


@pytest.mark.parametrize("option", [(), ("--protect", "careful")])
def test_a_module_is_protected_by_name(option, tmp_path):  # S9
    (tmp_path / "careful.py").write_text(
        "import os, threading\n"
        "def work(begun):\n"
        "    begun()\n"
        "    while threading.main_thread().is_alive():\n"
        "        pass\n"
        "    for _ in range(1_000_000):\n"
        "        pass\n"
        "    os.write(1, b'whole\\n')\n"
    )
    process = start(
        tmp_path,
        """
        import careful
        threading.Thread(target=careful.work, args=[begun.release]).start()
        ready(1)
        sys.exit(0)
        """,
        *option,
    )
    status, said, _ = finish(process)
    assert status == 0
    assert ("whole" in said) is bool(option)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--region", "all", "--region", "none"], "one of all, ours, none only"),
        (["--region", "a b"], "neither all, ours or none, nor the name of an installed package"),
        (["--region", "our"], "'our' is neither"),
        (["--protect", "a b"], "is no module's name"),
        (["--protect", ""], "is no module's name"),
    ],
)
def test_bad_options_are_refused_in_words(options, words):
    done = run_python("-m", "interruption", "run", *options, "program.py")
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--protect", "carefull"], "there is no module 'carefull' (did you mean 'careful'?)"),
        (["--protect", "queue", "--protect", "nowhere"], "there is no module 'nowhere'"),
        (["--protect", "careful"], ""),
        (["--protect", "json.decoder"], ""),
    ],
)
def test_a_name_that_no_module_has_is_refused(options, words, tmp_path):  # S32
    """As soon as the folder of the program is known, and before it runs."""
    (tmp_path / "careful.py").write_text("")
    (tmp_path / "program.py").write_text("print('runs')")
    done = run_python("-m", "interruption", "run", *options, tmp_path / "program.py")
    assert words in done.stderr
    assert (done.returncode, done.stdout) == ((2, "") if words else (0, "runs\n"))


@pytest.mark.parametrize(("name", "is_there"), [("beloww", False), ("below", True)])
@pytest.mark.parametrize("option", ["--protect", "--region"])
def test_a_module_that_a_package_has_not_got_is_told_at_the_end(  # S32
    option, name, is_there, tmp_path
):
    """Only the package knows what is below it, and it is not imported for that."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "__init__.py").write_text("print('imported')")
    (tmp_path / "whole" / "below.py").write_text("")
    (tmp_path / "program.py").write_text("print('runs'); import whole")
    done = run_python(
        "-m",
        "interruption",
        "run",
        option,
        f"whole.{name}",
        "program.py",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (0, "runs\nimported\n")
    assert (f"there is no module 'whole.{name}'" in done.stderr) is not is_there
