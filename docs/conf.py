"""How Sphinx builds these pages: ``nox -s docs``. The package has to be installed."""

import sys
from pathlib import Path

import interruption

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "interruption"
author = "the authors of interruption"
copyright = "the authors of interruption"  # noqa: A001  (Sphinx's name)
version = release = interruption.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "house_docstrings", "rule_tests"]
exclude_patterns = ["extensions", "diagrams"]
root_doc = "index"
html_theme = "furo"
html_title = f"interruption {release}"
html_copy_source = False

myst_heading_anchors = 3
# As in the sources of the docstrings, `name` is code.
default_role = "code"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
