"""The models in ``tests/model``, explored by spin: every order of steps, and every mutation found.

docs/model.md says what they are models of, what each property means, and how to run one by hand.
They are of no Python version, so CI runs this file once, with the README's command.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.anywhere

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "tests" / "model"

# What a violated property looks like in what the checker prints.
PROPERTIES = {
    "no request forgotten": r"assertion violated .*under_way",
    "armed only while open": r"assertion violated .*\|\| !\(record\[me\]\.events\)\)+ \(at",
    "delivered only where open": r"assertion violated \(+regions&& !\(shields\)+ \(at",
    "no wake-up lost": r"assertion violated (\(\( |  ?)!\(\(?(record\[me\]\.flags&2\)+ \(|\(+0<)",
    "one end a request": r"assertion violated \((ended|waiting)\[",
    "payloads come back": r"assertion violated .*(came_back|!\(record\[found\]\.pending)",
    "no deadlock": r"invalid end state \(",
    "waiter still there": r"assertion violated waiter\[.*\]\.in_use",
    "nothing left behind": r"assertion violated .*!\((queue\[0\]|record\[i\]\.references)\)",
    "record still there": r"assertion violated record\[.*\]\.references",
    "asked whom was meant": r"assertion violated \((record\[found\]\.serial==meant|.*==wanted)\)",
    "outermost wins": r"assertion violated \(at<=outermost\)",
    "shields by level": r"assertion violated \(at>=shield\)",
    "ends at its own": r"assertion violated \( !\(ends\)\|\|\(raising==level",
    "an outer end is kept": r"assertion violated \( !\(ends\)\|\| !\(must_pass",
    "nothing of it is left": r"assertion violated \(mutex\|\|\(\(pending==",
    "everybody's own record": r"assertion violated \(record\[found\]\.serial==serial\)",
    "seen by whom it was for": r"assertion violated \(record\[found\]\.pending==thread\[serial\]",
}


@dataclass(frozen=True)
class Run:
    """One exploration: a model and what is defined for it."""

    model: str
    definitions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.model.removesuffix(".pml"), *self.definitions])


@dataclass(frozen=True)
class Mutation(Run):
    """A model that is broken in one place, and the property that says so."""

    name: str = ""
    property: str = ""

    def __str__(self) -> str:
        return f"{super().__str__()} {self.name}"


# Two requesters in all of them. Those of one model reach every line of it, together.
RUNS = [
    Run("interruption.pml", ("TARGETS=2",)),
    Run("interruption.pml", ("TARGETS=1", "ACTIONS=2")),
    Run("interruption.pml", ("TARGETS=1", "ACTIONS=2", "POLLING")),
    Run("parking_lot.pml"),
    Run("parking_lot.pml", ("FREE_THREADED",)),
    Run("registry.pml"),
    Run("registry.pml", ("ANOTHER_STATE",)),
    Run("levels.pml", ("ACTIONS=5",)),
]


def _of(model: str, *definitions: str, **found: str) -> list[Mutation]:
    return [Mutation(model, definitions, *each) for each in found.items()]


FORGOTTEN = "no request forgotten"
MUTATIONS = [
    *_of(
        "interruption.pml",
        "TARGETS=1",
        "ACTIONS=1",
        requester_looks_before_it_asks=FORGOTTEN,
        open_without_exchange="armed only while open",
        looks_before_it_marks="armed only while open",
        mark_taken_off_unseen=FORGOTTEN,
        disarmed_though_asked_anew=FORGOTTEN,
        not_armed_again=FORGOTTEN,
        not_armed_after_a_wait=FORGOTTEN,
        closed_without_disarming="armed only while open",
        shield_not_looked_at="delivered only where open",
        region_not_looked_at="delivered only where open",
        delivered_and_still_pending="one end a request",
        wake_before_the_flag="no wake-up lost",
        permit_for_sleepers_only="no wake-up lost",
        park_forgets_the_permit="no wake-up lost",
        sleeps_without_comparing="no wake-up lost",
        ended_without_dropping="one end a request",
        asked_after_its_end="one end a request",
    ),
    *_of(
        "interruption.pml",
        "TARGETS=1",
        "ACTIONS=1",
        "POLLING",
        signal_before_the_flag="no wake-up lost",
        drained_after_the_look="no wake-up lost",
    ),
    *_of(
        "parking_lot.pml",
        not_handed_on="no deadlock",
        unparked_before_it_is_woken="no deadlock",
        woken_and_still_queued="nothing left behind",
        leaves_without_looking_again="no deadlock",
        gil_let_go_before_it_is_in_the_lot="no deadlock",
    ),
    *_of(
        "parking_lot.pml",
        "FREE_THREADED",
        wakes_before_it_releases="no deadlock",
        no_reference_while_it_wakes="record still there",
        no_look_from_inside_the_lot="no deadlock",
        release_is_a_plain_store="no deadlock",
        count_is_a_plain_store="no deadlock",
    ),
    *_of(
        "registry.pml",
        serial_not_compared="everybody's own record",
        unborn_sought_among_unborn="seen by whom it was for",
        alive_before_it_is_looked_up="asked whom was meant",
        not_ended_before_its_successor="nothing left behind",
        adopts_a_new_one="seen by whom it was for",
        born_meanwhile_not_spared="seen by whom it was for",
        living_not_noted="seen by whom it was for",
        found_without_a_reference="record still there",
        end_not_marked="payloads come back",
    ),
    *_of(
        "registry.pml",
        "ANOTHER_STATE",
        adopted_taken_for_a_predecessor_s="seen by whom it was for",
    ),
    *_of(
        "levels.pml",
        found_by_its_place="asked whom was meant",
        left_though_somebody_looks="nothing of it is left",
        unparked_before_it_is_asked="no wake-up lost",
        raised_and_still_pending="one end a request",
        innermost_first="outermost wins",
        shields_are_the_threads="shields by level",
        ends_by_its_class="ends at its own",
        not_passed="an outer end is kept",
        left_and_still_told="nothing of it is left",
    ),
]


@dataclass
class Explored:
    """What the checker printed: of its search, and of the steps that there are."""

    output: str
    machine: str

    @property
    def found_nothing(self) -> bool:
        return "errors: 0" in self.output and "error: max search depth" not in self.output

    @property
    def steps(self) -> dict[tuple[int, str], bool]:
        """Each step, by its line and text, and whether it was taken by any process.

        One inline is many steps of the checker's, one for each place that it is used at: that it
        was taken at one of them is enough. Files that are included have no name of their own.
        """
        unreached, process = set(), ""
        for line in self.output.splitlines():
            if line.startswith("unreached in "):
                process = line.split()[-1]
            elif match := re.match(r"\s+\S+:\d+, state (\d+), ", line):
                unreached.add((process, int(match[1])))
        steps: dict[tuple[int, str], bool] = {}
        for line in self.machine.splitlines():
            if line.startswith(("proctype ", "init")):
                process = line.split()[-1]
            elif match := re.match(r"\s+state\s+(\d+) -.*?\.pml:(\d+) => (.*)", line):
                step = (int(match[2]), match[3])
                steps[step] = steps.get(step, False) or (process, int(match[1])) not in unreached
        return steps


def _call(folder: Path, *command: str) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _explore(run: Run, folder: Path) -> Explored:
    """Make the checker and let it go through all states; it stops where a property is violated."""
    folder.mkdir()
    mutation = [f"MUTATION_{run.name}"] if isinstance(run, Mutation) else []
    definitions = [f"-D{each}" for each in (*run.definitions, *mutation)]
    _call(folder, "spin", "-a", *definitions, str(MODELS / run.model))
    # A mutation is found after a part of the states; compiling is what takes the time.
    level = "-O0" if mutation else "-O2"
    options = ["-DSAFETY", "-DNOFAIR", "-DCOLLAPSE", "-DMEMLIM=1500", "-w"]
    _call(folder, "cc", level, *options, "-o", "pan", "pan.c")
    return Explored(_call(folder, "./pan", "-m100000"), _call(folder, "./pan", "-d"))


# That makes use of all processors by itself.
in_one_process = pytest.mark.xdist_group("model")


@pytest.fixture(scope="module")
def explored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Run, Future[Explored]]]:
    """All that the chosen tests need, as many at a time as there are processors."""
    for tool in ("spin", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: apt-get install spin gcc)")
    folder = tmp_path_factory.mktemp("model")
    wanted: dict[Run, None] = {}  # in order
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "explored" in item.fixturenames:
            chosen = item.callspec.params
            of_model = [run for run in RUNS if run.model == chosen.get("model")]
            wanted.update(dict.fromkeys(of_model or [chosen["run"]]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {run: pool.submit(_explore, run, folder / str(n)) for n, run in enumerate(wanted)}
        pool.shutdown(cancel_futures=True)


@in_one_process
@pytest.mark.stress
@pytest.mark.parametrize("run", RUNS, ids=str)
def test_no_order_of_steps_violates_a_property(explored, run):
    result = explored[run].result()
    assert result.found_nothing, result.output


@in_one_process
@pytest.mark.stress
@pytest.mark.parametrize("run", MUTATIONS, ids=str)
def test_a_mutation_is_found(explored, run):
    output = explored[run].result().output
    assert re.search(PROPERTIES[run.property], output), output


@in_one_process
@pytest.mark.stress
@pytest.mark.parametrize("model", sorted({run.model for run in RUNS}))
def test_no_step_of_a_model_is_there_in_vain(explored, model):
    taken: dict[tuple[int, str], bool] = {}
    for run in RUNS:
        if run.model == model:
            for step, was_taken in explored[run].result().steps.items():
                taken[step] = taken.get(step, False) or was_taken
    assert len(taken) > 50
    assert sorted(step for step, was_taken in taken.items() if not was_taken) == []


# What follows needs no spin. ---------------------------------------------------------------------

NAMED = re.compile(r"/\* (src/\S+\.[ch]): ([\w, ]+) \*/\n")
SOURCES = sorted(MODELS.glob("*.pml"))


@pytest.mark.parametrize("model", SOURCES, ids=lambda path: path.stem)
def test_a_model_names_functions_that_there_are(model):
    named = NAMED.findall(model.read_text())
    assert named
    for source, functions in named:
        text = (ROOT / source).read_text()
        for function in functions.split(", "):
            # In our style a definition begins a line, and so does its brace.
            defined = re.search(rf"^{function}\([^;]*?\)\n\{{", text, re.MULTILINE)
            assert defined, f"{model.name}: there is no {function} in {source}"


@pytest.mark.parametrize("model", SOURCES, ids=lambda path: path.stem)
def test_each_step_of_a_model_names_its_functions(model):
    text = model.read_text()
    inlines = re.findall(r"^inline (\w+)", text, re.MULTILINE)
    described = re.findall(NAMED.pattern + r"inline (\w+)", text)
    assert inlines == [name for _, _, name in described]


def test_each_mutation_of_a_model_is_tried_and_described():
    written = {name for path in SOURCES for name in re.findall(r"MUTATION_(\w+)", path.read_text())}
    assert written == {run.name for run in MUTATIONS}
    documented = (ROOT / "docs" / "model.md").read_text()
    for run in MUTATIONS:
        row = rf"^\| `{run.name}` \|[^|\n]+\| {run.property} \|$"
        assert re.search(row, documented, re.MULTILINE), f"docs/model.md: no row for {run.name}"
