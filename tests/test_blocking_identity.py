"""Built-in functions are equal, and found in dicts and sets, whatever has been interposed (S17)."""

from __future__ import annotations

import pytest
from support import expect_script

TABLES = """
    import _queue, os, sys, time, _thread
    lock, simple = _thread.allocate_lock(), _queue.SimpleQueue()
    functions = [time.sleep, os.listdir, os.open, os.waitpid, os.read, lock.acquire, lock.release,
                 simple.get, simple.put, len, [].append]
    hashes = [hash(function) for function in functions]
    table, found = {function: place for place, function in enumerate(functions)}, set(functions)

    def as_before():
        assert [hash(function) for function in functions] == hashes
        assert [table[function] for function in functions] == list(range(len(functions)))
        assert all(function in found for function in functions)
        again = [time.sleep, os.listdir, lock.acquire, simple.get, simple.put]
        assert all(function in found and table[function] >= 0 for function in again)
        assert os.listdir in os.supports_fd and os.open in os.supports_dir_fd
        assert simple.get != simple.put and lock.acquire != lock.release
        assert lock.acquire != _thread.allocate_lock().acquire and lock.acquire == lock.acquire
        assert time.sleep != 1 and lock.acquire != as_before and not lock.acquire == None

    as_before()
    import interruption
"""


def test_dicts_and_sets_made_before_find_what_is_interposed():
    expect_script(
        f"""{TABLES}
    with interruption.allow_interruption:
        as_before()
    assert interruption.blocking.status().enabled
    as_before()
    interruption.blocking.disable()
    as_before()
    interruption.blocking.enable()
    as_before()
    print("done")
    """,
        stdout="done\n",
    )


@pytest.mark.parametrize("names", [("acquire", "acquire_lock"), ("release", "release_lock")])
def test_two_names_of_one_function_are_equal_still(names):
    one, other = names
    expect_script(
        f"""
    import _thread, interruption
    lock = _thread.allocate_lock()
    before = lock.{one} == lock.{other}, hash(lock.{one}) == hash(lock.{other})
    interruption.blocking.enable()
    assert interruption.blocking.status().families[0].interposed
    assert (lock.{one} == lock.{other}, hash(lock.{one}) == hash(lock.{other})) == before
    print("done")
    """,
        stdout="done\n",
    )


def test_rmtree_that_is_imported_later_is_safe_from_symbolic_links():
    expect_script(
        """
    import os, sys
    import interruption
    for name in ("shutil", "tempfile"):
        sys.modules.pop(name, None)
    safe = {os.open, os.stat, os.unlink, os.rmdir} <= os.supports_dir_fd
    interruption.blocking.enable()
    import shutil
    assert shutil.rmtree.avoids_symlink_attacks == safe
    print("done")
    """,
        stdout="done\n",
    )
