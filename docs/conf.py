"""The Sphinx settings of the documentation."""

from importlib.metadata import version as installed_version

project = "task"
author = "the task authors"
project_copyright = "2026, the task authors"
version = release = installed_version("schedule-tasks")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]

default_role = "code"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"task {release}"
