"""Breaks each protection on purpose, once: programs made by chance have to go wrong then.

``cd tests; python -m programs.mutations [NAME...]``: for each, the sources are copied, changed and
built for this Python, beside what is installed, and ``python -m programs`` is run with the result.
Needs meson, ninja and a compiler; takes about half a minute each. test_programs.py sees to it that
what is to be changed is still there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
REQUESTS = "20000"


class Mutation(NamedTuple):
    """What is broken by it, and how: what stands in a file of src/module, and what instead."""

    breaks: str
    file: str
    old: str
    new: str
    since: tuple[int, int] = (3, 11)  # on which versions it shows
    until: tuple[int, int] = (3, 99)


MUTATIONS = [
    Mutation(
        "copies of a finally are cleanup",
        "safepoints/safepoints.c",
        "bits |= UINT64_C(1) << at->flow.chains[chain].bit;",
        "bits |= 0;",
    ),
    Mutation(
        "so are those of a try that cannot fail",
        "safepoints/flow.c",
        "return done > 0 ? follow_what_never_runs(at) : done;",
        "return follow_what_never_runs == NULL ? 0 : done;",
    ),
    Mutation(
        "handlers are cleanup",
        "safepoints/safepoints.c",
        "for (int chain = here->chain; chain != 0; chain = points->chains[chain].parent) {",
        "for (int chain = 0; chain != 0; chain = points->chains[chain].parent) {",
    ),
    Mutation(
        "the entry and the exit of a with are cleanup",
        "safepoints/safepoints.c",
        "    if (lost != 0) {\n",
        "    if (lost != 0 && exits == 0) {\n",
    ),
    Mutation(
        "what leads into a finally belongs to it",
        "safepoints/safepoints.c",
        "at->notes[i].finallys |= at->notes[i + 1].finallys & ~at->notes[i].turned;",
        "at->notes[i].finallys |= 0;",
    ),
    Mutation(
        "the gap between acquire() and try is no point",
        "safepoints/safepoints.c",
        "flags |= is_gap(at, number) && !at->notes[number].cleanup_loop ? MOD_SAFEPOINT_GAP : 0;",
        "flags |= is_gap(at, number) ? 0 : 0;",
    ),
    Mutation(
        "nor is a try that cannot fail in another",
        "safepoints/safepoints.c",
        "(handler < 0 || at->notes[next].covers_from == i)",
        "at->notes[next].covers_from == i",
    ),
    Mutation(
        "in the middle of a statement is no point",
        "safepoints/safepoints.c",
        "uint64_t blocks = STACK_BLOCKS(stack), clear = blocks | STACK_HARMLESS(stack);",
        "uint64_t blocks = all, clear = blocks | STACK_HARMLESS(stack);",
    ),
    Mutation(
        "JUMP events that skip handlers are not used in a try",
        "safepoints/safepoints.c",
        "!(MOD_JUMPS_IGNORE_HANDLERS && handled)",
        "(handled || !handled)",
        since=(3, 12),
        until=(3, 12),
    ),
    Mutation(
        "methods named __enter__ and __exit__ are cleanup",
        "delivery/obstacles.c",
        "    if (at->since < 0 && mod_is_wrapper(at->code)) {\n        obstacle->kind",
        "    if (at->code == NULL) {\n        obstacle->kind",
    ),
    Mutation(
        "a shield holds requests back",
        "delivery/obstacles.c",
        "else if (view->shields > 0) {",
        "else if (view->shields > 1000) {",
    ),
    Mutation(
        "a lock that is held holds requests back",
        "delivery/raise.c",
        "Py_XDECREF(taken_in); /* the quicker question first: it may be asked for long */\n"
        "        return false;",
        "Py_XDECREF(taken_in);",
    ),
    Mutation(
        "the standard library is left alone",
        "safepoints/protected.c",
        "bool verdict = is_home_of(homes->value, code->co_filename, name) ||",
        "bool verdict = (is_home_of(homes->value, code->co_filename, name) && name == NULL) ||",
    ),
]


def wanted(names: list[str]) -> list[Mutation]:
    return [
        mutation
        for mutation in MUTATIONS
        if mutation.since <= sys.version_info[:2] <= mutation.until
        and (not names or mutation.breaks in names)
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
        shutil.copytree(ROOT / "python/interruption", self.package)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path}
        self._run("setup", self.build, self.sources, "-Dbuildtype=debugoptimized")

    def _run(self, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "mesonbuild.mesonmain", *arguments]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def make(self) -> None:
        self._run("compile", "-C", self.build)
        for module in (self.build / "src/module").glob("_interruption.*.so"):
            shutil.copy(module, self.package)

    def goes_wrong(self) -> bool:
        """Do programs made by chance, with what has been built?"""
        self.make()
        environment = {**self.environment, "PYTHONPATH": str(self.package.parent)}
        command = [sys.executable, "-m", "programs", "--deliveries", REQUESTS, "--first"]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT / "tests",
                env=environment,
                timeout=300,
                capture_output=True,
                check=False,
                text=True,
            )
        except subprocess.TimeoutExpired:
            return True  # it hangs
        print("   ", (done.stdout or done.stderr).strip().splitlines()[:1])
        return done.returncode != 0

    def is_noticed(self, mutation: Mutation) -> bool:
        path = self.sources / "src/module" / mutation.file
        text = path.read_text()
        assert text.count(mutation.old) == 1, mutation
        path.write_text(text.replace(mutation.old, mutation.new))
        try:
            return self.goes_wrong()
        finally:
            path.write_text(text)


def main() -> int:
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        build = Build(Path(folder))
        if not sys.argv[1:] and build.goes_wrong():
            print("programs go wrong as it is")
            return 1
        for mutation in wanted(sys.argv[1:]):
            noticed = build.is_noticed(mutation)
            print("noticed:" if noticed else "NOT NOTICED:", mutation.breaks, flush=True)
            missed += [] if noticed else [mutation]
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
