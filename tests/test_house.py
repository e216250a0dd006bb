"""What stands in one place: the version, those of Python and of linters; what a release says."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import interruption
import pytest

pytestmark = pytest.mark.anywhere

ROOT = Path(__file__).parents[1]
RELEASE = runpy.run_path(str(ROOT / ".github/release.py"))


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_stands_in_one_place():
    version = RELEASE["version"]()
    assert metadata.version("interruption") == interruption.__version__ == version
    for name in (
        "pyproject.toml",
        "python/interruption/__init__.py",
        "docs/conf.py",
        "src/module/module.c",
    ):
        assert version not in read(name), name


def linters():
    """Those of noxfile.py, with the versions that they are installed in."""
    (names,) = re.findall(r"^LINTERS = \[(.*?)\]", read("noxfile.py"), re.MULTILINE | re.DOTALL)
    return set(re.findall(r'"([^"]+)"', names))


def test_what_checks_a_commit_is_what_checks_the_project():
    used = set(
        re.findall(r'additional_dependencies: \["([^"]+)"\]', read(".pre-commit-config.yaml"))
    )
    assert used <= linters()
    assert {name.partition("==")[0] for name in used} == {"ruff", "clang-format", "codespell"}


def test_the_versions_of_python_are_the_same_everywhere():
    (listed,) = re.findall(r"^VERSIONS = \[(.*)\]", read("noxfile.py"), re.MULTILINE)
    versions = re.findall(r'"([^"]+)"', listed)
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", read("pyproject.toml"))
    assert named == versions
    (matrix,) = re.findall(
        r"^        python: \[(.*3\.11.*)\]$", read(".github/workflows/tests.yml"), re.MULTILINE
    )
    tested = re.findall(r'"([^"]+)"', matrix)
    assert [each for each in tested if not each.endswith("t")] == versions


@pytest.fixture
def released(tmp_path):
    """A copy of what a release reads, in which the next version is about to be released."""
    for name in ("meson.build", "CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    heading = f"## [{RELEASE['version']()}] - 2030-01-31"
    text = read("CHANGELOG.md").replace("## [Unreleased]", heading, 1)
    (tmp_path / "CHANGELOG.md").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_release_needs_an_entry_in_the_changelog(released):
    tag = f"v{RELEASE['version']()}"
    RELEASE["check"](tag, released)
    assert RELEASE["notes"](released).startswith("What will be")
    (released / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="no entry for"):
        RELEASE["check"](tag, released)


def test_a_release_is_of_the_version_that_its_tag_says(released):
    with pytest.raises(SystemExit, match=r"the tag is v0\.0\.1, but meson\.build says"):
        RELEASE["check"]("v0.0.1", released)


def test_the_addresses_are_those_of_the_repository_that_builds(released, monkeypatch):
    git = shutil.which("git")
    if git is None:
        pytest.skip("there is no git")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://forge.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "somebody/interruption")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run([git, *command], cwd=released, check=True)
    RELEASE["write_urls"](released)
    written = tomllib.loads((released / "pyproject.toml").read_text(encoding="utf-8"))
    urls = written["project"]["urls"]
    assert urls["Source"] == "https://forge.example/somebody/interruption"
    assert all(url.startswith(urls["Source"]) for url in urls.values())
