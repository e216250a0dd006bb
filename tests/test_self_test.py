"""S32: an interpreter that is not as it was when this was built is refused, by name."""

from __future__ import annotations

import sys

import pytest
from interruption import _interruption, blocking
from interruption._self_test import check_forms, find_refusal
from support import expect_script, run_python

# A micro release with another bytecode, say: everything else is as it was.
OTHER_BYTECODE = "import importlib._bootstrap_external as it; it.MAGIC_NUMBER = bytes(4)"


def test_this_interpreter_is_as_expected():
    assert find_refusal(None) is None
    assert _interruption._refused is None  # noqa: SLF001
    assert blocking.status().refused == ()


TRY = """\
def f(a): #.
 try: #g
  a() #p
 finally: #.
  a() #f
"""


def test_forms_that_are_as_marked_are_found_so():
    assert check_forms(TRY) is None


@pytest.mark.parametrize(
    ("mark", "line"),
    [
        ("p", "  a()"),  # within the `finally`
        ("l", "  a()"),
        ("e", "  a()"),
        ("w", "  a()"),
        ("g", " a()"),  # behind it
        ("f", " a()"),
        ("e", " a()"),
        ("w", " a()"),
        ("l", " a()"),
        ("f", " with a: pass"),
        ("F", " for b in a: pass"),
        # What is wrong is one thing alone: it calls nothing, or a function in it is not cleanup.
        ("p", " a = (a)"),
        ("f", "  (lambda: a())()"),
        ("F", "  (lambda: a())()"),
        ("w", "  with a: pass"),
    ],
)
def test_every_mark_is_looked_at(mark, line):
    said = check_forms(f"{TRY}{line} #{mark}\n")
    assert said is not None
    assert line.strip() in said


def test_a_with_is_entered_on_its_line():  # what is left on it is not enough
    said = check_forms("def f(a):\n with (lambda: #.\n  a)(): pass #w\n")
    assert said is not None
    assert "a)(): pass" in said


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a comprehension is a function of its own")
def test_a_loop_in_the_middle_of_a_statement_is_no_cleanup():
    text = TRY + "  (lambda: a( #.\n   [b for b in a])), a #F\n"
    assert "[b for b in a]" in check_forms(text)


@pytest.mark.parametrize("mark", "fFe")
def test_what_is_before_a_try_is_no_cleanup(mark):
    assert "try:" in check_forms(TRY.replace("#g", f"#{mark}"))


def test_nor_is_a_function_in_an_except():
    text = "def f(a):\n try:\n  a()\n except OSError:\n  (lambda: a())() #e\n"
    assert "lambda" in check_forms(text)


def test_a_strange_layout_is_refused_and_named(monkeypatch):
    monkeypatch.setattr(_interruption, "_refused", None)  # to be put back
    assert "PyThreadState.interp is not where it was" in find_refusal("PyThreadState.interp")
    assert any("PyThreadState.interp" in said for said in blocking.status().refused)


def test_what_does_not_compile_is_an_error():
    with pytest.raises(SyntaxError):
        check_forms("def f(: #p\n")


def test_what_a_signal_handler_raises_meanwhile_is_no_refusal():  # S10e
    expect_script(
        """
        import signal, sys
        from interruption import allow_interruption, blocking

        def hook(event, arguments):
            if event == "compile" and arguments[1] == "<interruption>" and not seen:
                seen.append(event)
                signal.raise_signal(signal.SIGUSR1)

        seen = []
        signal.signal(signal.SIGUSR1, lambda *_: 1 / 0)
        sys.addaudithook(hook)
        for _ in range(2):
            try:
                with allow_interruption:
                    print("entered")
            except ZeroDivisionError:
                print("raised")
        assert blocking.status().refused == ()
    """,
        stdout="raised\nentered\n",
    )


def test_another_bytecode_is_refused_and_named():
    expect_script(
        f"""
        {OTHER_BYTECODE}
        import threading, time
        from interruption import ThreadExit, allow_interruption, blocking, explain, interrupt

        looped, stop = threading.Event(), False

        def work():
            with allow_interruption:
                while not stop:
                    looped.set()
                threading.Event().wait()

        thread = threading.Thread(target=work)
        thread.start()
        looped.wait()
        interrupt(thread)
        for _ in range(2):  # it goes round: nothing is raised between statements
            looped.clear()
            assert looped.wait(60)
        (refused,) = blocking.status().refused
        assert refused.startswith("nothing is raised between statements"), refused
        assert "bytecode" in refused, refused
        assert refused in str(blocking.status())
        found = explain(thread)
        assert found.state == "refused", found
        assert found.place.function == "work"
        stop = True
        thread.join()  # its waits are woken
        print("stopped")
    """,
        stdout="stopped\n",
    )


def test_the_doctor_names_it():
    source = f"{OTHER_BYTECODE}\nfrom interruption._cli.doctor import run\n"
    source += "raise SystemExit(run(as_json=False, patience=0.5))"
    done = run_python("-c", source)
    assert done.returncode == 1, done.stderr
    assert "nothing is raised between statements, because Python" in done.stdout


def test_cleanup_is_not_cut_when_it_cannot_be_told():
    # S10c: a mutex is acquired for one request, as in cleanup
    expect_script(
        f"""
        {OTHER_BYTECODE}
        import threading
        from interruption import ThreadExit, allow_interruption, interrupt

        lock, ready = threading.Lock(), threading.Event()

        def work():
            with allow_interruption:
                ready.set()
                with lock:
                    print("taken")

        lock.acquire()
        thread = threading.Thread(target=work)
        thread.start()
        ready.wait()
        interrupt(thread)
        thread.join(0.2)  # time to be stopped
        assert thread.is_alive()
        lock.release()
        thread.join()
    """,
        stdout="taken\n",
    )
