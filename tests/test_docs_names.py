"""What the pages of the documentation name, exists: pages, headings, tests, files, names; and all
that has to be told is told.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import interruption
import pytest

pytestmark = pytest.mark.anywhere

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page):
    """What a link into that page may end in: its headings, as Sphinx and others make them."""
    text = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_link_between_the_pages_leads_somewhere():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]*))?\)", text):
            found = page.parent / target if target else page
            assert found.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(found), f"{page.name}: {target}#{anchor}"


def rules():
    """Each rule of the page of rules, with what is said of it."""
    text = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
    parts = re.split(r"^### (S\d+[a-e]?)\. ", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


RULES = [
    *(f"S{number}" for number in range(1, 33)),
    *(f"S10{letter}" for letter in "abcde"),
]
CITED = runpy.run_path(str(ROOT / "docs/extensions/rule_tests.py"))["cited"]()


def test_every_rule_is_told_with_its_reason():
    found = rules()
    assert sorted(found) == sorted(RULES)
    for rule, text in found.items():
        assert "*Why.*" in text, rule


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_names_tests_that_are_there_and_cite_it(rule):
    shown = rules()[rule].partition("*Shown by*")[2]
    files = re.findall(
        r"^- \[[^\]]+\]\(\.\./tests/([^)]+)\):(.*?)(?=^- |\Z)", shown, re.MULTILINE | re.DOTALL
    )
    named = [(file, name) for file, text in files for name in re.findall(r"`(test_\w+)`", text)]
    assert named
    for file, name in named:
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"^ *(async )?def {name}\(", source, re.MULTILINE), f"{file}: {name}"
        # What a test does not say by itself, its file says for it.
        speaks = any((file, name) in tests for tests in CITED.values())
        cites = (file, name if speaks else "") in CITED[rule]
        assert cites, f"{file}: {name} does not cite {rule}"


def test_no_test_cites_a_rule_that_there_is_not():
    assert sorted(CITED) == sorted(RULES)


def test_the_diagrams_are_what_their_source_draws():
    folder = ROOT / "docs/diagrams"
    diagrams = runpy.run_path(str(folder / "draw.py"))["DIAGRAMS"]
    assert {path.stem for path in folder.glob("*.svg")} == set(diagrams)
    for name, draw in diagrams.items():
        drawn = (folder / f"{name}.svg").read_text(encoding="utf-8")
        assert drawn == draw(), f"run docs/diagrams/draw.py: {name}"


def test_every_source_file_has_its_place_in_the_architecture():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    sources = [path for path in (ROOT / "src").rglob("*") if path.suffix in (".c", ".h")]
    for path in sources:
        name = path.stem.removeprefix("itr_")
        assert re.search(rf"[`/]{name}(\.[ch])?`", text), f"tell what {path} is for"
    for name in re.findall(r"`([\w/]+\.[ch])`", text):
        assert any(path.as_posix().endswith(f"/{name}") for path in sources) or name.startswith(
            "include/"
        ), name


def test_every_answer_of_where_it_is_leads_somewhere():
    answers = re.findall(r"^\|.*\| (.*) \|$", (ROOT / "docs/where.md").read_text(), re.MULTILINE)
    assert len(answers) > 20
    for answer in answers:
        path = None
        for word in re.findall(r"`([^`]+)`", answer):
            if "/" in word:
                path = ROOT / word
                assert path.exists(), word
            else:
                assert re.search(rf"\b{word}\b", path.read_text()), f"there is no {word} in {path}"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8").split()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem in index or page.stem == "index"


def test_every_public_name_is_in_the_reference():
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    for name in interruption.__all__:
        assert re.search(rf"^\.\. auto\w+:: interruption\.{name}(\(\))?$", text, re.MULTILINE), name
