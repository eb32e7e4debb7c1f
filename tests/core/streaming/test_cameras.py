"""Several cameras with different frames, specified in the settings or inferred from first frames."""

from __future__ import annotations

import json
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
    FrameShapeError,
    create_stream,
    validate,
)
from support.waiting import wait_until

tensorstore = pytest.importorskip("tensorstore", reason="the independent reader")
tifffile = pytest.importorskip("tifffile", reason="the independent reader")

SUFFIXES = pytest.mark.parametrize("suffix", ["zarr", "tiff"])
SMALL, LARGE = (8, 6), (10, 14)
UNLIKE = [Camera(name="A"), Camera(name="B", height=10, width=14, dtype="uint8", pixel_size=0.25)]


def settings(path: Path, suffix: str, coords: Any = None, **more: Any) -> AcquisitionSettings:
    """Return settings of two cameras, two channels and three time points."""
    fields: dict[str, Any] = {
        "root_path": path / f"x.ome.{suffix}",
        "dimensions": [
            Dimension(name="t", count=3),
            Dimension(name="c", coords=["DAPI", "FITC"]),
            Dimension(name="cam", count=2, type="other", coords=coords),
            Dimension(name="y", count=8, scale=0.5, unit="um"),
            Dimension(name="x", count=6, scale=0.5, unit="um"),
        ],
        "dtype": "uint16",
        **more,
    }
    return AcquisitionSettings(**fields)


def frames(second: tuple[int, ...] = LARGE, dtype: str = "uint8") -> list[np.ndarray]:
    """Return the frames of both cameras in acquisition order."""
    rng = np.random.default_rng(0)
    one = rng.integers(1, 200, (6, *SMALL)).astype("uint16")
    two = rng.integers(1, 200, (6, *second)).astype(dtype)
    return [frame for pair in zip(one, two, strict=True) for frame in pair]


def stored(path: Path, suffix: str) -> list[np.ndarray]:
    if suffix == "tiff":
        with tifffile.TiffFile(path / "x.ome.tiff") as tiff:
            return [series.asarray() for series in tiff.series]
    series = json.loads((path / "x.ome.zarr/OME/zarr.json").read_text())["attributes"]["ome"]
    found = []
    for group in series["series"]:
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": str(path / "x.ome.zarr" / group / "0")},
        }
        found.append(
            np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result())
        )
    return found


def check(path: Path, suffix: str, appended: list[np.ndarray]) -> None:
    """Assert that the dataset is valid, and has one image per camera with its frames."""
    images = stored(path, suffix)
    assert len(images) == 2
    for camera, image in enumerate(images):
        own = np.stack(appended[camera::2])
        assert image.dtype == own.dtype
        np.testing.assert_array_equal(image.reshape(own.shape), own)
    assert validate(path / f"x.ome.{suffix}").valid


@SUFFIXES
def test_different_cameras_have_separate_images(tmp_path: Path, suffix: str) -> None:
    """Cameras that differ in size, dtype or pixel size have one image each, named after the camera."""
    appended = frames()
    with create_stream(settings(tmp_path, suffix, UNLIKE)) as stream:
        for frame in appended:
            stream.append(frame)
        assert [(i.name, i.camera) for i in stream.plan.images] == [("A", "A"), ("B", "B")]
        assert [i.array.dimensions[-1].scale for i in stream.plan.images] == [0.5, 0.25]
    check(tmp_path, suffix, appended)


@SUFFIXES
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_unbounded_acquisition_with_different_cameras(
    tmp_path: Path, suffix: str, compression: str
) -> None:
    """Images of different size grow together; an incomplete acquisition is trimmed in both."""
    endless = settings(tmp_path, suffix, UNLIKE, compression=compression).dimensions
    dims = [Dimension(name="t", count=None), *endless[1:]]
    appended = frames()
    with create_stream(settings(tmp_path, suffix, dimensions=dims)) as stream:
        for frame in appended[:8]:
            stream.append(frame)
    check(tmp_path, suffix, appended[:8])


@SUFFIXES
def test_image_per_position_and_camera(tmp_path: Path, suffix: str) -> None:
    dims = [
        Dimension(name="p", coords=["here", "there"]),
        *settings(tmp_path, suffix, UNLIKE).dimensions[1:],
    ]
    with create_stream(settings(tmp_path, suffix, dimensions=dims)) as stream:
        for frame in frames()[:8]:
            stream.append(frame)
        names = [i.name for i in stream.plan.images]
    assert names == ["here / A", "here / B", "there / A", "there / B"]
    view = ome_writers.open(tmp_path / ("x" if suffix == "tiff" else "x.ome.zarr"))
    assert view.shape[-2:] == LARGE


def test_frame_of_another_camera_raises(tmp_path: Path) -> None:
    """Frames are checked per camera; after an error the stream is unchanged."""
    appended = frames()
    with create_stream(settings(tmp_path, "zarr", UNLIKE)) as stream:
        with pytest.raises(TypeError, match="dtype uint16, got uint8"):
            stream.append(appended[1])
        stream.append(appended[0])
        with pytest.raises(TypeError, match="dtype uint8, got uint16"):
            stream.append(appended[0])
        with stream.frame_buffer() as lent:
            assert (lent.shape, lent.dtype) == (LARGE, np.uint8)
            lent[...] = appended[1]
        for frame in appended[2:]:
            stream.append(frame)
    check(tmp_path, "zarr", appended)


@SUFFIXES
def test_view_covers_frames_of_all_cameras(tmp_path: Path, suffix: str) -> None:
    """Frame shape of the largest camera, and a dtype for the pixels of all, during and after the acquisition."""
    appended = frames()
    with create_stream(settings(tmp_path, suffix, UNLIKE)) as stream:
        view = stream.view()
        for frame in appended:
            stream.append(frame)
        assert (view.dims, view.shape, view.dtype) == (
            ("t", "c", "cam", "y", "x"),
            (3, 2, 2, *LARGE),
            np.uint16,
        )
        np.testing.assert_array_equal(view[1, 0, 0, :8, :6], appended[4])
        assert not view[1, 0, 0, 8:].any()
        np.testing.assert_array_equal(view[1, 0, 1], appended[5])
    if suffix == "zarr":
        again = ome_writers.open(tmp_path / "x.ome.zarr")
        np.testing.assert_array_equal(again, view)
        assert again.dtype == view.dtype


@SUFFIXES
def test_rgb_and_grayscale_camera(tmp_path: Path, suffix: str) -> None:
    cameras = [Camera(name="A"), Camera(name="B", dtype="uint8", rgb=True)]
    appended = frames((*SMALL, 3))
    with create_stream(settings(tmp_path, suffix, cameras)) as stream:
        view = stream.view()
        for frame in appended:
            stream.append(frame, frame_metadata={"delta_t": 1.0})
        assert view.shape == (3, 2, 2, *SMALL, 3)
        np.testing.assert_array_equal(view[2, 1, 1], appended[-1])
        np.testing.assert_array_equal(view[2, 1, 0], np.stack([appended[-2]] * 3, axis=-1))
        assert stream.stats().frames_accepted == 12
    assert stream.stats().frames_written == 12
    grey, colour = stored(tmp_path, suffix)
    np.testing.assert_array_equal(grey.reshape(6, *SMALL), appended[::2])
    if suffix == "zarr":
        assert colour.shape == (3, 6, *SMALL)
        colour = np.moveaxis(colour.reshape(6, 3, *SMALL), 1, -1)
    np.testing.assert_array_equal(colour.reshape(6, *SMALL, 3), appended[1::2])


def test_stats_count_frames_of_rgb_and_grayscale_cameras(tmp_path: Path) -> None:
    """Two frames of one camera complete a chunk and are on disk, the RGB frame of the other one is in memory."""
    cameras = [Camera(name="A"), Camera(name="B", rgb=True)]
    options = settings(tmp_path, "zarr", cameras, flush_interval=1000)
    time, *others = options.dimensions
    options.dimensions = [time.model_copy(update={"chunk_size": 2}), *others]
    with create_stream(options) as stream:
        for camera, t in ((0, 0), (1, 0), (0, 1)):
            frame = np.ones((*SMALL, 3) if camera else SMALL, "uint16")
            stream.append(frame, index={"t": t, "c": 0, "cam": camera})
        wait_until(lambda: stream.stats().frames_written >= 2)
        assert stream.stats().frames_written == 2
    assert stream.stats().frames_written == stream.stats().frames_accepted == 3


def test_cameras_with_equal_frames_share_an_image(tmp_path: Path) -> None:
    """They are channels of one image, whatever the frame size of the settings is."""
    cameras = [Camera(name=n, height=10, width=14, dtype="uint8") for n in "AB"]
    with create_stream(settings(tmp_path, "zarr", cameras)) as stream:
        (image,) = stream.plan.images
        assert (image.shape, image.array.dtype) == ((3, 4, *LARGE), "uint8")


@SUFFIXES
@pytest.mark.parametrize("second", [(LARGE, "uint8"), ((*SMALL, 3), "uint8"), (SMALL, "float32")])
def test_camera_properties_are_inferred_from_first_frames(
    tmp_path: Path, suffix: str, second: Any
) -> None:
    """Frames that were appended before the restart are replayed."""
    appended = frames(*second)
    with create_stream(settings(tmp_path, suffix)) as stream:
        view = stream.view()
        received: list[int] = []
        stream.on("coords_changed", lambda update: received.append(update.frame_number))
        stream.set_global_metadata("lab", {"who": "me"})
        for number, frame in enumerate(appended):
            stream.append(frame, frame_metadata={"n": number})
        assert len(stream.plan.images) == 2
        assert view.dims[:4] == ("t", "c", "cam", "y")
        np.testing.assert_array_equal(view, stream.view())
        part = (slice(appended[-1].shape[0]), slice(appended[-1].shape[1]))
        np.testing.assert_array_equal(view[2, 1, 1][part], appended[-1])
    assert received == list(range(12))
    images = stored(tmp_path, suffix)
    if second[0] == (*SMALL, 3) and suffix == "zarr":
        images[1] = np.moveaxis(images[1].reshape(6, 3, *SMALL), 1, -1)
    for camera, image in enumerate(images):
        own = np.stack(appended[camera::2])
        np.testing.assert_array_equal(image.reshape(own.shape), own)
    if suffix == "zarr":
        attributes = json.loads((tmp_path / "x.ome.zarr/0/zarr.json").read_text())["attributes"]
        assert [f["n"] for f in attributes["ome_writers"]["frame_metadata"]] == [0, 2, 4, 6, 8, 10]


@SUFFIXES
def test_partial_index_is_counted_across_the_restart(tmp_path: Path, suffix: str) -> None:
    """The omitted camera axis advances when the second camera's frame has the same index as the first one's."""
    appended = frames()
    with create_stream(settings(tmp_path, suffix)) as stream:
        for number, frame in enumerate(appended):
            stream.append(frame, index={"t": number // 4, "c": number // 2 % 2})
    check(tmp_path, suffix, appended)


def test_rejected_frame_before_restart_is_not_replayed(tmp_path: Path) -> None:
    appended = frames()
    with create_stream(settings(tmp_path, "zarr")) as stream:
        stream.append(appended[0])
        stream.skip()
        for frame in appended[2:]:
            stream.append(frame)
    first, second = stored(tmp_path, "zarr")
    np.testing.assert_array_equal(first.reshape(6, *SMALL), appended[::2])
    assert not second[0, 0].any()
    np.testing.assert_array_equal(second.reshape(6, *LARGE)[1:], appended[3::2])


def test_separate_image_keeps_equal_cameras_apart(tmp_path: Path) -> None:
    """Each image is as long as the frames of its camera."""
    alike = [Camera(name="slow", separate_image=True), Camera(name="fast")]
    dims = settings(tmp_path, "zarr", alike).dimensions
    unbounded = [Dimension(name="t", count=None), *dims[-3:]]
    with create_stream(settings(tmp_path, "zarr", dimensions=unbounded)) as stream:
        for t in range(6):
            if t % 3 == 0:
                stream.append(np.full(SMALL, t, "uint16"), index={"t": t // 3, "cam": 0})
            stream.append(np.full(SMALL, t, "uint16"), index={"t": t, "cam": 1})
    spec = ome_writers.read(stream.settings.output_path)
    assert [(i.name, i.levels[0].shape[0]) for i in spec.images] == [("slow", 2), ("fast", 6)]


def test_no_restart_after_every_camera_was_seen(tmp_path: Path) -> None:
    appended = frames()
    with create_stream(settings(tmp_path, "zarr")) as stream:
        for frame in appended[:2]:
            stream.append(frame)
        with pytest.raises((ValueError, TypeError)):
            stream.append(appended[1])
        stream.append(appended[2])
        assert stream.stats().frames_accepted == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "channel"}, "require type='other', got type='channel'"),
        ({"coords": [Camera(name="A"), Camera(name="A")]}, "Camera names must be unique"),
        ({"coords": [Camera(name="A"), 3.0]}, "May not mix Camera objects"),
    ],
)
def test_invalid_cameras_raise(fields: dict[str, Any], message: str) -> None:
    """A camera axis has type other, and camera names are unique."""
    with pytest.raises(ValueError, match=message):
        Dimension(**{"name": "cam", "coords": [Camera(name="A"), Camera(name="B")], **fields})


def test_settings_with_cameras_round_trip_through_json() -> None:
    before = settings(Path("x"), "zarr", UNLIKE)
    assert AcquisitionSettings.model_validate_json(before.model_dump_json()) == before


@SUFFIXES
@pytest.mark.parametrize("kind", ["time", "other", "space"])
def test_inserted_channel_axis_has_unique_name(tmp_path: Path, suffix: str, kind: Any) -> None:
    """With an acquisition axis named c, all frames of all cameras are stored."""
    called = Dimension(name="c", count=2, type=kind)
    cameras = Dimension(name="cam", count=2, type="other")
    frame = [Dimension(name="y", count=8), Dimension(name="x", count=6)]
    asked = settings(tmp_path, suffix, dimensions=[called, cameras, *frame])
    with create_stream(asked) as stream:
        for number in range(4):
            stream.append(np.full(SMALL, number + 1, "uint16"))
    images = (
        stored(tmp_path, "tiff") if suffix == "tiff" else [ome_writers.open(asked.output_path)[...]]
    )
    assert sorted(np.ravel([image[..., 0, 0] for image in images]).tolist()) == [1, 2, 3, 4]
    assert validate(asked.output_path).valid


def preset_channels(*names: str, group: str | None = "Look") -> list[Dimension]:
    coords = [Channel(name=name, group=group) for name in names]
    frame = [Dimension(name=axis, count=count) for axis, count in (("y", 8), ("x", 10))]
    return [Dimension(name="t", count=2), Dimension(name="c", coords=coords), *frame]


@SUFFIXES
def test_presets_of_different_frame_format_have_an_image_each(tmp_path: Path, suffix: str) -> None:
    """The first frame of a channel that stands for a preset may be of another camera."""
    path = tmp_path / f"x.ome.{suffix}"
    shapes = [(8, 10), (4, 6), (8, 10), (4, 8)]
    dimensions = preset_channels("a", "b", "c", "d")
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        for number in range(8):
            stream.append(np.full(shapes[number % 4], number + 1, np.uint16))
    images = ome_writers.read(path).images
    assert [image.shape[-2:] for image in images] == [(8, 10), (4, 6), (4, 8)]
    view = ome_writers.open(path)
    assert view.dims == ("t", "c", "cam", "y", "x")
    for number, camera in enumerate((0, 1, 0, 2) * 2):
        t, c = divmod(number, 4)
        height, width = shapes[c]
        assert (view[t, c, camera, :height, :width] == number + 1).all()


def test_wrong_shape_of_a_plain_channel_is_refused(tmp_path: Path) -> None:
    dimensions = preset_channels("a", "b", group=None)
    with create_stream(
        root_path=tmp_path / "x.ome.zarr", dimensions=dimensions, dtype="uint16"
    ) as stream:
        stream.append(np.ones((8, 10), np.uint16))
        with pytest.raises(FrameShapeError):
            stream.append(np.ones((4, 6), np.uint16))
