"""Register of other libraries' private names that the sources use, each with the condition for its removal."""

from __future__ import annotations

import ast
import sys
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.sources import REPOSITORY, name_of, nodes_of, offenders, source_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


class PrivateName(NamedTuple):
    library: str
    name: str
    file: str
    remove_when: str


_IS_OWNED = "threading.RLock has a public method that returns whether this thread holds the lock"
_ERROR_SETTING = "psygnal has a setting to continue with the next listener after an error"
_CUSTOM_BUFFER = "UniMMCore accepts a sequence buffer, or pops frames from its own without a copy"

REGISTER = (
    PrivateName("CPython", "_is_owned", "src/ome_writers/locks.py", _IS_OWNED),
    PrivateName("psygnal", "_run_emit_loop", "src/ome_writers/signals.py", _ERROR_SETTING),
    PrivateName("psygnal", "_slots", "src/ome_writers/signals.py", _ERROR_SETTING),
    PrivateName(
        "pymmcore-plus",
        "_seq_buffer",
        "adapters/ome_writers_pymmcore/lending_core.py",
        _CUSTOM_BUFFER,
    ),
    PrivateName(
        "pymmcore-plus",
        "_py_camera",
        "adapters/ome_writers_pymmcore/lending_core.py",
        "UniMMCore has a public method that returns whether a device is a Python device",
    ),
    PrivateName(
        "useq-schema",
        "useq._iter_sequence._iter_axis",
        "adapters/ome_writers_useq/grid_points.py",
        "useq no longer caches the points of a grid, or draws unseeded random points only once",
    ),
)

# Documented, in spite of the underscore.
PUBLIC = {"_asdict", "_fields", "_make", "_replace", "_exit", "_getframe", "_thread"}
OURS = {
    "ome_writers",
    "ome_writers_useq",
    "ome_writers_pymmcore",
    "ome_writers_ophyd",
    "ome_writers_napari",
    "ome_writers_ndv",
}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def _attributes(nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.expr, str]]:
    """Yield (object, attribute name) of each access, including ``getattr(object, "name")``."""
    for node in nodes:
        if isinstance(node, ast.Attribute):
            yield node.value, node.attr
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "setattr", "hasattr", "delattr")
            and len(node.args) > 1
            and isinstance(node.args[1], ast.Constant)
        ):
            yield node.args[0], str(node.args[1].value)


def _definitions(nodes: Iterable[ast.AST]) -> set[str]:
    """Return names of functions, classes, variables and attributes of ``self`` or ``cls``."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def _imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str, str]]:
    """Yield (module, imported name or "", local name) of each absolute import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.module, alias.name, alias.asname or alias.name


def private_names(nodes: Sequence[ast.AST], defined: set[str], used: set[str]) -> set[str]:
    """Return the private names of other libraries that the nodes of a module use.

    An attribute counts as ours if its name is among `defined`, the definitions of the whole project. In a class with
    a third-party base, attributes of ``self`` that the class body does not define belong to the base, and so do private
    methods that no source calls (`used`): they override a method of the base.
    """
    found: set[str] = set()
    third_party: set[str] = set()
    for module, name, local in _imports(nodes):
        root = module.split(".")[0]
        if root in OURS:
            continue
        if any(map(_is_private, (*module.split("."), name))):
            found.add(f"{module}.{name}".rstrip("."))
        if root not in sys.stdlib_module_names:
            third_party.add(local)
    for value, name in _attributes(nodes):
        own = isinstance(value, ast.Name) and value.id in ("self", "cls")
        if _is_private(name) and not own and name not in defined:
            found.add(name)
    for node in nodes:
        if not isinstance(node, ast.ClassDef):
            continue
        bases = {ast.unparse(base).split(".")[0].split("[")[0] for base in node.bases}
        if not bases & third_party:
            continue
        methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
        body = {method.name for method in methods}
        for statement in node.body:
            if not isinstance(statement, ast.FunctionDef):
                body |= _definitions(ast.walk(statement))
        found |= {
            name
            for value, name in _attributes(ast.walk(node))
            if _is_private(name)
            and name not in body
            and ast.unparse(value) in ("self", "cls", "super()")
        }
        found |= {
            method.name
            for method in methods
            if _is_private(method.name) and not method.decorator_list and method.name not in used
        }
    return found


@cache
def _project() -> tuple[set[str], set[str]]:
    """Return the names that the sources define, and the attributes that they use."""
    files = source_files()
    defined = set().union(*(_definitions(nodes_of(path)) for path in files))
    return defined, {name for path in files for _, name in _attributes(nodes_of(path))}


def _unregistered(path: Path) -> Iterator[str]:
    registered = {entry.name for entry in REGISTER if entry.file == name_of(path)}
    found = private_names(nodes_of(path), *_project())
    for name in found - registered:
        yield f"{name}: add it to REGISTER, with the condition for its removal"
    for name in registered - found:
        yield f"{name} is not used: remove it from REGISTER"


def test_private_names_are_registered() -> None:
    assert not offenders(_unregistered)


def test_registered_files_exist() -> None:
    assert not [entry for entry in REGISTER if not (REPOSITORY / entry.file).is_file()]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import zarr\nzarr.open('x')._async_array", {"_async_array"}),
        ("import tifffile\ngetattr(tifffile.TiffFile('x'), '_fh', None)", {"_fh"}),
        ("from psygnal._signal import Signal", {"psygnal._signal.Signal"}),
        ("from useq import _plate", {"useq._plate"}),
        ("import useq._plate", {"useq._plate"}),
        ("import zarr\nclass A(zarr.Array):\n def f(self): return self._data", {"_data"}),
        ("import zarr\nclass A(zarr.Array):\n def _get(self): pass", {"_get"}),
        ("import zarr\nclass A(zarr.Array):\n _a: int\n def f(self): return self._a", set()),
        ("class A:\n def f(self, other): return self._a + other.x.__class__", set()),
        ("from ome_writers import _useq\npoint._replace(x=1)", set()),
    ],
)
def test_private_names_finds_each_kind_of_use(source: str, expected: set[str]) -> None:
    assert private_names(list(ast.walk(ast.parse(source))), set(), set()) == expected
