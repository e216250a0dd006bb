"""S18: at interpreter exit nothing hangs, leaks or crashes."""

import pytest
from support import expect_script, run_script


def test_daemon_threads_with_requests_do_not_disturb_the_exit():  # S18
    for body in (
        "wait_for_interruption()",
        "time.sleep(1000)",
        "exec('while True: interruption_requested()')",
        "exec('while True: clear_interrupt()')",
    ):
        expect_script(f"""
            import threading, time
            from interruption import *
            ready = threading.Semaphore(0)
            def body():
                interruption_requested()
                ready.release()
                {body}
            threads = [threading.Thread(target=body, daemon=True) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                ready.acquire()
            for thread in threads:
                interrupt(thread, KeyError, reason="x" * 100)
        """)


def test_daemon_threads_that_ask_while_the_interpreter_exits():  # S18
    for _ in range(10):
        expect_script("""
            import threading
            from interruption import *
            main = threading.main_thread()
            ready = threading.Semaphore(0)
            def ask():
                ready.release()
                while True:
                    interrupt(main, LookupError, reason="r")
                    interrupt_all_threads(reason="s")
            for _ in range(3):
                threading.Thread(target=ask, daemon=True).start()
            for _ in range(3):
                ready.acquire()
        """)


def test_the_api_in_del_at_exit():  # S18, S20
    result = run_script("""
        import os, threading
        import interruption
        class Late:
            def __init__(self, api, ident):
                self.api, self.ident, self.write = api, ident, os.write
            def __del__(self):
                api = self.api
                api.interrupt(self.ident, reason="late")
                try:
                    api.check_interrupt()
                except BaseException as error:
                    seen = type(error).__name__
                else:
                    seen = None
                api.interrupt_all_threads()
                api.interruption_fd()
                api.wait_for_interruption(0)
                assert api.clear_interrupt()
                self.write(1, f"{seen}\\n".encode())
        import sys
        late = Late(interruption, threading.get_ident())
        late.cycle = late
        sys.modules["kept until the very end"] = Late(interruption, threading.get_ident())
    """)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "ThreadExit\n" * 2


def test_a_first_region_in_del_at_exit():  # S18: modules are gone, and nothing is imported any more
    expect_script(
        """
        import builtins, os, sys
        from interruption import allow_interruption, timeout
        class Late:
            def __del__(self, write=os.write, region=allow_interruption, limit=timeout):
                with region, limit(60):
                    write(1, b"inside\\n")
        sys.modules["threading"].late = Late()
        sys.late, builtins.late = Late(), Late()
        """,
        stdout="inside\n" * 3,
    )


def test_the_api_in_del_of_a_thread_that_ends():  # S18, S20
    expect_script("""
        import threading
        from interruption import *
        seen = []
        class Late:
            def __del__(self):
                seen.append(interruption_requested())
                check_interrupt()
                clear_interrupt()
                interrupt_all_threads()
                clear_interrupt()
                wait_for_interruption(0)
                interruption_fd()
        def body(local, look_first):
            if look_first:
                interruption_requested()
            local.late = Late()          # goes when the thread's state is cleared
            import contextvars
            contextvars.ContextVar("late").set(Late())
        for look_first in (True, False) * 20:
            thread = threading.Thread(target=body, args=(threading.local(), look_first))
            thread.start()
            thread.join()
            assert not interruption_requested() or clear_interrupt()
        del thread                       # from 3.14 it holds its thread's context
        assert len(seen) == 80, len(seen)
        assert not any(seen)
    """)


@pytest.mark.parametrize("how", ["threading._register_atexit", "atexit.register"])
def test_workers_that_wait_are_stopped_by_an_exit_handler(how):  # S15, S18
    daemon = how == "atexit.register"  # that one is called when the others have ended
    expect_script(f"""
        import atexit, threading
        from interruption import *
        for _ in range(5):
            threading.Thread(target=wait_for_interruption, daemon={daemon}).start()
        {how}(interrupt_all_threads)
    """)


def test_a_second_import_of_the_module_works():
    expect_script("""
        import sys, threading
        import interruption as first
        first.interruption_requested()
        for name in [name for name in sys.modules if name.startswith("interruption")]:
            del sys.modules[name]
        import interruption as second
        assert first is not second
        assert first.interrupt(threading.get_ident(), reason="r")
        assert second.interruption_requested()
        try:
            second.check_interrupt()
        except SystemExit as error:
            assert error.reason == "r"
        del first
        import gc
        gc.collect()
        assert second.clear_interrupt()
    """)


def test_a_subinterpreter_is_refused_in_words():
    result = run_script("""
        try:
            import _interpreters as interpreters
        except ImportError:
            try:
                import _xxsubinterpreters as interpreters
            except ImportError:
                raise SystemExit("no subinterpreters")
        code = '''if True:
            try:
                import interruption
            except ImportError as error:
                import os
                os.write(1, type(error).__name__.encode())
        '''
        import interruption
        interpreter = interpreters.create()
        getattr(interpreters, "exec", None) and interpreters.exec(interpreter, code) or (
            hasattr(interpreters, "exec") or interpreters.run_string(interpreter, code))
        interpreters.destroy(interpreter)
        assert not interruption.interruption_requested()
    """)
    if "no subinterpreters" in result.stderr:
        pytest.skip("this Python cannot make subinterpreters")
    assert (result.returncode, result.stdout) == (0, "ImportError"), result.stderr
