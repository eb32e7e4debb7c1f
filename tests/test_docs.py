"""The code of every page runs, every page is in the navigation, the reference is complete."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import ome_writers
from support import abilities
from support.codeblocks import code_blocks, run_page

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
WITH_CODE = [page for page in PAGES if code_blocks(DOCS / page)]


@pytest.mark.timeout(900)  # the command line page starts a dozen processes
@pytest.mark.parametrize("page", WITH_CODE)
def test_code_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code blocks of a page run in order without an error or a warning."""
    monkeypatch.chdir(tmp_path)
    run_page(DOCS / page)


@pytest.mark.parametrize("page", PAGES)
def test_page_is_in_the_navigation(page: str, repository: Path) -> None:
    assert f'"{page}"' in (repository / "zensical.toml").read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("reference/*.md"))
    # `repair` is also the name of its package
    documented = set(re.findall(r"^::: ome_writers\.(?:repair\.(?=repair$))?(\w+)$", pages, re.M))
    assert documented == {*ome_writers.__all__, "open"} - {"__version__"}


def test_tables_of_engines_and_compressions_are_current() -> None:
    """To fix a difference, run ``python -m support.abilities`` in ``tests``."""
    page = abilities.PAGE.read_text(encoding="utf-8")
    assert abilities.with_tables(page) == page
    assert abilities.engines() in page
    assert abilities.compressions() in page


def test_throughput_chart_shows_the_tables() -> None:
    """To fix a difference, run ``python docs/pictures/throughput_chart.py``."""
    chart = runpy.run_path(str(DOCS / "pictures/throughput_chart.py"))
    drawn = chart["draw"](chart["PAGE"].read_text(encoding="utf-8"))
    assert chart["PICTURE"].read_text(encoding="utf-8") == drawn


def test_architecture_figure_shows_the_layers() -> None:
    """To fix a difference, run ``python docs/pictures/architecture_figure.py``."""
    pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    figure = runpy.run_path(str(DOCS / "pictures/architecture_figure.py"))
    assert figure["PICTURE"].read_text(encoding="utf-8") == figure["render"]()
