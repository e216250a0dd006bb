"""The extras of the package, and what the session of their tests installs."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OURS = ["test", "bench", "plots", "docs"]  # for the project's own work


def extras():
    with (ROOT / "pyproject.toml").open("rb") as file:
        every = tomllib.load(file)["project"]["optional-dependencies"]
    return {name: packages for name, packages in every.items() if name not in OURS}


@pytest.mark.parametrize("name", extras())
def test_what_is_tested_is_what_the_extra_pins(name):
    """Another version is what a stranger would get who installs the extra."""
    assert name in (ROOT / "noxfile.py").read_text(encoding="utf-8")
    for package in map(Requirement, extras()[name]):
        assert package.specifier, package
        try:
            version = metadata.version(package.name)
        except metadata.PackageNotFoundError:
            pytest.skip(f"there is no {package.name}")
        assert version in package.specifier
