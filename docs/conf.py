"""The Sphinx settings of the documentation."""

import configparser
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the pages are about this very `task`, installed or not

settings = configparser.ConfigParser()
settings.read(ROOT / "setup.cfg", encoding="utf-8")

project = "task"
author = "the task authors"
project_copyright = "2026, the task authors"
version = release = settings["metadata"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]

default_role = "code"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"task {release}"
