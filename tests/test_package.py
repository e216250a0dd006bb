"""The package as users get it: names, documentation, types."""

from __future__ import annotations

import inspect
import re
from importlib import metadata, resources
from pathlib import Path

import interruption

ROOT = Path(__file__).parents[1]


def test_everything_public_is_documented_with_its_rule():
    for name in interruption.__all__:
        text = inspect.getdoc(getattr(interruption, name))
        assert text, name
        if name not in ("get_include", "Thread"):
            assert re.search(r"\bS\d+\b", text), name


def test_signatures_can_be_read():
    assert str(inspect.signature(interruption.interrupt_all_threads)) == "(reason=None)"
    assert str(inspect.signature(interruption.wait_for_interruption)) == "(timeout=None)"
    assert list(inspect.signature(interruption.interrupt).parameters) == [
        "thread",
        "exc_type",
        "reason",
    ]
    assert str(inspect.signature(interruption.ThreadExit)) == "(reason=None)"


def test_hot_functions_take_no_arguments_at_no_cost():
    for name in ("interruption_requested", "check_interrupt", "clear_interrupt", "interruption_fd"):
        function = getattr(interruption, name)
        assert inspect.isbuiltin(function)
        assert str(inspect.signature(function)) == "()"


def test_the_package_is_typed():
    package = resources.files("interruption")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("_interruption.pyi").is_file()


def test_the_version_is_one():
    assert metadata.version("interruption") == interruption.__version__
    meson = (ROOT / "meson.build").read_text()
    assert f"version: '{interruption.__version__}'" in meson
