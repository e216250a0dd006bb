"""What a task has said in its file: see bodies.py."""

from __future__ import annotations

from pathlib import Path

from support import until


class Said:
    """The events of one task, in their order."""

    def __init__(self, file):
        self.file = Path(file)

    def said(self):
        if not self.file.exists():
            return []
        return [line.rpartition(" ")[0] for line in self.file.read_text().splitlines()]

    def until(self, event):
        until(lambda: event in self.said())

    def go(self):
        Path(f"{self.file}.go").touch()
