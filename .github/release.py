"""What a release needs besides its build.

    python .github/release.py check v1.2.3   the tag, meson.build and the changelog agree
    python .github/release.py notes          print the changelog's entry for this version
    python .github/release.py urls           write [project.urls] into pyproject.toml

The version stands in meson.build alone. The project's addresses stand nowhere: they are those of
the repository that builds the release, which GITHUB_SERVER_URL and GITHUB_REPOSITORY name.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def version(root: Path = ROOT) -> str:
    """What meson.build says."""
    text = (root / "meson.build").read_text(encoding="utf-8")
    found = re.search(r"^  version: '([^']+)',$", text, re.MULTILINE)
    if found is None:
        raise SystemExit("meson.build has no version")
    return found[1]


def notes(root: Path = ROOT) -> str:
    """The changelog's entry for this version, without its heading."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    number = re.escape(version(root))
    heading = rf"^## \[{number}\] - \d{{4}}-\d\d-\d\d$"
    found = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(
            f"CHANGELOG.md has no entry for {version(root)}: rename [Unreleased] to "
            f"[{version(root)}] - YYYY-MM-DD"
        )
    return found[1].strip()


def check(tag: str, root: Path = ROOT) -> None:
    """Raise SystemExit, which says what to do, if that tag is not to be released."""
    if tag != f"v{version(root)}":
        raise SystemExit(f"the tag is {tag}, but meson.build says {version(root)}")
    notes(root)


def urls(repository: str, root: Path = ROOT) -> str:
    """The table for a project whose repository has that address."""
    tag = f"v{version(root)}"
    return f"""
[project.urls]
Source = "{repository}"
Documentation = "{repository}/blob/{tag}/docs/index.md"
Changelog = "{repository}/blob/{tag}/CHANGELOG.md"
Issues = "{repository}/issues"
"""


def write_urls(root: Path = ROOT) -> None:
    """Append the table, and commit that: what is built is what is committed."""
    repository = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}"
    with (root / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(urls(repository, root))
    who = ["-c", "user.name=release", "-c", "user.email="]
    commit = ["commit", "--quiet", "-m", "Addresses", "pyproject.toml"]
    subprocess.run(["git", *who, *commit], cwd=root, check=True)  # noqa: S607  (the runner's)


def main(arguments: list[str]) -> None:
    """Do what the module's text says."""
    match arguments:
        case ["check", tag]:
            check(tag)
        case ["notes"]:
            print(notes())  # noqa: T201
        case ["urls"]:
            write_urls()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
