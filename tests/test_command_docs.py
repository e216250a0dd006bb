"""What docs/command.md shows of a shell happens."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import PATIENCE, until_process_blocked

pytestmark = pytest.mark.anywhere

PAGE = Path(__file__).parents[1] / "docs" / "command.md"


def sessions():
    """Each block of a shell's, with the program that was shown last before it."""
    text = PAGE.read_text(encoding="utf-8")
    program, found = "", []
    for kind, block in re.findall(
        r"^```(python|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        if kind == "python":
            program = block
        else:
            found.append((program, block))
    return found


def pattern(output):
    """What matches it: "..." stands for anything, a time for any other time."""
    escaped = re.escape(output.replace("^C", ""))
    return re.sub(r"\d+\\\.\d{3}", r"\\d+\\.\\d{3}", escaped.replace(re.escape("..."), ".*"))


def words_of_others(traceback):
    """What threads have printed in the middle of it."""
    own = ("Traceback ", "  ", "KeyboardInterrupt")
    return "".join(
        line for line in traceback[0].splitlines(keepends=True) if not line.startswith(own)
    )


@pytest.mark.parametrize(("program", "session"), sessions())
def test_a_session_goes_as_it_is_shown(program, session, tmp_path):
    (tmp_path / "program.py").write_text(program)
    command, output, echo, status = re.fullmatch(
        r"\$ python (.*?)\n(.*?)\$ (echo \$\?)\n(\d+)\n", session, re.DOTALL
    ).groups()
    with subprocess.Popen(
        [sys.executable, *command.split()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    ) as process:
        try:
            first = ""
            if "^C" in output:
                first = process.stdout.readline()
                until_process_blocked(process)
                process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=PATIENCE)
        except BaseException:
            process.kill()
            raise
    # The main thread is stopped with words, if it has not come to its end yet.
    said = re.sub(
        r"^Traceback .*?^KeyboardInterrupt\n",
        words_of_others,
        first + rest,
        flags=re.MULTILINE | re.DOTALL,
    )
    assert re.fullmatch(pattern(output), said, re.DOTALL), said
    ended = process.returncode
    assert (echo, int(status)) == ("echo $?", ended if ended >= 0 else 128 - ended)


def test_the_sessions_are_found():
    assert len(sessions()) == 3
