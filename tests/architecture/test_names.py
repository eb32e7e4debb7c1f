"""Names of modules, classes and functions."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from support.sources import CORE, nodes_of, offenders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VAGUE = re.compile(r"(^|_)(manager|util|utils|helper|helpers|handler|misc|common)s?($|_)")
# Modules that published clients import, as their docstrings state.
ALIASES = {"_useq", "_schema", "_stream", "_stream_view"}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _vague_names(path: Path) -> Iterator[str]:
    named = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = [node.name for node in nodes_of(path) if isinstance(node, named)]
    yield from (name for name in (path.stem, *names) if VAGUE.search(_snake(name)))


def test_no_vague_words() -> None:
    assert not offenders(_vague_names)


def _private_module(path: Path) -> Iterator[str]:
    alias = path.parent == CORE and path.stem in ALIASES
    if path.stem.startswith("_") and path.stem not in ("__init__", "__main__") and not alias:
        yield path.stem


def test_modules_are_public_or_an_alias() -> None:
    """Only aliases for published clients have a leading underscore."""
    assert not offenders(_private_module)
