"""Importing the package is cheap, and every promised name is there."""

from __future__ import annotations

import importlib
import subprocess
import sys
import typing
from typing import TYPE_CHECKING

import pytest

import ome_writers
from ome_writers import errors

if TYPE_CHECKING:
    from pathlib import Path

# Hides a library from the code that follows.
WITHOUT_USEQ = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'useq':
            raise ModuleNotFoundError(name, name='useq')
sys.meta_path.insert(0, Hide())
"""
PROMISED = [
    "AcquisitionSettings",
    "Channel",
    "CoordUpdate",
    "Dimension",
    "OMEStream",
    "OmeTiffFormat",
    "OmeZarrFormat",
    "Plate",
    "Position",
    "PositionDimension",
    "ScratchFormat",
    "StandardAxis",
    "__version__",
    "create_stream",
    "dims_from_standard_axes",
    "dims_from_useq",
    "useq_to_acquisition_settings",
    "StreamView",
    "AcquisitionSettingsDict",
    "Schedule",
]

HEAVY = [
    "PIL",
    "acquire_zarr",
    "imagecodecs",
    "ndstorage",
    "numcodecs",
    "ome_types",
    "ome_writers_ophyd",
    "ome_writers_pymmcore",
    "ome_writers_useq",
    "pandas",
    "psygnal",
    "pymmcore_plus",
    "rich",
    "tensorstore",
    "tifffile",
    "useq",
    "xarray",
    "xsdata",
    "yaozarrs",
    "zarr",
    "zarrs",
]


def _run(code: str) -> str:
    """Run code in a Python of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _is_once_below(limit: float, code: str) -> bool:
    """Return whether the number that code prints is below a limit in one of three runs."""
    return any(float(_run(code)) < limit for _ in range(3))


def test_import_time() -> None:
    code = """
import time, numpy, pydantic
start = time.process_time()
import ome_writers
print(time.process_time() - start)
"""
    assert _is_once_below(0.3, code)


def test_import_time_of_settings_models() -> None:
    code = """
import time, numpy, pydantic

class Any(pydantic.BaseModel):
    number: pydantic.PositiveInt = 1

start = time.process_time()
import ome_writers
ome_writers.AcquisitionSettings
print(time.process_time() - start)
"""
    assert _is_once_below(0.3, code)


@pytest.mark.parametrize("use", ["", "ome_writers.AcquisitionSettings()"])
def test_import_loads_no_engine_or_adapter(use: str) -> None:
    code = f"import sys, ome_writers; {use}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    assert _run(code) == "[]"


def test_an_ome_tiff_loads_neither_a_reader_nor_the_network(tmp_path: Path) -> None:
    """The first OME-TIFF of a process is created, written and closed with this library alone."""
    code = f"""
import sys, numpy
import ome_writers as ow
axes = [ow.Dimension(name=n, count=c) for n, c in (("t", 2), ("y", 4), ("x", 4))]
path = {str(tmp_path / "x.ome.tiff")!r}
with ow.create_stream(ow.AcquisitionSettings(root_path=path, dimensions=axes, dtype="uint16")) as stream:
    stream.append(numpy.zeros((4, 4), "uint16"))
print([m for m in (*{HEAVY!r}, "ssl", "urllib.request") if m in sys.modules])
"""
    assert _run(code) == "[]"


@pytest.mark.parametrize("name", PROMISED)
def test_public_names(name: str) -> None:
    assert getattr(ome_writers, name) is not None
    assert name in ome_writers.__all__
    assert name in dir(ome_writers)


def test_star_import() -> None:
    names: dict[str, object] = {}
    exec("from ome_writers import *", names)
    assert names.keys() >= set(ome_writers.__all__)


def test_star_import_without_useq() -> None:
    code = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == 'useq' else find_spec(name)
from ome_writers import *
import ome_writers
print('dims_from_useq' in globals())
try:
    ome_writers.dims_from_useq
except ImportError as error:
    print(error)
"""
    assert _run(WITHOUT_USEQ + code).splitlines() == [
        "False",
        'ome_writers.dims_from_useq needs useq-schema: pip install "ome-writers[useq]"',
    ]


def test_pymmcore_adapter_names_missing_extra() -> None:
    code = """
try:
    import ome_writers_pymmcore
except ModuleNotFoundError as error:
    print(error)
"""
    message = 'ome_writers_pymmcore needs pymmcore-plus: pip install "ome-writers[pymmcore]"'
    assert _run(WITHOUT_USEQ + code) == message


def test_error_classes_are_public() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, (errors.OMEWritersError, Warning)):
            assert getattr(ome_writers, name) is value


def test_dir_lists_public_names_only() -> None:
    listed = {name for name in dir(ome_writers) if not name.startswith("__")}
    assert listed == {*ome_writers.__all__, "open"} - {"__version__"}


def test_repair_is_a_function_and_a_package(tmp_path: Path) -> None:
    code = f"""
import inspect, ome_writers
call = ome_writers.repair
print(*inspect.signature(call).parameters)
from ome_writers.repair.dataset import Repair, repair
import ome_writers.repair
assert ome_writers.repair is call and inspect.signature(call) == inspect.signature(repair)
try:
    call({str(tmp_path / "nothing")!r})
except FileNotFoundError as error:
    print(error)
"""
    assert _run(code).splitlines() == ["path dry_run", f"{tmp_path / 'nothing'} does not exist."]


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ome_writers' has no attribute 'nothing'"):
        _ = ome_writers.nothing


ALIASES = {
    "_schema": """AcquisitionSettings Channel Dimension DimensionList DTypeStr OmeTiffFormat
        OmeZarrFormat Plate Position PositionDimension ScratchFormat StandardAxis
        dims_from_standard_axes TiffCompression ZarrCompression BackendName""",
    "_useq": "AcquisitionSettingsDict _plate_from_useq _build_positions",
    "_stream": "AVAILABLE_BACKENDS create_stream OMEStream",
    "_stream_view": "StreamView",
}


@pytest.mark.parametrize(
    ("module", "name"), [(m, name) for m, names in ALIASES.items() for name in names.split()]
)
def test_private_paths_of_published_clients(module: str, name: str) -> None:
    """What published clients import from private modules is there, and the same object."""
    value = getattr(importlib.import_module(f"ome_writers.{module}"), name)
    assert value is getattr(ome_writers, name, value)


def test_literals_of_published_clients() -> None:
    """The literals list the names that clients use."""
    schema = importlib.import_module("ome_writers._schema")
    zarr = ("blosc-zstd", "blosc-lz4", "zstd", "gzip", "none")
    assert set(typing.get_args(schema.ZarrCompression)) >= set(zarr)
    assert set(typing.get_args(schema.TiffCompression)) >= {"lzw", "deflate", "zstd", "none"}
    backends = {"direct", "tensorstore", "acquire-zarr", "zarrs-python", "zarr-python", "tifffile"}
    assert set(typing.get_args(schema.BackendName)) == backends


def test_available_backends_have_name_and_format() -> None:
    """Each available backend has a name and a format."""
    backends = importlib.import_module("ome_writers._stream").AVAILABLE_BACKENDS
    assert "tensorstore" in backends
    for name, backend in backends.items():
        assert backend.name == name
        assert backend.format in ("ome-zarr", "ome-tiff", "scratch")
