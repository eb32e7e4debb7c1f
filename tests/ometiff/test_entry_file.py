"""The entry file of a set: the requested output path opens as the whole set."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tifffile", reason="the independent reader")

import tifffile
from ome_types import from_tiff, validate_xml

import ome_writers
from ome_writers import (
    OutputExistsError,
    OutputLockedError,
    Position,
    convert,
    create_stream,
    dims_from_standard_axes,
    read_frame_metadata,
    validate,
)
from ome_writers.repair import repair
from ome_writers_tools.cli.description import describe, list_datasets
from support.preloaded import run_python

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers import OMEStream

MODES = ("redundant", "master-tiff", "companion-file")
# tifffile's own, of sets
pytestmark = pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")
CHILD = """
import json, os, signal, sys
import numpy as np
import ome_writers as ow
axes = ow.dims_from_standard_axes({"t": None, "p": 2, "y": 6, "x": 8})
stream = ow.create_stream(**json.load(sys.stdin), dimensions=axes)
for i in range(6):
    stream.append(np.full((6, 8), i + 1, "uint16"), frame_metadata={"serial": i})
stream.flush()
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


def stream(path: Path, positions: int = 2, dtype: str = "uint16", **more: Any) -> OMEStream:
    """Create a stream of `positions` with two frames of 6 x 8 pixels each, time as the fastest axis."""
    axes = dims_from_standard_axes({"p": positions, "t": 2, "y": 6, "x": 8})
    return create_stream(root_path=path, dimensions=axes, dtype=dtype, **more)


def write(path: Path, positions: int = 2, dtype: str = "uint16", **more: Any) -> None:
    """Write a dataset; all pixels of frame n are n + 1."""
    shape = (6, 8, 3) if more.get("rgb") else (6, 8)
    with stream(path, positions, dtype, **more) as out:
        for n in range(2 * positions):
            out.append(np.full(shape, n + 1, dtype), frame_metadata={"serial": n})


def first_pixels(path: Path) -> list[list[int]]:
    """Return the first pixel of each plane of each series, as tifffile reads one file."""
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        return [s.asarray().reshape(2, -1)[:, 0].real.astype(int).tolist() for s in tiff.series]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64", "complex64"])
def test_entry_file_opens_as_the_set(tmp_path: Path, mode: str, dtype: str) -> None:
    """In tifffile; the OME-XML is valid and lists each plane once."""
    path = tmp_path / "run & co.ome.tiff"
    write(path, 3, dtype, format={"name": "ome-tiff", "multi_file_metadata": mode})
    assert first_pixels(path) == [[1, 2], [3, 4], [5, 6]]
    validate_xml(tifffile.tiffcomment(path))
    model = from_tiff(path)
    blocks = [b for image in model.images for b in image.pixels.tiff_data_blocks]
    planes = [(b.uuid.value, b.ifd + n) for b in blocks for n in range(b.plane_count)]
    assert len(planes) == len(set(planes)) == 6
    assert {b.uuid.file_name for b in blocks} == {
        f"run & co/run & co_p00{n}.ome.tiff" for n in range(3)
    }
    assert model.uuid not in {b.uuid.value for b in blocks}
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 1
        page = tiff.pages.first
        assert (page.shape, page.dtype) == ((6, 8), np.dtype(dtype))
        assert not page.asarray().any()
    assert path.stat().st_size < 16_000


@pytest.mark.parametrize("height", [1, 37, 200])
def test_entry_file_has_one_black_page(tmp_path: Path, height: int) -> None:
    """Of the size of a frame; strips share their data. Also RGB."""
    axes = dims_from_standard_axes({"p": 2, "y": height, "x": 1500})
    path = tmp_path / "run.ome.tif"
    create_stream(root_path=path, dimensions=axes, dtype="uint8", rgb=True).close()
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.photometric == tifffile.PHOTOMETRIC.RGB
        assert np.array_equal(tiff.pages.first.asarray(), np.zeros((height, 1500, 3), "uint8"))


@pytest.mark.parametrize("mode", MODES)
def test_entry_file_is_updated_at_each_flush(tmp_path: Path, mode: str) -> None:
    """It exists as soon as the stream is created."""
    axes = dims_from_standard_axes({"t": None, "p": 2, "y": 6, "x": 8})
    path = tmp_path / "run.ome.tiff"
    form = {"name": "ome-tiff", "multi_file_metadata": mode}
    with create_stream(root_path=path, dimensions=axes, dtype="uint16", format=form) as out:
        assert len(from_tiff(path).images) == 2
        for n in range(4):
            out.append(np.full((6, 8), n + 1, "uint16"))
        out.flush()
        assert first_pixels(path) == [[1, 3], [2, 4]]
        out.set_global_metadata("lab", {"who": "me"})
        assert "lab" in tifffile.tiffcomment(path)
    assert first_pixels(path) == [[1, 3], [2, 4]]
    assert not repair(tmp_path / "run").findings


@pytest.mark.parametrize("mode", MODES)
def test_every_command_accepts_the_entry_file(tmp_path: Path, mode: str) -> None:
    """open, info, validate, repair, convert and read_frame_metadata; info lists the set once."""
    path, folder = tmp_path / "run.ome.tiff", tmp_path / "run"
    write(path, format={"name": "ome-tiff", "multi_file_metadata": mode})
    assert np.array_equal(ome_writers.open(path)[...], ome_writers.open(folder)[...])
    assert describe(path) == describe(folder)
    assert (describe(path).path, describe(path).files) == (str(folder), 2 + (mode == MODES[2]))
    assert validate(path).valid
    assert validate(path).path == folder
    assert repair(path).path == folder
    assert read_frame_metadata(path) == read_frame_metadata(folder)
    convert(path, tmp_path / "copy.ome.zarr")
    assert np.array_equal(
        ome_writers.open(tmp_path / "copy.ome.zarr")[...], ome_writers.open(path)[...]
    )
    with pytest.raises(OutputExistsError, match="is the source"):
        convert(path, path, overwrite=True)
    listed = list_datasets(tmp_path)
    assert listed is not None
    assert listed.datasets == (tmp_path / "copy.ome.zarr", folder)


@pytest.mark.parametrize("mode", MODES)
def test_repair_updates_the_entry_file(tmp_path: Path, mode: str) -> None:
    """Given the path of the set or of the entry file."""
    path = tmp_path / "run.ome.tiff"
    given = {
        "root_path": str(path),
        "dtype": "uint16",
        "format": {"name": "ome-tiff", "multi_file_metadata": mode},
    }
    done = run_python(["-c", CHILD], stdin=json.dumps(given))
    assert done.returncode in (-getattr(signal, "SIGKILL", signal.SIGTERM), signal.SIGTERM)
    assert '"status":"writing"' in tifffile.tiffcomment(path)
    assert any(finding.path == path for finding in repair(path).findings)
    assert '"status":"failed"' in tifffile.tiffcomment(path)
    assert [len(image.pixels.planes) for image in from_tiff(path).images] == [3, 3]
    assert not repair(path).findings
    assert validate(path).valid


def test_foreign_file_at_the_entry_path_is_refused(tmp_path: Path) -> None:
    """A dataset of this library is replaced with overwrite=True. A refusal leaves no files."""
    path = tmp_path / "run.ome.tiff"
    tifffile.imwrite(path, np.zeros((6, 8), "uint8"), ome=True)
    before = path.read_bytes()
    for overwrite, message in (
        (False, "run.ome.tiff exists. Choose"),
        (True, "is not the entry file of"),
    ):
        with pytest.raises(OutputExistsError, match=message):
            stream(path, overwrite=overwrite)
        assert (path.read_bytes(), [p.name for p in tmp_path.iterdir()]) == (before, [path.name])
    path.unlink()
    write(path, 1)
    with pytest.raises(OutputExistsError, match="run.ome.tiff exists. Choose"):
        stream(path)
    write(path, 2, overwrite=True)
    assert first_pixels(path) == [[1, 2], [3, 4]]


def test_overwrite_replaces_entry_file_and_set(tmp_path: Path) -> None:
    """An entry file without its set is replaced in any case."""
    path = tmp_path / "run.ome.tiff"
    write(path)
    with pytest.raises(OutputExistsError, match="exists. Choose another path"):
        stream(path)
    write(path, 3, overwrite=True)
    assert first_pixels(path) == [[1, 2], [3, 4], [5, 6]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.ome.tiff"]
    shutil.rmtree(tmp_path / "run")
    write(path)
    assert first_pixels(path) == [[1, 2], [3, 4]]


def test_entry_file_of_a_running_acquisition_is_not_overwritten(
    tmp_path: Path,
) -> None:
    """Not even with overwrite=True."""
    path = tmp_path / "run.ome.tiff"
    with stream(path) as out:
        with pytest.raises(OutputLockedError, match="run is being written"):
            stream(path, 1, overwrite=True)
        for n in range(4):
            out.append(np.full((6, 8), n + 1, "uint16"))
    assert first_pixels(path) == [[1, 2], [3, 4]]


def test_first_frame_inference_recreates_the_entry_file(tmp_path: Path) -> None:
    """An RGB first frame changes the layout."""
    path = tmp_path / "run.ome.tiff"
    with stream(path, dtype="uint8") as out:
        for n in range(4):
            out.append(np.full((6, 8, 3), n + 1, "uint8"))
    assert first_pixels(path) == [[1, 2], [3, 4]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.ome.tiff"]


def test_single_file_has_no_entry_file(tmp_path: Path) -> None:
    write(tmp_path / "one.ome.tiff", 1)
    write(tmp_path / "all.ome.tiff", 2, format={"name": "ome-tiff", "prefer_single_file": "always"})
    write(tmp_path / "bare", 2, format={"name": "ome-tiff", "suffix": ""})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.ome.tiff", "bare", "one.ome.tiff"]


def test_entry_file_of_a_plate(tmp_path: Path) -> None:
    wells = [Position(name=f"A{n}", plate_row="A", plate_column=str(n)) for n in (1, 2)]
    axes = [
        {"name": "p", "type": "position", "coords": wells},
        *dims_from_standard_axes({"y": 6, "x": 8}),
    ]
    path = tmp_path / "run.ome.tiff"
    plate = {"row_names": ["A"], "column_names": ["1", "2"]}
    create_stream(root_path=path, dimensions=axes, dtype="uint8", plate=plate).close()
    assert len(from_tiff(path).plates[0].wells) == 2
