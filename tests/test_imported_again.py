"""The package is imported again: by test runners, reloaders, notebooks.

What is compiled exists once, so old names and new ones work together.
"""

from __future__ import annotations

from support import expect_script

AGAIN = """
    import gc, sys, threading
    import interruption as old

    def again():
        for name in [name for name in sys.modules if name.partition(".")[0] == "interruption"]:
            del sys.modules[name]
        import interruption
        return interruption

    def work():
        while True:
            pass

    def stopped_in(call, region_of, asked_by, expected):
        def body():
            try:
                with region_of.allow_interruption:
                    ready.set()
                    call()
            except expected.ThreadExit:
                got.append(True)

        ready, got = threading.Event(), []
        thread = threading.Thread(target=body)
        thread.start()
        ready.wait()
        asked_by.interrupt(thread)
        thread.join()
        return bool(got)

    def interrupted(*modules):
        return stopped_in(work, *modules)

    def blocked(*modules):
        return stopped_in(threading.Event().wait, *modules)
"""


def test_old_and_new_work_together():  # S2, S9, S10
    expect_script(
        AGAIN
        + """
    assert interrupted(old, old, old)
    new = again()
    assert new is not old
    for region_of in old, new:
        for asked_by in old, new:
            for expected in old, new:
                assert interrupted(region_of, asked_by, expected)
                assert blocked(region_of, asked_by, expected)
    """
    )


def test_nothing_of_the_old_one_is_needed():  # S9
    expect_script(
        AGAIN
        + """
    interrupted(old, old, old)
    del old
    for _ in range(3):
        new = again()
        gc.collect()
        assert interrupted(new, new, new)
        assert blocked(new, new, new)
        assert new._interruption.__spec__.name == "interruption._interruption"
    """
    )


def test_a_region_of_the_old_one_is_left_after_the_import():  # S8, S11
    expect_script(
        AGAIN
        + """
    with old.allow_interruption:
        new = again()
        with new.allow_interruption:
            pass
        old.interrupt(threading.get_ident(), reason="late")
        try:
            for _ in range(3):
                pass
        except new.ThreadExit as error:
            assert error.reason == "late"
        else:
            raise AssertionError
    assert new.clear_interrupt()
    """
    )


def test_what_was_protected_before_is_protected_after():  # S9
    expect_script(
        AGAIN
        + """
    old.protect("somewhere", missing_ok=True)
    new = again()
    there = {"__name__": "somewhere"}
    exec("def run(ask):\\n    ask()\\n    for _ in range(50):\\n        pass\\n    return 1", there)
    returned = []
    try:
        with new.allow_interruption:
            returned.append(there["run"](lambda: new.interrupt(threading.get_ident())))
            raise AssertionError
    except new.ThreadExit:
        pass
    assert returned == [1]
    """
    )


def test_installing_and_taking_out_by_either():  # S17
    expect_script(
        AGAIN
        + """
    old.install()
    new = again()
    new.install()
    assert threading.Thread.interrupt is new.Thread.interrupt
    new.uninstall()
    assert not hasattr(threading, "interrupt") and not hasattr(threading.Thread, "interrupt")
    new.install()
    old.uninstall()
    assert not hasattr(threading, "interrupt") and not hasattr(threading.Thread, "interrupt")
    """
    )
