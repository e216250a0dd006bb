"""The code of the pages on frameworks: the suite does not run it, for it needs them."""

from __future__ import annotations

import pytest
from pages import code_of
from support import run_python

PROGRAMS = {"trio": code_of("trio"), "anyio": code_of("anyio")}


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_program_of_a_page_says_what_it_should(page, tmp_path):
    pytest.importorskip(page)
    (tmp_path / "page.py").write_text(PROGRAMS[page], encoding="utf-8")
    done = run_python(tmp_path / "page.py")
    assert (done.returncode, done.stderr) == (0, "")
    # On a busy machine it may not begin in time.
    assert done.stdout in ("begun\nclosed\ngoes on\n", "goes on\n")
