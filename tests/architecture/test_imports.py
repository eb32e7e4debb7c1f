"""Import rules beyond the layers of import-linter."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import ome_writers
from support.sources import ADAPTERS, CORE, imported, name_of, source_files

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = ("acquire_zarr", "ndstorage", "tensorstore", "tifffile", "zarr", "zarrs")
HEAVY = (*ENGINES, "ome_types", "pymmcore_plus", "useq", "rich", "PIL", "yaozarrs", "xsdata")
# The demo checks its result with a third-party reader.
THIRD_PARTY_READERS = "src/ome_writers/cli/demo/third_party_readers.py"


@pytest.mark.parametrize("library", ENGINES)
def test_engine_library_is_imported_in_one_file(library: str) -> None:
    """One file of ``storage`` imports it to write; one each of ``formats``, ``views`` and ``validation`` to read."""
    files = {
        name_of(path)
        for path in source_files(CORE)
        for module, _ in imported(path)
        if module.split(".")[0] == library
    } - {THIRD_PARTY_READERS}
    for package in ("storage", "formats", "views", "validation"):
        in_package = {file for file in files if file.startswith(f"src/ome_writers/{package}/")}
        assert len(in_package) <= 1, in_package
        files -= in_package
    assert not files


@pytest.mark.parametrize("path", source_files(ADAPTERS), ids=name_of)
def test_adapters_import_public_names_only(path: Path) -> None:
    for module, names in imported(path):
        assert not module.startswith("ome_writers."), module
        if module == "ome_writers":
            assert set(names) <= set(ome_writers.__all__)


def test_import_loads_no_engine_and_no_adapter() -> None:
    code = "import ome_writers, sys; print(*(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {*HEAVY, "ome_writers_useq", "ome_writers_pymmcore", "ome_writers_ophyd"}


def test_import_time() -> None:
    """``import ome_writers`` takes less than 0.3 s of CPU time in addition to numpy and pydantic."""
    code = (
        "import numpy, pydantic, time; start = time.process_time(); import ome_writers; "
        "print(time.process_time() - start)"
    )
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], stdout=-1, check=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.3


@pytest.mark.parametrize("path", source_files(CORE), ids=name_of)
def test_settings_are_imported_from_the_package(path: Path) -> None:
    """Other packages import from ``settings``, not from its modules."""
    if CORE / "settings" not in path.parents:
        for module, _ in imported(path):
            assert not module.startswith("ome_writers.settings."), module


@pytest.mark.parametrize("path", source_files(CORE), ids=name_of)
def test_packages_are_imported_through_their_init(path: Path) -> None:
    """Other packages import from ``ome_writers.PACKAGE`` or a sub-package of it, not from its modules."""
    own = path.relative_to(CORE).parts[0]
    for module, _ in imported(path):
        parts = module.split(".")
        if parts[0] == "ome_writers" and len(parts) > 2 and parts[1] != own:
            assert CORE.joinpath(*parts[1:]).is_dir(), module
