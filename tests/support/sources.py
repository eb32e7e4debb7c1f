"""The source files of this project, parsed."""

from __future__ import annotations

import ast
import gc
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REPOSITORY = Path(__file__).parent.parent.parent
CORE = REPOSITORY / "src" / "ome_writers"
ENGINES = REPOSITORY / "src" / "ome_writers_engines"
TOOLS = REPOSITORY / "src" / "ome_writers_tools"
ADAPTERS = REPOSITORY / "adapters"


def source_files(*folders: Path) -> list[Path]:
    """Return the Python files below the folders, in order; without any, those of the wheel."""
    return sorted(
        path
        for folder in folders or (CORE, ENGINES, TOOLS, ADAPTERS)
        for path in folder.rglob("*.py")
    )


@cache
def parse(path: Path) -> ast.Module:
    """Parse one file; callers must not change the tree."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    gc.freeze()  # a collection would take 0.8 s with the trees of all files
    return tree


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return all nodes of one file; a walk through its tree takes as long as to parse it."""
    return list(ast.walk(parse(path)))


def name_of(path: Path) -> str:
    """Return a path relative to the repository, with slashes."""
    return path.relative_to(REPOSITORY).as_posix()


def offenders(check: Callable[[Path], Iterable[object]], *folders: Path) -> list[str]:
    """Return "file: finding" for each finding of a rule in the source files: one test case per rule, all its offenders.

    A test case per rule and file (2,700 of them) takes more time than the rules themselves.
    """
    return [f"{name_of(path)}: {found}" for path in source_files(*folders) for found in check(path)]


@cache
def imported(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return (module, names) of each absolute import in a file, including nested ones.

    Modules that ``importlib.import_module`` takes as a literal count as well.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.Call) and node.args:
            function = ast.unparse(node.func)
            argument = node.args[0]
            if re.search(r"\b(import_module|__import__)$", function) and isinstance(
                argument, ast.Constant
            ):
                found.append((str(argument.value), ()))
    return found
