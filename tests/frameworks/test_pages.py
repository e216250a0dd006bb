"""The code of the pages on frameworks: the suite does not run it, for it needs them."""

from __future__ import annotations

import pytest
from servers_of_http import code_of
from support import run_python

PROGRAMS = {
    "trio": ("trio", "closed\ngoes on\n"),
    "anyio": ("anyio", "closed\ngoes on\n"),
}


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_program_of_a_page_says_what_it_should(page, tmp_path):
    package, said = PROGRAMS[page]
    pytest.importorskip(package)
    (tmp_path / "page.py").write_text(code_of(page), encoding="utf-8")
    done = run_python(tmp_path / "page.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout in (said, "goes on\n")  # on a busy machine it may not begin in time
