"""The documentation tells the truth: every page's code runs, and no page is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ome_writers
from support import abilities
from support.codeblocks import code_blocks, run_page

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
WITH_CODE = [page for page in PAGES if code_blocks(DOCS / page)]


@pytest.mark.timeout(400)  # a page about the command line starts a dozen processes
@pytest.mark.parametrize("page", WITH_CODE)
def test_code_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who types a page's code, block after block, meets no error and no warning."""
    monkeypatch.chdir(tmp_path)
    run_page(DOCS / page)


@pytest.mark.parametrize("page", PAGES)
def test_page_is_in_the_navigation(page: str, repository: Path) -> None:
    """Every page can be reached from the site's navigation."""
    assert f'"{page}"' in (repository / "zensical.toml").read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference() -> None:
    """Each name of ``ome_writers.__all__``, and ``open``, is explained on a page of the reference."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("reference/*.md"))
    explained = set(re.findall(r"^::: ome_writers\.(\w+)$", pages, re.M))
    assert explained == {*ome_writers.__all__, "open"} - {"__version__"}


def test_the_table_of_abilities_is_that_of_the_registry() -> None:
    """The page about the backends says what the registry says; the fix for a difference is to paste the new table."""
    page = (DOCS / "reference/engines.md").read_text(encoding="utf-8")
    assert f"-->\n{abilities.table()}\n<!--" in page, abilities.table()
