"""Views of datasets on disk: coordinates, units, resolution levels, dask, xarray and pickle."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Camera,
    Channel,
    Dimension,
    OMEStream,
    Plate,
    Position,
    Pyramid,
    UnsupportedError,
    create_stream,
)
from ome_writers.errors import InvalidFileError
from ome_writers.formats.omezarr.pixels import open_array
from support.preloaded import preloaded_context

DATA = Path(__file__).parents[2] / "data"
PYRAMIDS = ("ngff-zarr-0.50.ome.zarr", "ome-zarr-py-0.21.ome.zarr")
SUFFIXES = (".ome.zarr", ".ome.tiff")
SHAPE = (2, 3, 2, 4, 6, 8)


def frame(number: int) -> np.ndarray:
    """Return a frame that contains its number."""
    return np.full(SHAPE[-2:], number, np.uint16)


def plate_stream(folder: Path, suffix: str, **more: Any) -> OMEStream:
    """Create a stream of two time points, three fields in two wells, two channels and four planes."""
    if suffix == ".ome.tiff":
        pytest.importorskip("tifffile", reason="the reader of OME-TIFF")
    fields = [("A", "1", "f0"), ("A", "1", "f1"), ("B", "2", "f0")]
    dimensions = [
        Dimension(name="t", count=2, scale=0.5, unit="second"),
        Dimension(
            name="p",
            coords=[Position(name=f, plate_row=r, plate_column=c) for r, c, f in fields],
        ),
        Dimension(name="c", coords=[Channel(name="DAPI", color="blue"), Channel(name="FITC")]),
        Dimension(name="z", count=4, scale=1.5, translation=-3.0, unit="micrometer"),
        Dimension(name="y", count=6, scale=0.65, unit="micrometer"),
        Dimension(name="x", count=8),
    ]
    return create_stream(
        AcquisitionSettings(
            root_path=folder / f"run{suffix}",
            dimensions=dimensions,
            dtype="uint16",
            plate=Plate.from_standard_wells(6),
            **more,
        )
    )


def written_plate(folder: Path, suffix: str) -> Path:
    """Write a whole plate; return its path."""
    with plate_stream(folder, suffix) as stream:
        for number in range(48):
            stream.append(frame(number))
    return Path(stream.settings.output_path)


EXPECTED_COORDS = {
    "t": [0.0, 0.5],
    "p": ["A1/f0", "A1/f1", "B2/f0"],
    "c": ["DAPI", "FITC"],
    "z": [-3.0, -1.5, 0.0, 1.5],
    "y": pytest.approx([0.65 * i for i in range(6)]),
    "x": range(8),
}
EXPECTED_UNITS = {"t": "second", "z": "micrometer", "y": "micrometer"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_coords_and_units_of_stream_and_stored_views_are_equal(tmp_path: Path, suffix: str) -> None:
    with plate_stream(tmp_path, suffix) as stream:
        for number in range(48):
            stream.append(frame(number))
        assert stream.view().coords == EXPECTED_COORDS
        assert stream.view().units == EXPECTED_UNITS
    view = ome_writers.open(stream.settings.output_path)
    assert view.dims == ("t", "p", "c", "z", "y", "x")
    assert view.coords == EXPECTED_COORDS
    assert view.units == EXPECTED_UNITS
    assert np.array_equal(view[..., 0, 0].ravel(), np.arange(48))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_coords_of_a_growing_dataset(tmp_path: Path, suffix: str) -> None:
    if suffix == ".ome.tiff":
        pytest.importorskip("tifffile", reason="the reader of OME-TIFF")
    settings = AcquisitionSettings(
        root_path=tmp_path / f"run{suffix}",
        dimensions=[
            Dimension(name="t", count=None, scale=2.0, translation=10.0, unit="second"),
            Dimension(name="c", coords=["DAPI", "FITC"]),
            Dimension(name="y", count=6),
            Dimension(name="x", count=8),
        ],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        stream.append(frame(1))
        stream.flush()
        view = ome_writers.open(settings.output_path)
        for number in range(2, 9):
            stream.append(frame(number))
            stream.flush()
            times = -(-number // 2)
            assert view.coords["t"] == [10.0 + 2.0 * i for i in range(times)]
            assert view[..., 0, 0].ravel()[:number].tolist() == list(range(1, number + 1))
    assert view.coords["c"] == ["DAPI", "FITC"]
    assert view.summary().state == "complete"


def test_explicit_numbers_are_coordinates(tmp_path: Path) -> None:
    dims = [Dimension(name="z", coords=[0.0, 0.5, 2.0], unit="micrometer")]
    dims += [Dimension(name="y", count=6), Dimension(name="x", count=8)]
    settings = AcquisitionSettings(
        root_path=tmp_path / "run.ome.zarr", dimensions=dims, dtype="uint16"
    )
    with create_stream(settings) as stream:
        for number in range(3):
            stream.append(frame(number))
    view = ome_writers.open(settings.output_path)
    assert view.coords["z"] == [0.0, 0.5, 2.0]
    assert view.units == {"z": "micrometer"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_xarray_has_name_coords_units_and_attributes(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("xarray", reason="converts to xarray")
    path = written_plate(tmp_path, suffix)
    array = ome_writers.open(path).to_xarray()
    assert array.name == "run"
    assert {dim: list(values.values) for dim, values in array.coords.items()} == {
        dim: list(values) if isinstance(values, (list, range)) else values
        for dim, values in EXPECTED_COORDS.items()
    }
    assert {dim: c.attrs["units"] for dim, c in array.coords.items() if c.attrs} == EXPECTED_UNITS
    assert array.attrs == {"path": str(path), "channel_colors": ["#0000ff", "#00ff00"]}
    assert array.sel(p="B2/f0", c="FITC", z=0.0, t=0.5).max() == 46


def test_xarray_has_pixel_size(tmp_path: Path) -> None:
    pytest.importorskip("xarray", reason="converts to xarray")
    array = ome_writers.open(DATA / PYRAMIDS[0]).to_xarray()
    assert array.attrs["pixel_size"] == [0.5, 0.5]
    assert array.attrs["pixel_size_unit"] == "micrometer"


@pytest.mark.parametrize("name", PYRAMIDS)
def test_levels_of_pyramids_of_other_writers(name: str) -> None:
    """OME-Zarr 0.6 opens, too; a level has its own shape, scale and translation."""
    spec = ome_writers.read(DATA / name)
    full = ome_writers.open(DATA / name)
    (image,) = spec.images
    assert len(image.levels) == 2
    for number, level in enumerate(image.levels):
        view = ome_writers.open(DATA / name, level=number)
        assert view.dims == full.dims == image.dims
        assert view.shape == level.shape
        i = image.dims.index("x")
        scale = level.scale[i]
        assert scale is not None
        expected = [level.translation[i] + scale * n for n in range(level.shape[i])]
        assert view.coords["x"] == pytest.approx(expected)
    assert np.array_equal(full, np.arange(2 * 3 * 8 * 8).reshape(2, 3, 8, 8))
    with pytest.raises(UnsupportedError, match=r"level 2\. Its levels are: 0 .* pixels\), 1 \("):
        ome_writers.open(DATA / name, level=2)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_level_is_refused_with_the_levels_there_are(tmp_path: Path, suffix: str) -> None:
    path = written_plate(tmp_path, suffix)
    with pytest.raises(UnsupportedError, match=r"level 1\. Its levels are: 0 \(6 x 8 pixels\)\."):
        ome_writers.open(path, level=1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_stored_view_is_pickled_as_its_path(tmp_path: Path, suffix: str) -> None:
    view = ome_writers.open(written_plate(tmp_path, suffix), remember=2**20)
    content = pickle.dumps(view)
    assert len(content) < 1000
    copy = pickle.loads(content)
    assert copy.coords == view.coords
    assert np.array_equal(copy, view)


def test_view_of_a_stream_refuses_to_be_pickled(tmp_path: Path) -> None:
    with (
        plate_stream(tmp_path, ".ome.zarr") as stream,
        pytest.raises(TypeError, match=r"run.ome.zarr .* Pickle ome_writers.open\(path\)"),
    ):
        pickle.dumps(stream.view())


def sharded(folder: Path) -> Path:
    """Write 20 time points in five shards of four chunks."""
    settings = AcquisitionSettings(
        root_path=folder / "run.ome.zarr",
        dimensions=[
            Dimension(name="t", count=20, type="time", chunk_size=1, shard_size_chunks=4),
            Dimension(name="y", count=6),
            Dimension(name="x", count=8),
        ],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        for number in range(20):
            stream.append(frame(number))
    return Path(settings.output_path)


def test_dask_has_one_task_per_shard(tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="converts to dask")
    view = ome_writers.open(sharded(tmp_path))
    lazy = view.to_dask()
    assert lazy.chunks == ((4,) * 5, (6,), (8,))
    assert len(dict(lazy.__dask_graph__())) == 5
    assert lazy.max().compute(scheduler="threads") == 19
    assert np.array_equal(lazy.compute(scheduler="threads"), view)


def test_dask_chunks_can_be_chosen(tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="converts to dask")
    view = ome_writers.open(sharded(tmp_path))
    assert view.to_dask(chunks={"t": -1}).chunks == ((20,), (6,), (8,))
    assert view.to_dask(chunks={"t": 8, "y": 3}).chunks == ((8, 8, 4), (3, 3), (8,))
    assert view.to_dask(chunks=(10, 6, 4)).chunks == ((10, 10), (6,), (4, 4))
    assert np.array_equal(view.to_dask(chunks=(10, 6, 4)).compute(), view)
    with pytest.raises(ValueError, match=r"chunks names \['q'\], but the axes are t, y, x"):
        view.to_dask(chunks={"q": 1})


def test_dask_computes_in_other_processes(tmp_path: Path) -> None:
    dask = pytest.importorskip("dask", reason="converts to dask")
    lazy = ome_writers.open(sharded(tmp_path)).to_dask()
    method = preloaded_context().get_start_method()
    with dask.config.set({"multiprocessing.context": method}):
        assert lazy.max().compute(scheduler="processes", num_workers=2) == 19


def test_distributed_computes_a_maximum(tmp_path: Path) -> None:
    """In four processes, each of which opens the dataset; a task reads a whole shard."""
    distributed = pytest.importorskip(
        "distributed", reason="views on a cluster of four processes: distributed is not installed"
    )
    view = ome_writers.open(sharded(tmp_path))
    lazy = view.to_dask()
    assert lazy.chunksize == (4, 6, 8)
    with (
        distributed.LocalCluster(
            n_workers=4, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert lazy.max().compute() == np.asarray(view).max() == 19
        largest = client.compute(lazy.map_blocks(np.max, keepdims=True)).result()
        assert largest.ravel().tolist() == [3, 7, 11, 15, 19]  # five tasks, one for each shard


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
@pytest.mark.parametrize("own_images", [False, True])
def test_levels_have_the_axes_of_the_acquisition(
    tmp_path: Path, suffix: str, own_images: bool
) -> None:
    """Cameras share the axis of the channels, or have images of their own."""
    path = tmp_path / f"run{suffix}"
    cameras = [Camera(name="a"), Camera(name="b", height=9) if own_images else Camera(name="b")]
    dimensions = [
        Dimension(name="t", count=3),
        Dimension(name="cam", coords=cameras),
        Dimension(name="c", count=2),
        Dimension(name="y", count=20, scale=0.5, unit="micrometer"),
        Dimension(name="x", count=30, scale=0.5, unit="micrometer"),
    ]
    rng = np.random.default_rng(0)
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", pyramid=Pyramid(levels=2)
    ) as stream:
        for _, camera, _ in np.ndindex(3, 2, 2):
            height = cameras[camera].height or 20
            stream.append(rng.integers(1, 999, (height, 30)).astype("uint16"))
        expected = [np.asarray(stream.view(level=k)) for k in range(3)]
    for k in range(3):
        view = ome_writers.open(path, level=k)
        assert view.dims == ("t", "cam", "c", "y", "x")
        np.testing.assert_array_equal(view, expected[k])
    assert ome_writers.open(path, level=1).coords["x"][:2] == [0.25, 1.25]


def test_levels_that_were_added_later_have_the_axes_of_the_acquisition(tmp_path: Path) -> None:
    """The settings in the dataset do not mention them. Cameras share the axis of the channels."""
    path = tmp_path / "run.ome.zarr"
    dimensions = [
        Dimension(name="t", count=3),
        Dimension(name="cam", coords=[Camera(name="a"), Camera(name="b")]),
        Dimension(name="c", count=2),
        Dimension(name="y", count=20),
        Dimension(name="x", count=30),
    ]
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", pyramid=Pyramid(levels=1)
    ) as stream:
        for number in range(12):
            stream.append(np.full((20, 30), number, np.uint16))
    group = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    del group["attributes"]["ome_writers"]["settings"]["pyramid"]
    (path / "zarr.json").write_text(json.dumps(group), encoding="utf-8")
    view = ome_writers.open(path, level=1)
    assert view.dims == ("t", "cam", "c", "y", "x")
    assert np.array_equal(view[..., 0, 0].ravel(), range(12))
    assert view.shape == (3, 2, 2, 10, 15)


def test_extents_of_a_level_of_a_stream(tmp_path: Path) -> None:
    dimensions = [
        Dimension(name="t", count=None, type="time"),
        Dimension(name="z", count=5, type="space"),
        Dimension(name="y", count=8),
        Dimension(name="x", count=8),
    ]
    pyramid = Pyramid(levels=1, axes=("z", "y", "x"))
    with create_stream(
        root_path=tmp_path / "run.ome.zarr", dimensions=dimensions, dtype="uint16", pyramid=pyramid
    ) as stream:
        for number in range(8):
            stream.append(np.full((8, 8), number, np.uint16))
        assert stream.extents() == {"t": 2, "z": 5}
        assert stream.extents(level=1) == {"t": 2, "z": 3}
        assert stream.view(level=1).shape == (2, 3, 4, 4)


def test_two_axes_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    zarr = pytest.importorskip("zarr", reason="writes a dataset of another program")
    axes = [{"name": "z", "type": "space"}, *({"name": n, "type": "space"} for n in "zyx")]
    scale = [{"type": "scale", "scale": [1.0] * 4}]
    multiscale = {
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    ome = {"version": "0.5", "multiscales": [multiscale]}
    group = zarr.create_group(path, attributes={"ome": ome})
    group.create_array("0", shape=(2, 3, 4, 5), dtype="uint8")
    with pytest.raises(InvalidFileError, match="axes of its images must be distinct .* z, z, y, x"):
        ome_writers.open(path)


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize(("chunk", "shard"), [(None, None), (None, 2), (8, None)])
def test_plane_is_read_into_the_memory_of_an_earlier_one(
    tmp_path: Path, compression: Any, chunk: int | None, shard: int | None
) -> None:
    path = tmp_path / "run.ome.zarr"
    dimensions = [
        Dimension(name="t", count=3, shard_size_chunks=shard),
        Dimension(name="y", count=20, chunk_size=chunk),
        Dimension(name="x", count=12),
    ]
    frames = np.arange(2 * 20 * 12, dtype="uint16").reshape(2, 20, 12)
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", compression=compression
    ) as stream:
        for frame in frames:
            stream.append(frame)
        stream.skip()
    array = open_array(path, "0", 0)
    first = array.read((1,))
    np.testing.assert_array_equal(first, frames[1])
    for t, expected in enumerate([*frames, np.zeros((20, 12))]):
        assert array.read((t,), first) is first
        np.testing.assert_array_equal(first, expected)


def test_frame_of_a_closed_dataset_needs_only_the_metadata_of_its_image(tmp_path: Path) -> None:
    """So that the time of an access does not depend on the number of images."""
    path = written_plate(tmp_path, ".ome.zarr")
    view = ome_writers.open(path)
    (path / "B/2/f0/0/zarr.json").write_text("not JSON")
    assert view[1, 1, 0, 0].max() == 4 * 2 * (3 + 1)
    with pytest.raises(InvalidFileError):
        view[1, 2, 0, 0]
