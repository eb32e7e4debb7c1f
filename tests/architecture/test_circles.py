"""Circles of files that import each other, which can only be understood together.

An import of a name from a package counts as one of the file that defines it; imports inside functions and those for
type checkers count, too.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from support.sources import ADAPTERS, CORE, name_of, nodes_of, source_files

# By a file of each: how many files it has. They only become fewer.
CIRCLES: dict[str, int] = {}


@cache
def file_of(module: str) -> Path | None:
    """Return the file of a module of this project; None for other modules."""
    for folder in (CORE.parent, *ADAPTERS.iterdir()):
        path = folder.joinpath(*module.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None


@cache
def exports(package: Path) -> dict[str, tuple[str, str]]:
    """Return the names that a package imports, each with the module and its name there."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in nodes_of(package)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


@cache
def definition(module: str, name: str) -> Path | None:
    """Return the file that defines a name that is imported from a module."""
    file = file_of(module)
    if file is None or file.name != "__init__.py":
        return file
    source, original = exports(file).get(name, (module, name))
    if source != module:
        return definition(source, original)
    return file_of(f"{module}.{name}") or file


def imports(path: Path) -> set[Path]:
    found: set[Path | None] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found |= {file_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {definition(node.module, alias.name) for alias in node.names}
    return {file for file in found if file not in (None, path)}


def circles() -> list[set[Path]]:
    """Return the sets of at least two files of which each reaches all others."""
    graph = {path: imports(path) for path in source_files()}
    reached: dict[Path, set[Path]] = {}
    for path in graph:
        waiting, seen = [path], set[Path]()
        while waiting:
            new = graph.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        reached[path] = seen
    found = []
    for path in graph:
        circle = {other for other in reached[path] if path in reached.get(other, ())}
        if circle - {path} and circle not in found:
            found.append(circle)
    return found


def test_files_do_not_import_each_other() -> None:
    found = {}
    for circle in circles():
        known = [name for name in CIRCLES if CORE / name in circle]
        names = [name_of(path) for path in sorted(circle)]
        assert known, f"a new circle: {names}"
        assert len(circle) <= CIRCLES[known[0]], f"more files in a circle: {names}"
        found[known[0]] = len(circle)
    assert found.keys() == CIRCLES.keys(), "lower the list"
