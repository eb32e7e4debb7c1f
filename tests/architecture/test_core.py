"""How much code is involved: what a write loads, which folders it works without, and what a reader executes.

`LIMITS` has the figures of today. A change that raises one fails here. A change that lowers one by much fails as well,
until the limit is lowered with it.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import ome_writers
from ome_writers.formats import lay_out
from ome_writers.routing import resolve
from support.sources import CORE, imported, nodes_of, source_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

LIMITS = {
    "modules loaded by writing: OME-Zarr": 100,
    "modules loaded by writing: OME-TIFF": 98,
    "modules loaded by writing: scratch": 76,
    "lines loaded by writing: OME-Zarr": 17250,
    "lines loaded by writing: OME-TIFF": 17450,
    "lines loaded by writing: scratch": 14100,
    "classes that describe images and arrays": 6,
    # resolve, parse, stored_plan
    "places that describe arrays": 3,
    "open, own OME-Zarr: functions": 120,
    "open, own OME-Zarr: files": 25,
    "view[i], own OME-Zarr: functions": 25,
    # `Location`, with all branches on it, and `ChunkFile`, which all readers of chunks share
    "view[i], own OME-Zarr: files": 10,
    "open, other OME-Zarr: functions": 76,
    "open, other OME-Zarr: files": 17,
    "view[i], other OME-Zarr: functions": 24,
    "view[i], other OME-Zarr: files": 10,
    "open, OME-TIFF: functions": 153,
    "open, OME-TIFF: files": 40,
    "view[i], OME-TIFF: functions": 30,
    "view[i], OME-TIFF: files": 9,
    "calls per position of a plan": 6,
}
INSTALLED = str(Path(ome_writers.__file__).parent) + os.sep
ENTRY_POINTS = {"ome_writers.formats"}  # a group of entry points has the name of a package
_MARGIN = 0.9  # a figure below this part of its limit asks for a lower limit

FORMATS = {
    "OME-Zarr": ("a.ome.zarr", "ome-zarr"),
    "OME-TIFF": ("a.ome.tiff", "ome-tiff"),
    "scratch": ("a", "scratch"),
}

# Folders that the others work without.
DELETIONS = {
    "what runs later": ("formats/micromanager", "repair", "toolkit.py", "validation"),
    "OME-TIFF": ("formats/ometiff", "storage/tiff"),
}

_WRITE = """
import json, sys
from pathlib import Path
import numpy
import ome_writers

dimensions = ome_writers.dims_from_standard_axes({"t": 2, "y": 32, "x": 32})
settings = ome_writers.AcquisitionSettings(
    root_path=sys.argv[1],
    format=sys.argv[2],
    dtype="uint16",
    dimensions=dimensions,
    **json.loads(sys.argv[3]),
)
with ome_writers.create_stream(settings) as stream:
    opened = set(sys.modules)
    stream.append(numpy.zeros((32, 32), "uint16"))
    stream.append(numpy.ones((32, 32), "uint16"))
files = {n: m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "ome_writers"}
lines = sum(Path(file).read_text(encoding="utf-8").count("\\n") for file in files.values())
late = sorted(name for name in files if name not in opened)
print(json.dumps({"modules": len(files), "lines": lines, "late": late, "file": ome_writers.__file__}))
"""

_CONTRACT = """
from ome_writers.storage import ENGINES
from ome_writers.testing import EngineContract

class TestDirect(EngineContract):
    row = ENGINES["direct"]
"""


on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="figures of Linux: other systems have some code of their own"
)


def check_limit(name: str, figure: int) -> None:
    limit = LIMITS[name]
    assert figure <= limit, f"{name}: {figure}, more than {limit}"
    assert figure >= _MARGIN * limit, f"{name}: {figure} instead of {limit}: lower the limit"


def write(
    path: Path, *, file_format: str, fields: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """Write two frames in a new process, and return what it has loaded."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        _WRITE,
        str(path),
        file_format,
        json.dumps(fields or {}),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


@on_linux
@pytest.mark.parametrize("title", FORMATS)
def test_code_that_a_write_loads(tmp_path: Path, title: str) -> None:
    """`create_stream`, `append` and `close`; the last two import nothing."""
    name, file_format = FORMATS[title]
    loaded = write(tmp_path / name, file_format=file_format)
    assert loaded["late"] == []
    check_limit(f"modules loaded by writing: {title}", loaded["modules"])
    check_limit(f"lines loaded by writing: {title}", loaded["lines"])


def test_close_imports_nothing_for_levels_and_ro_crates(tmp_path: Path) -> None:
    """`close` may run while the interpreter exits."""
    fields = {
        "experiment": {"description": "Test", "license": "CC-BY-4.0"},
        "pyramid": {"levels": 2},
    }
    assert write(tmp_path / "a.ome.zarr", file_format="ome-zarr", fields=fields)["late"] == []


def strings_naming_packages() -> list[str]:
    """Return each string that names a module of another folder that the file does not import, as "file: string"."""
    found = []
    for path in source_files(CORE):
        modules = {module for module, _ in imported(path)}
        for node in nodes_of(path):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            if not re.fullmatch(r"ome_writers(\.\w+)+(:\w+)?", node.value):
                continue
            if node.value in modules:
                continue
            module = CORE.parent.joinpath(*node.value.split(":")[0].split("."))
            if module.is_dir():
                folder = module
            elif module.with_suffix(".py").is_file():
                folder = module.parent
            else:
                continue  # a group of entry points, or a name in metadata
            if path.parent not in (folder, CORE):
                found.append(f"{path.relative_to(CORE).as_posix()}: {node.value}")
    return found


def test_no_string_names_another_package() -> None:
    """Import-linter does not see the imports that they cause."""
    assert not [
        each for each in strings_naming_packages() if each.split(": ")[1] not in ENTRY_POINTS
    ]


def test_classes_that_describe_images_and_arrays() -> None:
    """Of settings, plans, engines, files: dataclasses with one of these fields. `ArraySpec` is computed from others."""
    described = {"images", "levels", "arrays", "shape", "factors", "first_array"}
    modules = ("dataset.py", "formats/dataset_metadata.py", "storage/contract.py")
    found = {
        node.name
        for path in [*(CORE / "routing").glob("*.py"), *(CORE / module for module in modules)]
        for node in nodes_of(path)
        if isinstance(node, ast.ClassDef)
        and any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
        and described & {ast.unparse(s.target) for s in node.body if isinstance(s, ast.AnnAssign)}
    }
    print(*sorted(found), sep="\n")
    assert "ArraySpec" in found
    check_limit("classes that describe images and arrays", len(found) - 1)


# files of one place
PLACES = {
    "routing/(planning|levels)": "resolve",
    "formats/(.*/parse.*|plane_files)": "parse",
    "formats/(stored_settings|omezarr/stored_plan)": "stored_plan",
}


def test_places_that_describe_arrays() -> None:
    """They create a `LevelSpec` or `ImageSpec`, or copy one with other chunks or shards."""
    found: dict[str, str] = {}
    for path in source_files(CORE):
        if "ome_writers.dataset" not in {module for module, _ in imported(path)}:
            continue
        for node in nodes_of(path):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            keywords = {keyword.arg for keyword in node.keywords}
            copies = called in ("replace", "copy_with") and keywords & {"chunks", "shards"}
            if called in ("LevelSpec", "ImageSpec") or copies:
                name = path.relative_to(CORE).with_suffix("").as_posix()
                places = (place for files, place in PLACES.items() if re.fullmatch(files, name))
                found[f"{name}:{node.lineno}"] = next(places, name)
    print(*found.items(), sep="\n")
    check_limit("places that describe arrays", len(set(found.values())))


@pytest.mark.parametrize("name", DELETIONS)
def test_package_without_folder(tmp_path: Path, name: str) -> None:
    """Without these folders, the tests of the engine contract pass, and a written dataset is readable."""
    copy = tmp_path / "copy"
    shutil.copytree(INSTALLED, copy / CORE.name)  # with its bytecode
    for folder in DELETIONS[name]:
        deleted = copy / CORE.name / folder
        shutil.rmtree(deleted) if deleted.is_dir() else deleted.unlink()
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    loaded = write(tmp_path / "a.ome.zarr", file_format="ome-zarr", env=environment)
    assert Path(loaded["file"]).is_relative_to(copy)
    assert zarr.open_array(tmp_path / "a.ome.zarr" / "0")[1].all()
    selected = "not later_frame and not more_chunks"  # to save time
    (tmp_path / "test_direct.py").write_text(_CONTRACT, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]", encoding="utf-8")  # not that of a folder above
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [
            *command,
            f"--basetemp={tmp_path / 'cases'}",  # does not remove those of earlier sessions
            "-k",
            selected,
            "test_direct.py",
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def run_profiled(
    function: Callable[[], object], profile: Callable[[FrameType, str, Any], None]
) -> None:
    """Call a function with a profiler; the finalizers of other tests' garbage do not run meanwhile."""
    gc.disable()
    previous = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(previous)
        gc.enable()


def is_ours(code: CodeType) -> bool:
    """Return whether code is a function of the core. Comprehensions are not counted: Python 3.12 does not call them."""
    return code.co_filename.startswith(INSTALLED) and code.co_name[0] != "<"


def walk(function: Callable[[], object]) -> tuple[set[str], set[str]]:
    """Return the functions of this library that a call executes, and their files."""
    functions: dict[str, str] = {}

    def profile(called: FrameType, event: str, _argument: Any) -> None:
        code = called.f_code
        if event == "call" and is_ours(code):
            functions[f"{code.co_filename}:{code.co_firstlineno} {code.co_name}"] = code.co_filename

    function()  # imports, and what is cached for a process
    run_profiled(function, profile)
    return set(functions), set(functions.values())


@on_linux
@pytest.mark.parametrize("title", ["own OME-Zarr", "other OME-Zarr", "OME-TIFF"])
def test_walk_of_a_reader(tmp_path: Path, title: str) -> None:
    """The functions that `open` and `view[i]` execute, and the files that contain them."""
    name, file_format = FORMATS[title.split()[-1]]
    path = tmp_path / name
    dimensions = ome_writers.dims_from_standard_axes({"t": 2, "y": 32, "x": 32})
    settings = ome_writers.AcquisitionSettings(
        root_path=path, format=file_format, dtype="uint16", dimensions=dimensions
    )
    with ome_writers.create_stream(settings) as stream:
        for _ in range(2):
            stream.append(np.ones((32, 32), "uint16"))
    if title == "other OME-Zarr":
        group = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        del group["attributes"]["ome_writers"]
        (path / "zarr.json").write_text(json.dumps(group), encoding="utf-8")
    view = ome_writers.open(path)
    walks = {
        "open": walk(lambda: ome_writers.open(path)),
        "view[i]": walk(lambda: view[1]),
    }
    for name, (functions, files) in walks.items():
        print(*sorted(functions), sep="\n")
        check_limit(f"{name}, {title}: functions", len(functions))
        check_limit(f"{name}, {title}: files", len(files))


@pytest.mark.parametrize("title", ["OME-Zarr", "OME-TIFF"])
def test_open_resolves_the_stored_settings_once(tmp_path: Path, title: str) -> None:
    name, file_format = FORMATS[title]
    dimensions = ome_writers.dims_from_standard_axes({"t": 2, "y": 32, "x": 32})
    settings = ome_writers.AcquisitionSettings(
        root_path=tmp_path / name, format=file_format, dtype="uint16", dimensions=dimensions
    )
    ome_writers.create_stream(settings).close()
    count = 0

    def profile(called: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call" and called.f_code is resolve.__code__

    previous = sys.getprofile()
    sys.setprofile(profile)
    try:
        ome_writers.open(tmp_path / name)
    finally:
        sys.setprofile(previous)
    assert count == 1


def test_calls_per_position_of_a_plan() -> None:
    """Functions of this library that `resolve` and `lay_out` call; there may be a million positions."""

    def calls(positions: int) -> int:
        dimensions = ome_writers.dims_from_standard_axes(
            {"p": [f"p{i}" for i in range(positions)], "c": ["A", "B"], "y": 32, "x": 32}
        )
        settings = ome_writers.AcquisitionSettings(
            root_path="a.ome.zarr", dtype="uint16", dimensions=dimensions
        )
        count = 0

        def profile(called: FrameType, event: str, _argument: Any) -> None:
            nonlocal count
            count += event == "call" and is_ours(called.f_code)

        run_profiled(lambda: lay_out(resolve(settings)), profile)
        return count

    calls(1)  # imports
    check_limit("calls per position of a plan", (calls(200) - calls(100)) // 100)
