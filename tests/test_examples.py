"""The main job: hash_tree on real folders, with a real SIGINT."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sysconfig
from pathlib import Path

import pytest
from support import PATIENCE, start_example

HASH_TREE = "hash_tree.py"


def run(*arguments):
    with start_example(HASH_TREE, *arguments) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    return process.returncode, stdout, stderr


def expected_lines(folder):
    files = sorted(
        path
        for parent, _, names in os.walk(folder)
        for name in names
        if (path := Path(parent, name)).is_file()
    )
    return [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}" for path in files]


def test_it_hashes_a_pythons_own_library():
    library = Path(sysconfig.get_path("stdlib"), "asyncio")
    status, stdout, stderr = run("--workers", 3, library)
    assert status == 0
    assert stdout.splitlines() == expected_lines(library)
    assert f"hashed {len(stdout.splitlines())} of" in stderr


@pytest.fixture
def large_tree(tmp_path):
    """A folder that takes long: sparse files of a gigabyte each."""
    for number in range(64):
        with (tmp_path / f"{number:02}.bin").open("wb") as file:
            file.truncate(1 << 30)
    (tmp_path / "00.small").write_bytes(b"small")
    return tmp_path


def test_ctrl_c_stops_every_worker_within_a_chunk_and_marks_the_result_as_partial(
    large_tree,
):  # S3, S5
    process = start_example(HASH_TREE, "--workers", 4, "--chunk-size", 1 << 20, large_tree)
    with process:
        progress = process.stderr.readline()  # it is at work, and says so
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert re.match(r"\d+/65 files, [\d.]+ MB, \d+ MB/s\n", progress)
    assert process.returncode == 130
    summary = re.search(r"asked 4 threads to stop; .* after that: (.*)\n", stderr)
    assert all(int(chunks) <= 1 for chunks in summary[1].split()), stderr
    *lines, last = stdout.splitlines()
    assert last == f"# partial: interrupted after {len(lines)} of 65 files"
    assert f"{hashlib.sha256(b'small').hexdigest()}  {large_tree / '00.small'}" in lines
    assert "Traceback" not in stderr


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "good").write_text("good")
    (tmp_path / "gone").write_text("gone")
    (tmp_path / "gone").chmod(0)
    if os.access(tmp_path / "gone", os.R_OK):
        pytest.skip("this user can read everything")
    status, stdout, stderr = run(tmp_path)
    assert status == 1
    assert len(stdout.splitlines()) == 1
    assert "cannot read" in stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such/folder"], "not a folder: /no/such/folder"),
        (["--workers", "0", "."], "must be at least 1"),
        (["--chunk-size", "-1", "."], "must be at least 1"),
        (["--algorithm", "shake_128", "."], "choose another"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments, words):
    status, stdout, stderr = run(*arguments)
    assert (status, stdout) == (2, "")
    assert words in stderr
