"""Names of modules, classes and functions."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from support.sources import CORE, name_of, parse, source_files

if TYPE_CHECKING:
    from pathlib import Path

VAGUE = re.compile(r"(^|_)(manager|util|utils|helper|helpers|handler|misc|common)s?($|_)")
# Modules that published clients import, as their docstrings state.
ALIASES = {"_useq", "_schema", "_stream", "_stream_view"}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize("path", source_files(), ids=name_of)
def test_no_vague_words(path: Path) -> None:
    named = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = [node.name for node in ast.walk(parse(path)) if isinstance(node, named)]
    assert not [name for name in (path.stem, *names) if VAGUE.search(_snake(name))]


@pytest.mark.parametrize("path", source_files(), ids=name_of)
def test_modules_are_public_or_an_alias(path: Path) -> None:
    """Only aliases for published clients have a leading underscore."""
    if path.stem in ("__init__", "__main__"):
        return
    private = path.stem.startswith("_")
    assert not private or (path.parent == CORE and path.stem in ALIASES)
