"""Breaks each protection on purpose, once: programs made by chance, or a test, have to go wrong.

``cd tests; python -m programs.mutations [WORD...]``: for each row of breakages.py, or those that
have such a word in their name or file, the sources are copied, changed and built for this Python,
beside what is installed, and ``python -m programs`` is run with the result, or the tests that the
row names; those of a framework, if that is there. The self-test would refuse most of what programs
are to find (S32): for them it is silenced. Needs meson, ninja and a compiler; takes some ten
seconds each. test_programs.py sees to it that what is to be changed is still there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import breakages, breakages_of_frameworks
from programs.breakages import Mutation

ROOT = Path(__file__).parents[2]
MUTATIONS = breakages.MUTATIONS + breakages_of_frameworks.MUTATIONS
REQUESTS = "20000"
NO_TESTS = 5  # what pytest ends with if it has found none

SELF_TEST = Mutation(
    "the self-test refuses nothing",
    "python/interruption/_self_test.py",
    "refused = check_forms(_FORMS)",
    "refused = check_forms(_FORMS) and None",
)


def wanted(words: list[str]) -> list[Mutation]:
    return [
        mutation
        for mutation in MUTATIONS
        if mutation.since <= sys.version_info[:2] <= mutation.until
        and not mutation.unseen
        and (not mutation.needs or importlib.util.find_spec(mutation.needs) is not None)
        and (not words or any(word in f"{mutation.breaks} {mutation.file}" for word in words))
    ]


class Build:
    """A copy of the sources, built beside what is installed."""

    def __init__(self, folder: Path) -> None:
        self.sources, self.build = folder / "sources", folder / "build"
        self.package = folder / "site" / "interruption"
        for name in ("src", "include", "python", "tests/core"):
            shutil.copytree(ROOT / name, self.sources / name)
        for path in [*ROOT.glob("meson*"), ROOT / "LICENSE"]:
            shutil.copy(path, self.sources)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        self._run("setup", self.build, self.sources, "-Dbuildtype=debugoptimized")
        self.environment["PYTHONPATH"] = str(self.package.parent)
        # What hangs has been noticed.
        self.patience = float(self.environment.setdefault("INTERRUPTION_PATIENCE", "30"))

    def _run(self, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "mesonbuild.mesonmain", *arguments]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def change(self, mutation: Mutation) -> None:
        path = self.sources / mutation.file
        text = path.read_text()
        assert text.count(mutation.old) == 1, mutation
        path.write_text(text.replace(mutation.old, mutation.new))

    def make(self) -> None:
        self._run("compile", "-C", self.build)
        shutil.rmtree(self.package, ignore_errors=True)
        shutil.copytree(
            self.sources / "python/interruption",
            self.package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        for module in (self.build / "src/module").glob("_interruption.*.so"):
            shutil.copy(module, self.package)

    def goes_wrong(self, tests: str = "") -> bool:
        """Do programs made by chance, with what has been built, or those tests?"""
        self.make()
        command = ["programs", "--deliveries", REQUESTS, "--first"]
        if tests:
            options = ["-xq", "-m", "", "--tb=line", "-pno:cacheprovider"]
            command = ["pytest", *options, *shlex.split(tests)]
        with subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT / "tests", env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        ) as done:  # fmt: skip
            try:
                output, _ = done.communicate(timeout=10 * self.patience)
            except subprocess.TimeoutExpired:
                print("    (it hangs)")
                return True
            finally:  # and what it has left behind
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(done.pid, signal.SIGKILL)
        lines = output.strip().splitlines()
        failed = [line for line in lines if line.startswith("FAILED")]
        assert done.returncode != NO_TESTS, tests
        print("   ", *(failed or (lines[-1:] if tests else lines[:1])))
        return done.returncode != 0

    def is_noticed(self, mutation: Mutation) -> bool:
        text = (self.sources / mutation.file).read_text()
        self.change(mutation)
        try:
            return self.goes_wrong(mutation.tests)
        finally:
            (self.sources / mutation.file).write_text(text)


def main() -> int:
    missed = []
    rows = wanted(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        build = Build(Path(folder))
        silenced = False
        for mutation in sorted(rows, key=lambda mutation: mutation.tests == ""):
            if not mutation.tests and not silenced:
                build.change(SELF_TEST)
                silenced = True
                if not sys.argv[1:] and build.goes_wrong():
                    print("programs go wrong as it is")
                    return 1
            noticed = build.is_noticed(mutation)
            print("noticed:" if noticed else "NOT NOTICED:", mutation.breaks, flush=True)
            missed += [] if noticed else [mutation]
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
