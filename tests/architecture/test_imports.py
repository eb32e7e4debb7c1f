"""Who may import what, beyond the order of the rooms."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import ome_writers
from support.sources import ADAPTERS, CORE, imported, name_of, source_files

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = ("acquire_zarr", "tensorstore", "tifffile", "zarr", "zarrs")
HEAVY = (*ENGINES, "ome_types", "pymmcore_plus", "useq", "rich", "PIL", "yaozarrs", "xsdata")
# The demo opens its result with somebody else's reader: that is its purpose.
WITNESS = "src/ome_writers/cli/demo/third_party_readers.py"


@pytest.mark.parametrize("library", ENGINES)
def test_an_engine_library_is_imported_in_one_file(library: str) -> None:
    """A third-party engine is imported in one file of ``storage``; to read, in one of ``views`` and ``validation``."""
    files = {
        name_of(path)
        for path in source_files(CORE)
        for module, _ in imported(path)
        if module.split(".")[0] == library
    } - {WITNESS}
    for room in ("storage", "views", "validation"):
        in_room = {file for file in files if file.startswith(f"src/ome_writers/{room}/")}
        assert len(in_room) <= 1, in_room
        files -= in_room
    assert not files


@pytest.mark.parametrize("path", source_files(ADAPTERS), ids=name_of)
def test_an_adapter_uses_public_names_only(path: Path) -> None:
    """An adapter imports from ``ome_writers`` nothing but names of its ``__all__``."""
    for module, names in imported(path):
        assert not module.startswith("ome_writers."), module
        if module == "ome_writers":
            assert set(names) <= set(ome_writers.__all__)


def test_importing_the_package_loads_no_engine_and_no_adapter() -> None:
    """``import ome_writers`` loads none of the heavy libraries, nor an adapter."""
    code = "import ome_writers, sys; print(*(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {*HEAVY, "ome_writers_useq", "ome_writers_pymmcore"}


def test_importing_the_package_is_quick() -> None:
    """``import ome_writers`` takes below 0.3 s of CPU time on top of numpy and pydantic."""
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
def test_settings_are_taken_through_their_door(path: Path) -> None:
    """No other room imports a module of ``settings``: what they need of it, the room itself offers."""
    if CORE / "settings" not in path.parents:
        for module, _ in imported(path):
            assert not module.startswith("ome_writers.settings."), module
