"""Only the packages of the formats distinguish formats: all others ask the row (`ome_writers.formats.FormatRow`)."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ome_writers.settings import format_models
from support.sources import CORE, nodes_of, offenders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODELS = {model.__name__ for model in format_models().values()}
SUFFIXES = {suffix for model in format_models().values() for suffix in model.suffixes}
# "scratch", which has no suffix, is also the word for outputs in memory in pymmcore-plus.
NAMES = {name for name, model in format_models().items() if model.suffixes}
TEXTS = {*NAMES, *SUFFIXES, ".ozx"}


def _is_comparison(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare | ast.MatchValue):
        return True
    called = getattr(node, "func", None)
    name = getattr(called, "id", getattr(called, "attr", None))
    return name in ("isinstance", "issubclass", "endswith", "removesuffix", "fullmatch", "glob")


def _format_comparisons(path: Path) -> Iterator[int]:
    """Yield the lines of comparisons outside `formats`; a lookup in a table by name is not one."""
    if CORE / "formats" in path.parents:
        return
    for node in filter(_is_comparison, nodes_of(path)):
        keys = [part.slice for part in ast.walk(node) if isinstance(part, ast.Subscript)]
        for part in ast.walk(node):
            named = getattr(part, "id", None) in MODELS
            if (named or getattr(part, "value", None) in TEXTS) and part not in keys:
                yield part.lineno


def test_only_formats_compare_names_suffixes_and_settings() -> None:
    assert not offenders(_format_comparisons)


def _own_namespace(path: Path) -> Iterator[int]:
    """Yield the lines that read or write the key of this library in the attributes of a Zarr group."""
    inside = ("formats/omezarr", "formats/scratch")  # a scratch store has it in its manifest
    if any(CORE / folder in path.parents for folder in inside):
        return
    for node in nodes_of(path):
        keys: list[ast.expr] = []
        if isinstance(node, ast.Subscript):
            keys = [node.slice]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", None) in ("get", "pop"):
            keys = node.args[:1]
        for key in keys:
            if getattr(key, "value", None) == "ome_writers":
                yield key.lineno


def test_only_the_folder_of_ome_zarr_spells_the_key_of_this_library() -> None:
    """All others change it through ``formats.omezarr.open_metadata``."""
    assert not offenders(_own_namespace, CORE)
