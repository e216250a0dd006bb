"""What the pages on frameworks show, as their readers run it: programs, commands, what is typed."""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from servers import start
from support import PATIENCE, until

DOCS = Path(__file__).parents[2] / "docs"


def codes_of(page: str) -> list[str]:
    """The code of a page that its framework has to run."""
    said = "^<!-- not run: [^\n]+ -->\n```python\n(.*?)^```$"
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(said, text, re.DOTALL | re.MULTILINE)


def code_of(page: str, replaced: Mapping[str, str] = MappingProxyType({})) -> str:
    """The last of it, with other values there; a function that begins says so."""
    code = codes_of(page)[-1]
    begins = {"    try:\n": '    try:\n        print("begun", flush=True)\n'}
    for old, new in (begins | dict(replaced)).items():
        assert old in code, old
        code = code.replace(old, new)
    return code


def lines_of(page: str, kind: str, first: str) -> list[str]:
    """The lines that begin so in the page's blocks of that kind."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(f"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.startswith(first)]


class Reader:
    """Somebody who has the program of a page as ``shop.py``, and runs its command."""

    def __init__(self, page: str, folder: Path, command: str) -> None:
        self.page, self.folder = page, folder
        self.log = folder / "log"
        (line,) = lines_of(page, "sh", f"{command} ")
        words = shlex.split(line)
        scripts = {"python": sys.executable}
        path = scripts.get(words[0], f"{sysconfig.get_path('scripts')}/{words[0]}")
        self.process = start([path, *words[1:]], self.log)

    def sees(self, what: str) -> None:
        def look() -> bool:
            text = self.log.read_text()
            assert self.process.poll() is None, text
            return what in text

        until(look)

    def types(self, *, before_last: str = "") -> None:
        """What the page types, in one interpreter; the last line when the log has that."""
        *lines, last = (line.removeprefix(">>> ") for line in lines_of(self.page, "pycon", ">>> "))
        with subprocess.Popen(
            [sys.executable, "-i", "-q"], cwd=self.folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as shell:  # fmt: skip
            assert shell.stdin is not None
            print(*lines, sep="\n", file=shell.stdin, flush=True)
            self.sees(before_last)
            _, told = shell.communicate(f"{last}\n", PATIENCE)
        assert "Error" not in told


@contextlib.contextmanager
def reading(page: str, folder: Path, command: str, replaced: Mapping[str, str]) -> Iterator[Reader]:
    """Have its command run, with other values in its program."""
    (folder / "shop.py").write_text(code_of(page, replaced), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONUNBUFFERED", "1")  # as at a terminal
        reader = Reader(page, folder, command)
    try:
        yield reader
    finally:
        reader.process.send_signal(signal.SIGTERM)
        try:
            reader.process.wait(PATIENCE)
        finally:
            reader.process.kill()
            reader.process.wait()
