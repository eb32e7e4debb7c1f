"""The source files of this project, parsed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
CORE = REPOSITORY / "src" / "ome_writers"
ADAPTERS = REPOSITORY / "adapters"


def source_files(*folders: Path) -> list[Path]:
    """Return the Python files below the folders, in order; without any, those of the wheel."""
    return sorted(path for folder in folders or (CORE, ADAPTERS) for path in folder.rglob("*.py"))


def parse(path: Path) -> ast.Module:
    """Parse one file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    """Return a path relative to the repository, with slashes."""
    return path.relative_to(REPOSITORY).as_posix()


def imported(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return (module, names) of each absolute import in a file, including nested ones.

    Modules that ``importlib.import_module`` takes as a literal count as well.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(parse(path)):
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
