"""Import rules beyond the layers of import-linter."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

import ome_writers
from support.sources import (
    ADAPTERS,
    CORE,
    ENGINES,
    TOOLS,
    imported,
    name_of,
    nodes_of,
    offenders,
    source_files,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIBRARIES = ("acquire_zarr", "ndstorage", "tensorstore", "tifffile", "zarr", "zarrs")
# The demo checks its result with a third-party reader.
THIRD_PARTY_READERS = "src/ome_writers_tools/cli/demo/third_party_readers.py"
VALIDATION = ("check.py", "validators.py")  # they read with these libraries, too


@pytest.mark.parametrize("library", LIBRARIES)
def test_engine_library_is_imported_in_one_file(library: str) -> None:
    """One file of an engine imports it to write, and one of the folder of a format to read."""
    files = {
        name_of(path)
        for path in source_files(CORE, ENGINES)
        for module, _ in imported(path)
        if module.split(".")[0] == library and path.name not in VALIDATION
    } - {THIRD_PARTY_READERS}
    for folder in {file.rpartition("/")[0] for file in files}:
        assert folder == "src/ome_writers_engines" or folder.split("/")[2] in ("storage", "formats")
        assert len({file for file in files if file.rpartition("/")[0] == folder}) == 1


def _imports_of_private_names(path: Path) -> Iterator[str]:
    for module, names in imported(path):
        if module.startswith("ome_writers."):
            yield module
        if module == "ome_writers":
            yield from set(names) - set(ome_writers.__all__)


def test_adapters_import_public_names_only() -> None:
    assert not offenders(_imports_of_private_names, ADAPTERS)


def _imports_of_internal_names(path: Path) -> Iterator[str]:
    for module, names in imported(path):
        if (module, names) == ("ome_writers.storage", ("EngineRow",)):
            continue  # documented for engines of other packages
        if module.startswith("ome_writers.") and module != "ome_writers.toolkit":
            yield module
        if module == "ome_writers":
            yield from set(names) - set(ome_writers.__all__) - {"open"}


def test_tools_and_engines_import_public_names_and_the_toolkit_only() -> None:
    assert not offenders(_imports_of_internal_names, TOOLS, ENGINES)


def _imports_of_settings_modules(path: Path) -> Iterator[str]:
    if CORE / "settings" not in path.parents:
        for module, _ in imported(path):
            if module.startswith("ome_writers.settings."):
                yield module


def test_settings_are_imported_from_the_package() -> None:
    """Other packages import from ``settings``, not from its modules."""
    assert not offenders(_imports_of_settings_modules, CORE)


def _imports_of_modules(path: Path) -> Iterator[str]:
    own = path.relative_to(CORE).parts[0]
    for module, _ in imported(path):
        parts = module.split(".")
        other = parts[0] == "ome_writers" and len(parts) > 2 and parts[1] != own
        if other and not CORE.joinpath(*parts[1:]).is_dir():
            yield module


def test_packages_are_imported_through_their_init() -> None:
    """Other packages import from ``ome_writers.PACKAGE`` or a sub-package of it, not from its modules."""
    assert not offenders(_imports_of_modules, CORE)


_KINDS = {"LocalLocation", "MirroredLocation", "RemoteLocation", "ArchiveLocation", "RemotePath"}
_QUESTIONS = {"is_local", "is_remote", "is_archive", "is_url"}


def _questions_where_files_are(path: Path) -> Iterator[str]:
    if CORE / "untrusted" not in path.parents:
        for node in nodes_of(path):
            named = {getattr(node, field, None) for field in ("id", "attr", "name", "arg")}
            yield from named & (_KINDS | _QUESTIONS)


def test_only_locations_distinguish_disk_url_and_archive() -> None:
    """All others call the methods of `untrusted.Location`."""
    assert not offenders(_questions_where_files_are, CORE, TOOLS, ENGINES, ADAPTERS)


def _casts_to_path(path: Path) -> Iterator[str]:
    for node in nodes_of(path):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("cast", "typing.cast"):
            target = ast.unparse(node.args[0]).strip("'")
            if target.endswith("Path"):
                yield ast.unparse(node)


def test_what_is_not_a_path_is_not_cast_to_one() -> None:
    """Of a dataset at a URL, `untrusted.Location` opens the files."""
    assert not offenders(_casts_to_path, CORE, TOOLS, ENGINES, ADAPTERS)
