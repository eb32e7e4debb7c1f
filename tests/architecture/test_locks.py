"""The lock table in the docstring of `ome_writers.streaming` lists every lock of the sources."""

from __future__ import annotations

import ast

from ome_writers import streaming
from support.lock_order import lock_table
from support.sources import CORE, ENGINES, TOOLS, parse, source_files


def _creates_lock(node: ast.AST) -> bool:
    return any(
        (isinstance(n, ast.Name) and n.id == "new_lock")
        or (isinstance(n, ast.Attribute) and n.attr in ("Lock", "RLock"))
        for n in ast.walk(node)
    )


def _locks(body: list[ast.stmt], owner: str) -> set[str]:
    names = set()
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            names |= _locks(statement.body, statement.name)
        elif isinstance(statement, ast.FunctionDef):
            names |= _locks(statement.body, owner)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            target = (
                statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
            )
            if _creates_lock(statement.value):
                attribute = (
                    target.attr if isinstance(target, ast.Attribute) else ast.unparse(target)
                )
                names.add(f"{owner}.{attribute}")
    return names


def test_lock_table_lists_all_locks() -> None:
    found: set[str] = set()
    for path in source_files(CORE, ENGINES, TOOLS):
        if path.name != "locks.py":
            found |= _locks(parse(path).body, path.stem)
    assert found == set(lock_table(streaming.__doc__ or ""))
