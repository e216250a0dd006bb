"""S20: every function is safe in a signal handler and in __del__."""

from support import expect_script, run_script

ALL_FUNCTIONS = """
    import faulthandler, gc, os, signal, sys, threading, time
    from interruption import *

    faulthandler.dump_traceback_later(100, exit=True)

    def use_everything():
        interrupt(main)
        interrupt(other, LookupError, reason="r")
        interrupt(finished)
        try:
            interrupt(other.ident)
        except ValueError:  # it has ended: the program is at its end
            assert stop.is_set()
        interrupt_all_threads(reason="s")
        interruption_requested()
        interruption_fd()
        wait_for_interruption(0)
        try:
            check_interrupt()
        except (ThreadExit, LookupError):
            pass
        clear_interrupt()

    def work():
        while not stop.is_set():
            try:
                check_interrupt()
            except (ThreadExit, LookupError):
                clear_interrupt()

    stop = threading.Event()
    main = threading.main_thread()
    finished = threading.Thread(target=int)
    finished.start()
    finished.join()
    other = threading.Thread(target=work)
    other.start()
"""


def test_signal_handlers_may_use_everything_whatever_they_come_into():  # S20
    """A real timer fires a thousand times a second into a main thread that does the same things."""
    expect_script(
        ALL_FUNCTIONS
        + """
    count = 0
    def handler(*_):
        global count
        count += 1
        use_everything()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    while count < 300:
        use_everything()
        threading.Thread(target=use_everything).start()
    signal.setitimer(signal.ITIMER_REAL, 0)
    stop.set()
    """
    )


def test_del_may_use_everything_wherever_the_collector_runs_it():  # S20
    expect_script(
        ALL_FUNCTIONS
        + """
    count = 0
    class Late:
        def __init__(self):
            self.cycle = self
        def __del__(self):
            global count
            count += 1
            use_everything()
    gc.set_threshold(1)
    def body():
        for _ in range(20):
            Late()
            use_everything()
    while count < 300:
        thread = threading.Thread(target=body)
        thread.start()
        body()
        thread.join()
    gc.set_threshold(1000)
    stop.set()
    """
    )


def test_a_handler_that_comes_into_the_standard_librarys_own_locks_does_not_wait_for_them():  # S20
    expect_script(
        ALL_FUNCTIONS
        + """
    for lock in ("_shutdown_locks_lock", "_active_limbo_lock"):
        with getattr(threading, lock, threading.Lock()):
            use_everything()
    unjoined = threading.Thread(target=int)
    unjoined.start()
    while unjoined.ident in threading._active:
        time.sleep(0)
    with getattr(threading, "_shutdown_locks_lock", threading.Lock()):
        assert interrupt(unjoined) is False
    stop.set()
    """
    )


def test_a_real_sigint_asks_all_threads_from_its_handler():  # S3, S20
    result = run_script("""
        import os, signal, threading
        from interruption import *
        def say(text):
            os.write(1, f"{text}\\n".encode())
        def handler(*_):
            say(f"asked {interrupt_all_threads(reason='SIGINT')}")
        signal.signal(signal.SIGINT, handler)
        def body():
            try:
                while True:
                    wait_for_interruption()
                    check_interrupt()
            except ThreadExit as error:
                say(error.reason)
        threads = [threading.Thread(target=body) for _ in range(3)]
        for thread in threads:
            thread.start()
        os.kill(os.getpid(), signal.SIGINT)
        for thread in threads:
            thread.join()
    """)
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(result.stdout.splitlines()) == ["SIGINT", "SIGINT", "SIGINT", "asked 3"]


def test_finalizers_run_in_no_lock_of_ours():
    """Up to 3.11 the object of a frame that is looked at may collect garbage, with whatever runs
    then: here, others that look at frames, too."""
    expect_script(
        """
        import faulthandler, gc, threading, time
        from interruption import *

        faulthandler.dump_traceback_later(100, exit=True)

        class Cycle:
            def __init__(self):
                self.me = self

            def __del__(self):
                time.sleep(0)

        def deep(depth):
            if depth:
                deep(depth - 1)
            else:
                time.sleep(0)

        def work():
            with allow_interruption, defer_interruption:
                while not stop:
                    deep(30)

        def ask(function):
            for _ in range(200):
                for worker in workers:
                    for _ in range(5):
                        Cycle()
                    function(worker)

        stop = False
        gc.set_threshold(10)
        asking = (explain, explain, interrupt)
        workers = [threading.Thread(target=work) for _ in range(2)]
        askers = [threading.Thread(target=ask, args=(each,)) for each in asking]
        for thread in workers + askers:
            thread.start()
        for thread in askers:
            thread.join()
        stop = True
        """
    )
