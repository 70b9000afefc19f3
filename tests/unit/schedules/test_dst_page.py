"""The page on daylight saving says what the schedules do."""

import pathlib
import runpy

DOCS = pathlib.Path(__file__).parents[3] / "docs"


def test_the_page_is_what_its_generator_yields():
    generator = runpy.run_path(str(DOCS / "make_dst_table.py"))
    assert (DOCS / "dst.md").read_text(encoding="utf-8") == generator["page"]()


def test_the_page_is_short():
    assert len((DOCS / "dst.md").read_text(encoding="utf-8").splitlines()) < 120
