"""S9: the tool ids of sys.monitoring, where none is free, or others are meant."""

from __future__ import annotations

from coexistence_parts import monitored
from support import expect_script

WITHOUT_AN_ID = """
    import sys, threading
    from interruption import *
    monitoring = sys.monitoring
    for tool in range(6):
        monitoring.use_tool_id(tool, f"tool number {tool}")
    ran = []
    def body():
        for enter in (allow_interruption, allow_interruption(io_interrupt=False)):
            try:
                with enter:
                    ran.append("a block without a way to stop it")
            except RuntimeError as error:
                for tool in range(6):
                    assert f"tool number {tool}" in str(error), error
                assert "async_interrupt=False" in str(error), error
            else:
                assert False
        with allow_interruption(async_interrupt=False):
            ran.append("calls only")
        with defer_interruption:
            ran.append("a shield")
        try:
            with allow_interruption(async_interrupt=False), allow_interruption:
                ran.append("another block without")
        except RuntimeError:
            pass
        interrupt(threading.get_ident())
        try:
            check_interrupt()
        except ThreadExit:
            ran.append("looked")
        clear_interrupt()
    for target in (body, None):
        if target is not None:
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        else:
            body()
        assert ran == ["calls only", "a shield", "looked"], ran
        ran.clear()
    assert [monitoring.get_tool(tool) for tool in range(6)] == [
        f"tool number {tool}" for tool in range(6)]

    # An interruptible thread fails like any whose run() raises.
    seen = []
    threading.excepthook = lambda args: seen.append(args.exc_type)
    thread = Thread(target=ran.append, args=("never",), interruptible=True)
    thread.start()
    thread.join()
    assert (seen, ran) == ([RuntimeError], [])

    monitoring.free_tool_id(2)
    try:
        with allow_interruption:
            ran.append("entered")
            interrupt(threading.get_ident())
            ran.append("not reached")
    except ThreadExit:
        ran.append("delivered")
    assert ran == ["entered", "delivered"], ran
    assert monitoring.get_tool(2) == "interruption"
"""


@monitored
def test_without_a_free_tool_id_a_region_says_so():  # S9, S14
    expect_script(WITHOUT_AN_ID)


@monitored
def test_ids_that_are_meant_for_others_are_left_to_them():  # S9
    expect_script("""
        import sys
        from interruption import *
        with allow_interruption:
            pass
        monitoring = sys.monitoring
        for tool in (monitoring.DEBUGGER_ID, monitoring.COVERAGE_ID, monitoring.PROFILER_ID,
                     monitoring.OPTIMIZER_ID):
            monitoring.use_tool_id(tool, "theirs")
    """)


def test_what_asks_for_no_statements_takes_no_tool_id():  # S14
    expect_script("""
        import sys
        from interruption import *
        with defer_interruption, allow_interruption(async_interrupt=False):
            pass
        if hasattr(sys, "monitoring"):
            assert not any(sys.monitoring.get_tool(tool) for tool in range(6))
    """)
