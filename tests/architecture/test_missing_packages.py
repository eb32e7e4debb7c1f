"""Without the folder of one format, the tests of the other pass; without tools, engines or adapters, all others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import ome_writers
from support.sources import ADAPTERS, CORE, REPOSITORY


class Part(NamedTuple):
    suffix: str
    deleted: tuple[str, ...]  # folders of the other format and of its engines
    tests: tuple[str, ...]  # all tests of the format
    deselected: str  # those that also write the other format


PARTS = {
    "OME-Zarr": Part(
        ".ome.zarr",
        ("formats/ometiff", "storage/tiff"),
        (
            "omezarr",
            "tools/conversion/test_labels_and_levels.py",
            "tools/conversion/test_ngff_version.py",
            "tools/conversion/test_ozx.py",
            "tools/conversion/test_pyramid.py",
            "tools/conversion/test_write_ome_zarr_04.py",
        ),
        "tiff or convert_writes_levels or shard_in_archive or unsuitable_sources",
    ),
    "OME-TIFF": Part(
        ".ome.tiff",
        ("formats/omezarr", "storage/direct", "storage/zarr"),
        ("ometiff",),
        "every_command or parsed_once and convert or to_ome_zarr",
    ),
}

_VERBS = """
import sys
import numpy
import ome_writers

root, suffix, copy = sys.argv[1:]
assert ome_writers.__file__.startswith(copy), ome_writers.__file__
path = root + "/a" + suffix
dimensions = ome_writers.dims_from_standard_axes({"t": 2, "y": 32, "x": 32})
settings = ome_writers.AcquisitionSettings(root_path=path, dtype="uint16", dimensions=dimensions)
for _ in range(2):
    with ome_writers.create_stream(settings.model_copy(update={"overwrite": True})) as stream:
        for number in range(2):
            stream.append(numpy.full((32, 32), number, "uint16"), frame_metadata={"n": number})
assert ome_writers.open(path)[1].max() == 1
assert [frame["n"] for frame in ome_writers.read_frame_metadata(path)] == [0, 1]
assert not ome_writers.repair(path).findings
assert ome_writers.validate(path).valid, ome_writers.validate(path)
"""
_TOOLS = """
ome_writers.edit(path, names={0: "cells"}, scale={"x": 0.5})
assert ome_writers.read(path).images[0].name == "cells"
ome_writers.convert(path, root + "/b" + suffix, verify=True)
"""

# Packages that do not exist: the finder of files does not find them.
_WITHOUT_PACKAGES = """
import sys
from importlib.machinery import PathFinder


class Others(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {names!r} else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Others
"""
PACKAGES = ("ome_writers_tools", "ome_writers_engines", *sorted(p.name for p in ADAPTERS.iterdir()))
_ROWS = CORE.parent / "ome_writers_engines" / "rows.py"
_OF_PACKAGES = (  # tests of the rest; files that import the package are left out
    "core",
    "omezarr",
    "ometiff",
    "system/test_read_other_writers.py",
    "system/test_rewritten.py",
    "system/test_validate.py",
)


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Part:
    """Copy the package to the directory, without the folders of the other format."""
    installed = Path(ome_writers.__file__).parent  # with its bytecode
    shutil.copytree(installed, tmp_path / CORE.name)
    found = PARTS[request.param]
    for folder in found.deleted:
        shutil.rmtree(tmp_path / CORE.name / folder)
    return found


def _run(folder: Path, *arguments: object) -> None:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _run_tests(folder: Path, part: Part, tests: tuple[str, ...]) -> None:
    options = ["-q", "-n0", "-p", "no:randomly", "-p", "no:cacheprovider"]
    options += [f"--basetemp={folder / 'temporary'}", "-k", f"not ({part.deselected})"]
    _run(folder, "-m", "pytest", *options, *(f"tests/{test}" for test in tests))


def test_verbs_without_folder_of_the_other_format(part: Part, tmp_path: Path) -> None:
    _run(tmp_path, "-W", "error", "-c", _VERBS + _TOOLS, tmp_path, part.suffix, tmp_path)


@pytest.mark.sweep
@pytest.mark.timeout(1600)
def test_all_tests_of_a_format_without_folder_of_the_other_format(
    part: Part, tmp_path: Path
) -> None:
    _run_tests(tmp_path, part, part.tests)


@pytest.fixture(
    params=[
        pytest.param(PACKAGES, id="all"),
        *(pytest.param((name,), id=name, marks=pytest.mark.sweep) for name in PACKAGES),
    ]
)
def hidden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """Hide all packages, or one, from the processes that a test starts."""
    content = _WITHOUT_PACKAGES.replace("{names!r}", repr(request.param))
    (tmp_path / "sitecustomize.py").write_text(content, encoding="utf-8")
    names: tuple[str, ...] = request.param
    return names


@pytest.mark.parametrize(
    "suffix", [".ome.zarr", pytest.param(".ome.tiff", marks=pytest.mark.sweep)]
)
def test_verbs_without_packages(hidden: tuple[str, ...], suffix: str, tmp_path: Path) -> None:
    check = f"from importlib.util import find_spec\nassert not any(map(find_spec, {hidden!r}))\n"
    check += "from ome_writers import *\n"
    verbs = _VERBS if "ome_writers_tools" in hidden else _VERBS + _TOOLS
    installed = Path(ome_writers.__file__).parents[1]
    _run(tmp_path, "-c", check + verbs, tmp_path, suffix, installed)


def _needs(path: Path, packages: tuple[str, ...]) -> bool:
    """Whether a file of tests imports one of the packages, a function that needs it, or names its engines."""
    words = set(packages)
    if "ome_writers_tools" in packages:
        words |= set(ome_writers._TOOLS)
    if "ome_writers_useq" in packages:
        words |= set(ome_writers._USEQ)
    if "ome_writers_engines" in packages:
        words |= {
            "ENGINES",
            *re.findall(r"^ +name=\"(.*)\"", _ROWS.read_text("utf-8"), re.MULTILINE),
        }
    text = path.read_text(encoding="utf-8")
    return any(re.search(rf"\b{re.escape(word)}\b", text) for word in words)


@pytest.mark.sweep
@pytest.mark.timeout(1600)
def test_all_tests_of_the_rest_without_packages(hidden: tuple[str, ...], tmp_path: Path) -> None:
    tests = [
        path.relative_to(REPOSITORY / "tests").as_posix()
        for folder in _OF_PACKAGES
        for path in sorted((REPOSITORY / "tests" / folder).rglob("test_*.py"))
        if not _needs(path, hidden)
    ]
    _run_tests(tmp_path, Part("", (), (), "no_such_test"), tuple(tests))
