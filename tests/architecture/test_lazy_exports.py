"""Packages import their modules on first use; see `ome_writers.lazy_exports`."""

from __future__ import annotations

import ast
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

import ome_writers
from support.sources import CORE, ENGINES, TOOLS, offenders, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ALLOWED = {"__future__", "typing", "ome_writers.lazy_exports", "ome_writers.toolkit"}
_NOT_LAZY = {"ome_writers_tools.cli"}  # it exports functions of its own


def package_of(path: Path) -> str | None:
    """Return the name of the package whose ``__init__`` a file is, or of the module `ome_writers.toolkit`."""
    if path == CORE / "toolkit.py":
        return "ome_writers.toolkit"
    if path.name != "__init__.py" or path.parent in (CORE, ENGINES, TOOLS):
        return None
    return ".".join(path.parent.relative_to(CORE.parent).parts)


def imports(body: list[ast.stmt]) -> list[tuple[str, str]]:
    return [
        (statement.module, alias.name)
        for statement in body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
    ]


def _differences(path: Path) -> Iterator[str]:
    package = package_of(path)
    if package is None or package in _NOT_LAZY:
        return
    body = parse(path).body
    yield from (module for module, _ in imports(body) if module not in _ALLOWED)
    seen = {
        name: module
        for node in body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for module, name in imports(node.body)
    }
    module = import_module(package)
    yield from seen.keys() ^ set(getattr(module, "__all__", ()))
    for name, source in seen.items():
        if getattr(module, name) is not getattr(import_module(source), name):
            yield name
        if name not in dir(module):
            yield f"dir: {name}"


def test_packages_export_lazily_what_type_checkers_see() -> None:
    assert not offenders(_differences, CORE, ENGINES, TOOLS)


def _shadowed(path: Path) -> Iterator[str]:
    if package := package_of(path):
        modules = {child.stem for child in path.parent.iterdir()}
        yield from modules & set(getattr(import_module(package), "__all__", ()))


def test_no_exported_name_is_the_name_of_a_module() -> None:
    """Importing the module would replace the name."""
    assert not offenders(_shadowed, CORE)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'ome_writers\.routing' has no attribute 'x'"):
        import_module("ome_writers.routing").x  # noqa: B018 # the attribute access is the test
    with pytest.raises(AttributeError, match="module 'ome_writers' has no attribute 'x'"):
        ome_writers.x  # noqa: B018 # the attribute access is the test
