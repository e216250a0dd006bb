"""Run CPython's own tests of ThreadPoolExecutor and Future with this package's in their place.

    python tests/cpython/executor.py                    # the interpreter's own test package
    python tests/cpython/executor.py --tests FOLDER     # test_concurrent_futures from there
    python tests/cpython/executor.py -k shutdown -v     # as unittest

Prints how many tests passed, failed and were skipped, and which failed. Exit status 1 if there is
one that `KNOWN` does not name. Tests of processes and interpreters are left out. Some interpreters
come without these tests: then those of a neighbouring version, in a folder, will do.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib
import importlib.util
import sys
import types
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interruption import ThreadPoolExecutor
from interruption._executor import Future

NAME = "test_concurrent_futures"
PARTS = ("thread_pool", "shutdown", "init", "wait", "as_completed", "future")
CLASSES = ("ThreadPool", "FutureTests")  # the tests' classes have one of these in their name

# Tests that fail, and why that is right. By the end of their name.
KNOWN: dict[str, str] = {}

# What the tests start interpreters with, and what we start them with.
THEIR_IMPORT = "from concurrent.futures import ThreadPoolExecutor"
OUR_IMPORT = "from interruption import ThreadPoolExecutor"


def exchange(folder: Path | None) -> list[str]:
    """Put our classes in the place of theirs; returns the sources that interpreters start with."""
    futures: Any = concurrent.futures
    futures.ThreadPoolExecutor = futures.thread.ThreadPoolExecutor = ThreadPoolExecutor
    futures.Future = futures._base.Future = Future  # noqa: SLF001
    helper: Any = importlib.import_module("test.support.script_helper")
    original = helper.assert_python_ok
    started: list[str] = []
    where = f"import test; test.__path__.insert(0, {str(folder)!r})\n" if folder else ""

    def assert_python_ok(*args: str, **options: Any) -> Any:
        ours = [
            where + argument.replace(THEIR_IMPORT, OUR_IMPORT)
            if THEIR_IMPORT in argument
            else argument
            for argument in args
        ]
        started.extend(source for source in ours if OUR_IMPORT in source)
        return original(*ours, **options)

    helper.assert_python_ok = assert_python_ok
    return started


def find_tests(folder: Path | None) -> list[types.ModuleType]:
    """The modules of tests; empty if there are none."""
    if folder is not None:
        package: Any = importlib.import_module("test")
        package.__path__.insert(0, str(folder))
    name = f"test.{NAME}"
    if importlib.util.find_spec(name) is None:
        return []
    whole = importlib.import_module(name)
    if not hasattr(whole, "__path__"):
        return [whole]  # up to 3.11 it is one file
    return [importlib.import_module(f"{name}.test_{part}") for part in PARTS]


def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def is_wanted(test: unittest.TestCase, words: list[str]) -> bool:
    of_threads = any(name in type(test).__name__ for name in CLASSES)
    return of_threads and (not words or any(word in test.id() for word in words))


def is_known(test: unittest.TestCase) -> bool:
    return any(test.id().endswith(name) for name in KNOWN)


def report(result: unittest.TestResult, started: list[str]) -> int:
    """Print the figures; the exit status."""
    failed = [test for test, _ in (*result.failures, *result.errors)]
    known = [test for test in failed if is_known(test)]
    passed = result.testsRun - len(failed) - len(result.skipped)
    print(
        f"{result.testsRun} tests: {passed} passed, {len(failed)} failed, of these {len(known)} "
        f"known, {len(result.skipped)} skipped; {len(started)} interpreters started with ours"
    )
    for test in failed:
        print(f"failed: {test.id()}")
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    return 0 if passed > 0 and len(known) == len(failed) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tests", type=Path, help=f"the folder that has {NAME} in it")
    parser.add_argument("-k", action="append", default=[], help="only tests whose name has it")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    started = exchange(options.tests)
    modules = find_tests(options.tests)
    if not modules:
        print(f"This interpreter has no {NAME}: give a folder that has it by --tests.")
        return 2
    # Of each module by itself, so that its setUpModule and tearDownModule are run.
    suite = unittest.TestSuite(
        test
        for module in modules
        for test in flat(unittest.defaultTestLoader.loadTestsFromModule(module))
        if is_wanted(test, options.k)
    )
    result = unittest.TextTestRunner(verbosity=2 if options.verbose else 0).run(suite)
    return report(result, started)


if __name__ == "__main__":
    sys.exit(main())
