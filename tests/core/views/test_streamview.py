"""Views of a stream, live and after close."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Channel,
    Dimension,
    OMEStream,
    OmeZarrFormat,
    Schedule,
    create_stream,
)

TYPES = {"t": "time", "c": "channel", "z": "space", "p": "position", "y": "space", "x": "space"}
SIZES = {"t": 3, "c": 2, "z": 2, "p": 2, "cam": 2, "y": 6, "x": 7}


def dimensions(order: str | list[str], **sizes: int | None) -> list[Dimension]:
    """Return dimensions in this order, followed by y and x."""
    counts = {**SIZES, **sizes}
    return [
        Dimension(name=name, count=counts[name], type=TYPES.get(name, "other"))  # type: ignore[arg-type]  # a literal
        for name in [*order, "y", "x"]
    ]


def open_stream(path: Path, dims: list[Dimension], **more: Any) -> OMEStream:
    """Create a small uint16 stream."""
    more.setdefault("format", OmeZarrFormat(backend="direct"))
    return create_stream(
        AcquisitionSettings(root_path=path / "x.ome.zarr", dimensions=dims, dtype="uint16", **more)
    )


def frame(number: int, shape: tuple[int, ...] = (6, 7)) -> np.ndarray:
    """Return a frame that is different for each number."""
    return (
        np.full(shape, number + 1, np.uint16) * 16
        + np.arange(shape[1], dtype=np.uint16)[(slice(None), *(None,) * (len(shape) - 2))]
    )


@pytest.mark.parametrize("order", ["t", "tc", "tpcz", "ptcz", "zct", "ctpz"])
@pytest.mark.parametrize("storage", ["ome", "acquisition"])
def test_view_is_in_acquisition_order_for_any_storage_order(
    tmp_path: Path, order: str, storage: Any
) -> None:
    stream = open_stream(tmp_path, dimensions(order), storage_order=storage)
    total = stream.plan.frames or 0
    expected = np.stack([frame(n) for n in range(total)])
    expected = expected.reshape(*(SIZES[name] for name in order), 6, 7)
    with stream:
        for number in range(total):
            stream.append(frame(number))
        view = stream.view()
        assert view.dims == (*order, "y", "x")
        assert np.array_equal(view, expected)
    assert np.array_equal(view, expected)


def test_dynamic_shape_grows_with_frames(tmp_path: Path) -> None:
    with open_stream(tmp_path, dimensions("tpc")) as stream:
        view, whole = stream.view(), stream.view(dynamic_shape=False)
        shapes = [view.shape]
        for number in range(12):
            stream.append(frame(number))
            shapes.append(view.shape)
        assert [s[:3] for s in shapes] == [
            (0, 0, 0), (1, 1, 1), (1, 1, 2), (1, 2, 2), (1, 2, 2), *[(2, 2, 2)] * 4, *[(3, 2, 2)] * 4
        ]  # fmt: skip
        assert whole.shape == (3, 2, 2, 6, 7)


def test_unbounded_axis_grows(tmp_path: Path) -> None:
    """With and without dynamic_shape, also after close."""
    stream = open_stream(tmp_path, dimensions("tc", t=None))
    with stream:
        views = [stream.view(dynamic_shape=dynamic) for dynamic in (True, False)]
        assert [v.shape[0] for v in views] == [0, 0]
        for number in range(7):
            stream.append(frame(number))
        assert [v.shape for v in views] == [(4, 2, 6, 7)] * 2
    assert [v.shape for v in views] == [(4, 2, 6, 7)] * 2
    assert views[0][:, :, 0, 0].ravel().tolist() == [*(16 * (n + 1) for n in range(7)), 0]


def test_skipped_frames_read_as_zero(tmp_path: Path) -> None:
    with open_stream(tmp_path, dimensions("t", t=5)) as stream:
        view = stream.view(dynamic_shape=False)
        stream.append(frame(0))
        stream.skip(frames=2)
        stream.append(frame(3))
        assert view[:, 0, 0].tolist() == [16, 0, 0, 64, 0]
        assert len(stream.view()) == 4


def test_append_with_index_extends_view(tmp_path: Path) -> None:
    with open_stream(tmp_path, dimensions("tc")) as stream:
        view = stream.view()
        stream.append(frame(3), index={"t": 1, "c": 1})
        assert view.shape == (2, 2, 6, 7)
        assert view[:, :, 0, 0].tolist() == [[0, 0], [0, 64]]


def test_camera_and_custom_axes_are_axes_of_view(tmp_path: Path) -> None:
    """Cameras are stored as channels, custom axes as images."""
    dims = dimensions(["t", "angle", "c", "cam"], angle=3)
    stream = open_stream(tmp_path, dims)
    total = 3 * 3 * 2 * 2
    with stream:
        view = stream.view()
        for number in range(total):
            stream.append(frame(number))
        assert view.dims == ("t", "angle", "c", "cam", "y", "x")
        expected = 16 * (1 + np.arange(total).reshape(3, 3, 2, 2))
        assert np.array_equal(view[..., 0, 0], expected)


def test_ragged_acquisition_reads_zero_outside(tmp_path: Path) -> None:
    schedule = Schedule(("p", "c"), [[0, 0], [1, 0], [1, 1]])
    with open_stream(tmp_path, dimensions("pc"), schedule=schedule) as stream:
        view = stream.view()
        for number in range(3):
            stream.append(frame(number))
        assert view[..., 0, 0].tolist() == [[16, 0], [32, 48]]


def test_rgb_frames_have_sample_axis(tmp_path: Path) -> None:
    with open_stream(tmp_path, dimensions("tc"), rgb=True) as stream:
        view = stream.view()
        frames = [np.random.default_rng(n).integers(0, 99, (6, 7, 3), np.uint16) for n in range(6)]
        for one in frames:
            stream.append(one)
        assert view.dims == ("t", "c", "y", "x", "s")
        assert view.shape == (3, 2, 6, 7, 3)
        assert np.array_equal(view, np.stack(frames).reshape(3, 2, 6, 7, 3))
        assert np.array_equal(view[2, 1, ..., 1], frames[5][..., 1])


def test_coords_grow_with_frames(tmp_path: Path) -> None:
    dims = [
        Dimension(name="t", count=2, type="time", scale=3.0, translation=1.0),
        Dimension(name="place", type="position", coords=["left", "right"]),
        Dimension(name="c", type="channel", coords=["DAPI", Channel(name="FITC")]),
        *dimensions("")
    ]  # fmt: skip
    with open_stream(tmp_path, dims) as stream:
        view = stream.view()
        assert dict(view.coords) == {
            "t": [], "p": [], "c": [], "y": range(6), "x": range(7)
        }  # fmt: skip
        for number in range(3):
            stream.append(frame(number))
        assert dict(view.coords) == {
            "t": [1.0], "p": ["left", "right"], "c": ["DAPI", "FITC"], "y": range(6), "x": range(7)
        }  # fmt: skip


KEYS = [
    0, -1, (1, 1), (slice(None), 1), (..., 3), (slice(1, 3), slice(0, 1)), (..., slice(1, 5, 2), slice(None, None, -1)),
    (slice(None, None, -1), 0), (-1, -1, -1, -1), np.int32(2), (1, ..., 2, 3),
    (slice(2, 0, -1), ..., slice(-3, None)), ...,
    (slice(5, 1),), (0, ..., slice(3, 3), 0),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_equals_numpy(tmp_path: Path, key: Any) -> None:
    with open_stream(tmp_path, dimensions("tc")) as stream:
        for number in range(6):
            stream.append(frame(number))
        view = stream.view()
        expected = np.stack([frame(n) for n in range(6)]).reshape(3, 2, 6, 7)[key]
        assert view[key].shape == expected.shape
        assert np.array_equal(view[key], expected)


def test_iteration_ends_at_extent_reached(tmp_path: Path) -> None:
    with open_stream(tmp_path, dimensions("t", t=None)) as stream:
        for number in range(3):
            stream.append(frame(number))
        assert [plane[0, 0] for plane in stream.view()] == [16, 32, 48]


def test_slice_of_unwritten_frame_reads_as_zero(tmp_path: Path) -> None:
    """Viewers read ``slice(i, i + 1)`` before frame i is appended, on bounded and unbounded axes."""
    for count in (5, None):
        with open_stream(tmp_path / str(count), dimensions("t", t=count)) as stream:
            for strict in (False, True):
                view = stream.view(strict=strict)
                assert view[slice(3, 4), :, :].shape == (1, 6, 7)
                assert not view[slice(3, 4)].any()


def test_strict_refuses_integer_outside_of_shape(tmp_path: Path) -> None:
    with open_stream(tmp_path, dimensions("t")) as stream:
        stream.append(frame(0))
        assert not stream.view()[1].any()
        with pytest.raises(IndexError, match="index 1 is out of bounds for axis 't' with size 1"):
            stream.view(strict=True)[1]
        with pytest.raises(IndexError, match="out of bounds"):
            stream.view()[3]


def test_indexing_reads_only_selected_frames(tmp_path: Path) -> None:
    with open_stream(tmp_path, dimensions("tc")) as stream:
        for number in range(6):
            stream.append(frame(number))
        reads: list[tuple[int, ...]] = []
        read = stream.read

        class Counting:
            plan = stream.plan
            extents = staticmethod(stream.extents)
            on = staticmethod(stream.on)
            has_frame = staticmethod(stream.has_frame)

            @staticmethod
            def read(image: int, index: tuple[int, ...], *rest: Any) -> np.ndarray:
                reads.append(index)
                return read(image, index, *rest)

        view = type(stream.view()).of(Counting())
        view[1:3, 0, 2:4]
        assert reads == [(1, 0), (2, 0)]


def test_conversion_to_numpy(tmp_path: Path) -> None:
    with open_stream(tmp_path, dimensions("t")) as stream:
        stream.append(frame(0))
        view = stream.view()
        assert np.asarray(view, dtype=np.float32).dtype == np.float32
        with pytest.raises(ValueError, match="copy=False is not possible"):
            view.__array__(copy=False)
        path = str(tmp_path / "x.ome.zarr")
        expected = f"<StreamView {path!r} open, 1 of 3 frames, (t: 1, y: 6, x: 7) uint16>"
        assert repr(view) == expected


def test_conversion_to_dask_and_xarray(tmp_path: Path) -> None:
    """Both are lazy, have one chunk per frame, and keep the shape of the moment of conversion."""
    dask_array = pytest.importorskip("dask.array")
    xarray = pytest.importorskip("xarray")
    with open_stream(tmp_path, dimensions("tc")) as stream:
        for number in range(4):
            stream.append(frame(number))
        view = stream.view()
        lazy, labelled = view.to_dask(), view.to_xarray()
        expected = np.asarray(view)
        stream.append(frame(4))
    assert isinstance(lazy, dask_array.Array)
    assert lazy.chunks == ((1, 1), (1, 1), (6,), (7,))
    assert isinstance(labelled, xarray.DataArray)
    assert labelled.dims == ("t", "c", "y", "x")
    assert np.array_equal(lazy.compute(scheduler="synchronous"), expected)
    assert np.array_equal(labelled.sel(t=1, c=0).values, expected[1, 0])


def test_frames_are_correct_while_chunks_and_shards_are_incomplete(tmp_path: Path) -> None:
    dims = [
        Dimension(name="t", count=9, type="time", chunk_size=4, shard_size_chunks=2),
        Dimension(name="y", count=20, type="space", chunk_size=8),
        Dimension(name="x", count=22, type="space", chunk_size=8),
    ]
    for compression in ("none", "blosc-zstd"):
        with open_stream(tmp_path / compression, dims, compression=compression) as stream:
            view = stream.view()
            for number, flush in zip(range(9), itertools.cycle([False, False, True]), strict=False):
                stream.append(frame(number, (20, 22)))
                if flush:
                    stream.flush()
                for back in range(number + 1):
                    assert np.array_equal(view[back], frame(back, (20, 22)))


def named_stream(path: Path) -> OMEStream:
    dims = [
        Dimension(name="t", count=3, type="time"),
        Dimension(name="p", type="position", coords=["left", "right"]),
        Dimension(name="c", type="channel", coords=["DAPI", Channel(name="FITC")]),
        *dimensions([]),
    ]
    return open_stream(path, dims)


def test_view_is_indexed_by_names_and_lists(tmp_path: Path) -> None:
    """Of a live view also by the name of a channel that has no frame yet."""
    with named_stream(tmp_path) as stream:
        live = stream.view()
        assert not live["FITC"].any()
        for n in range(12):
            stream.append(frame(n))
    view = ome_writers.open(stream.settings.output_path)
    pixels = np.asarray(view)
    for each in (view, live):
        np.testing.assert_array_equal(each["FITC"], pixels[:, :, 1])
        np.testing.assert_array_equal(each["right"], pixels[:, 1])
        np.testing.assert_array_equal(each[2, "right", ["FITC", "DAPI"]], pixels[2, 1, [1, 0]])
        np.testing.assert_array_equal(each[:, [1, 0], 0], pixels[:, [1, 0], 0])
        np.testing.assert_array_equal(each[[0, 2], :, "DAPI", 1], pixels[[0, 2]][:, :, 0, 1])
        np.testing.assert_array_equal(each[0, ..., 2, [5, 1]], pixels[0, ..., 2, :][..., [5, 1]])
    with pytest.raises(IndexError, match="Did you mean 'FITC'"):
        view["FITCC"]


def test_reductions_equal_those_of_numpy(tmp_path: Path) -> None:
    with named_stream(tmp_path) as stream:
        for n in range(11):
            stream.append(frame(n))
    view = ome_writers.open(stream.settings.output_path)
    pixels = np.asarray(view)
    assert view.size == pixels.size
    for method in ("max", "min", "sum", "mean"):
        for axis in (None, 0, -1, (1, 4), (0, 1, 2), (3, 4)):
            expected = getattr(pixels, method)(axis=axis)
            found = getattr(view, method)(axis=axis)
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected)
        np.testing.assert_allclose(
            getattr(np, method)(view, axis=0), getattr(pixels, method)(axis=0)
        )
    np.testing.assert_array_equal(view.max(axis=("t", "p")), pixels.max(axis=(0, 1)))
    assert view.sum(axis="t", dtype="uint8", keepdims=True).shape == (1, *pixels.shape[1:])
    assert view.max(initial=60_000) == 60_000
    with pytest.raises(ValueError, match="axis 'z' does not exist; the axes are t, p, c, y, x"):
        view.max(axis="z")
    with pytest.raises(ValueError, match="axis 5 is out of bounds"):
        view.max(axis=5)


@pytest.mark.parametrize("library", ["dask", "xarray"])
def test_missing_library_is_named(
    tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with named_stream(tmp_path) as stream:
        view = stream.view()
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ImportError, match=rf"to_{library}\(\) needs {library}.*pip install"):
            getattr(view, f"to_{library}")()
