"""Conversion of datasets of this library; other libraries read the result."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import tifffile
from ome_types import from_tiff

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OutputExistsError,
    OutputLockedError,
    Plate,
    Pyramid,
    Schedule,
    SettingsError,
    UnsupportedError,
    convert,
    create_stream,
    dims_from_standard_axes,
    read_frame_metadata,
    validate,
)
from ome_writers.repair import repair
from ome_writers_tools.cli.description import parse_time
from support.acquisitions import IMAGES, LAYOUTS, acquisition
from support.interrupted import write_and_kill


def write(settings: AcquisitionSettings, frames: int | None = None) -> Path:
    """Write a dataset in which frame n has the value n + 1, and return its path."""
    count = settings.num_frames if frames is None else frames
    shape = tuple(n or 0 for n in settings.shape[-2:]) + ((3,) if settings.rgb else ())
    with create_stream(settings) as stream:
        stream.set_global_metadata("lab", {"room": 7})
        for number in range(count or 0):
            facts = {"delta_t": number / 4, "position_z": 1.5, "note": f"frame {number}"}
            stream.append(np.full(shape, number + 1, settings.dtype), frame_metadata=facts)
    return Path(settings.output_path)


def arrays(path: Path, images: list[str]) -> list[np.ndarray[Any, Any]]:
    """Read the images of an OME-Zarr with tensorstore."""
    found = []
    for image in images:
        store = {"driver": "file", "path": str(path / image / "0")}
        array = tensorstore.open({"driver": "zarr3", "kvstore": store}, open=True).result()
        found.append(np.asarray(array.read().result()))
    return found


def group_attributes(path: Path, group: str = "") -> dict[str, Any]:
    """Return the attributes of a group."""
    attributes: dict[str, Any] = json.loads((path / group / "zarr.json").read_bytes())["attributes"]
    return attributes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_zarr_to_tiff(layout: str, tmp_path: Path) -> None:
    """Tifffile and ome-types read pixels, names, sizes, channels, positions, plate and frame metadata."""
    source = write(acquisition(layout, tmp_path / "a.ome.zarr"))
    done = convert(source, tmp_path / "b.ome.tiff", verify=True)
    images = len(IMAGES[layout])
    assert (done.images, done.frames, done.empty) == (images, 6 * images, 0)
    files = (
        sorted(done.destination.glob("*.tiff")) if done.destination.is_dir() else [done.destination]
    )
    with tifffile.TiffFile(files[0]) as file:
        found = [series.asarray() for series in file.series]
    for one, right in zip(found, arrays(source, IMAGES[layout]), strict=True):
        assert np.array_equal(one, right)
    ome = from_tiff(files[0])
    pixels = ome.images[0].pixels
    assert (pixels.physical_size_x, pixels.time_increment) == (0.5, 2.0)
    assert [c.name for c in pixels.channels] == ["DAPI", "BF"]
    assert pixels.channels[0].color.as_named() == "blue"
    assert {plane.position_z for plane in pixels.planes} == {1.5}
    assert len(ome.plates) == (layout == "plate")
    if layout != "single":
        assert ome.images[0].name == ("left" if layout == "collection" else "left_0_0")
    if layout == "collection":
        assert ome.images[0].stage_label.x == 10.0


def test_field_paths_are_read_from_well_metadata(tmp_path: Path) -> None:
    """By views, convert, validate and repair."""
    source = write(acquisition("plate", tmp_path / "a.ome.zarr"))
    expected = arrays(source, IMAGES["plate"])
    (source / "A/1/1").rename(source / "A/1/left_0_1")  # as earlier versions named it
    well = json.loads((source / "A/1/zarr.json").read_bytes())
    well["attributes"]["ome"]["well"]["images"][1]["path"] = "left_0_1"
    (source / "A/1/zarr.json").write_text(json.dumps(well))
    assert repair(source).findings == ()
    view = ome_writers.open(source)
    assert view.dims == ("t", "p", "c", "y", "x")
    assert np.array_equal(view[:, 1], expected[1])
    target = convert(source, tmp_path / "b.ome.zarr", verify=True).destination
    assert np.array_equal(arrays(target, IMAGES["plate"])[1], expected[1])
    names = [
        group_attributes(target, group)["ome"]["multiscales"][0]["name"]
        for group in IMAGES["plate"]
    ]
    assert names == ["left_0_0", "left_0_1", "right"]  # still positions and cells, no suffix twice


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip_zarr_tiff_zarr(layout: str, tmp_path: Path) -> None:
    source = write(acquisition(layout, tmp_path / "a.ome.zarr"))
    tiff = convert(source, tmp_path / "b.ome.tiff").destination
    back = convert(tiff, tmp_path / "c.ome.zarr", verify=True).destination
    assert validate(back).valid
    groups = IMAGES[layout]
    for one, right in zip(arrays(back, groups), arrays(source, groups), strict=True):
        assert np.array_equal(one, right)
    before, after = group_attributes(source, groups[0]), group_attributes(back, groups[0])
    for key in ("axes", "datasets"):
        was, now = (doc["ome"]["multiscales"][0][key] for doc in (before, after))
        assert now == was
    assert after["ome"]["omero"]["channels"] == before["ome"]["omero"]["channels"]
    assert group_attributes(back)["lab"] == {"room": 7}
    assert group_attributes(back)["conversion"]["source"] == tiff.name
    if layout == "plate":
        was, now = (group_attributes(path)["ome"]["plate"] for path in (source, back))
        assert now["wells"] == was["wells"]
        assert (now["rows"], now["columns"], now["name"]) == (was["rows"], was["columns"], "cells")
    facts = [{k: v for k, v in f.items() if k != "image"} for f in read_frame_metadata(back)]
    assert facts == [
        {k: v for k, v in f.items() if k != "image"} for f in read_frame_metadata(source)
    ]


def test_chunks_shards_and_compression_are_changed_zarr_to_zarr(tmp_path: Path) -> None:
    source = write(acquisition("collection", tmp_path / "a.ome.zarr", compression="zstd"))
    done = convert(
        source, tmp_path / "b.ome.zarr", chunk_shapes={"t": 3, "x": 3}, shard_shapes={"x": 2}
    )
    array = json.loads((done.destination / "0" / "0" / "zarr.json").read_bytes())
    assert array["chunk_grid"]["configuration"]["chunk_shape"] == [3, 1, 4, 6]
    sharding = array["codecs"][0]["configuration"]
    assert sharding["chunk_shape"] == [3, 1, 4, 3]
    assert [codec["name"] for codec in sharding["codecs"]] == ["bytes", "zstd"]
    for one, right in zip(
        arrays(done.destination, ["0", "1"]), arrays(source, ["0", "1"]), strict=True
    ):
        assert np.array_equal(one, right)
    assert ome_writers.open(done.destination).dims == ("t", "p", "c", "y", "x")
    plain = convert(source, tmp_path / "c.ome.zarr", compression="none").destination
    array = json.loads((plain / "0" / "0" / "zarr.json").read_bytes())
    assert [codec["name"] for codec in array["codecs"]] == ["bytes"]


def test_edited_names_and_colours_are_converted(tmp_path: Path) -> None:
    """Channels and positions renamed after the acquisition."""
    settings = acquisition("collection", tmp_path / "a.ome.zarr")
    stream = create_stream(settings)
    stream.append(np.ones((4, 6), "uint16"))
    stream.close()
    metadata = stream.get_metadata()
    for attributes in metadata.values():
        attributes["ome"]["omero"]["channels"][1].update(label="GFP", color="00FF00")
    metadata["1"]["ome"]["multiscales"][0]["name"] = "middle"
    stream.update_metadata(metadata)
    tiff = convert(settings.output_path, tmp_path / "b.ome.tiff").destination
    ome = from_tiff(sorted(tiff.iterdir())[0])
    assert [image.name for image in ome.images] == ["left", "middle"]
    assert [c.name for c in ome.images[1].pixels.channels] == ["DAPI", "GFP"]
    assert ome.images[1].pixels.channels[1].color.as_hex() == "#0f0"


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_skipped_and_unwritten_frames_stay_unwritten(suffix: str, tmp_path: Path) -> None:
    settings = acquisition("collection", tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        for number in range(5):
            if number == 2:
                stream.skip()
            else:
                stream.append(np.full((4, 6), number + 1, "uint16"))
    done = convert(settings.output_path, tmp_path / f"b{suffix}", verify=True)
    assert (done.frames, done.empty) == (4, 2)
    view = ome_writers.open(done.destination)
    values = np.asarray(view)[..., 0, 0]
    assert values.tolist() == [[[1, 2], [0, 4]], [[5, 0], [0, 0]]]


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_ragged_acquisition_stays_ragged(suffix: str, tmp_path: Path) -> None:
    rows = [[0, 0], [0, 1], [0, 2], [1, 0]]
    settings = AcquisitionSettings(
        root_path=tmp_path / "a.ome.zarr",
        dimensions=dims_from_standard_axes({"p": ["deep", "flat"], "z": 3, "y": 4, "x": 6}),
        dtype="uint8",
        schedule=Schedule(("p", "z"), rows),
    )
    done = convert(write(settings), tmp_path / f"b{suffix}", verify=True)
    assert (done.frames, done.empty) == (4, 0)
    if suffix == ".ome.zarr":
        shapes = [array.shape for array in arrays(done.destination, ["0", "1"])]
    else:
        with tifffile.TiffFile(sorted(done.destination.iterdir())[0]) as file:
            shapes = [series.shape for series in file.series]
    assert shapes[0] == (3, 4, 6)
    assert shapes[1] in ((1, 4, 6), (4, 6))
    back = convert(done.destination, tmp_path / "c.ome.zarr", verify=True)
    assert [a.shape for a in arrays(back.destination, ["0", "1"])] == [(3, 4, 6), (1, 4, 6)]


@pytest.mark.parametrize("first", [".ome.zarr", ".ome.tiff"])
def test_rgb(first: str, tmp_path: Path) -> None:
    settings = AcquisitionSettings(
        root_path=tmp_path / f"a{first}",
        dimensions=dims_from_standard_axes({"t": 3, "c": ["DAPI", "FITC"], "y": 4, "x": 6}),
        dtype="uint8",
        rgb=True,
    )
    other = {".ome.zarr": ".ome.tiff", ".ome.tiff": ".ome.zarr"}[first]
    done = convert(write(settings), tmp_path / f"b{other}", verify=True)
    assert done.frames == 6
    if other == ".ome.tiff":
        assert tifffile.imread(done.destination).shape == (3, 2, 4, 6, 3)
    else:
        assert arrays(done.destination, [""])[0].shape == (3, 6, 4, 6)
    frames = read_frame_metadata(done.destination)
    assert [frame["note"] for frame in frames] == [f"frame {n}" for n in range(6)]
    for path in (tmp_path / f"a{first}", done.destination):
        assert ome_writers.open(path).coords["c"] == ["DAPI", "FITC"]


def test_unbounded_acquisition_gets_extent_reached(tmp_path: Path) -> None:
    settings = AcquisitionSettings(
        root_path=tmp_path / "a.ome.zarr",
        dimensions=dims_from_standard_axes({"t": None, "c": 2, "y": 4, "x": 6}),
        dtype="uint16",
    )
    done = convert(write(settings, 6), tmp_path / "b.ome.tiff", verify=True)
    assert tifffile.imread(done.destination)[..., 0, 0].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_selected_images_keep_well_and_frame_metadata(tmp_path: Path) -> None:
    source = write(acquisition("plate", tmp_path / "a.ome.zarr"))
    done = convert(source, tmp_path / "b.ome.zarr", images=[2], verify=True)
    assert [
        well["path"] for well in group_attributes(done.destination)["ome"]["plate"]["wells"]
    ] == ["B/2"]
    (one,) = arrays(done.destination, ["B/2/right"])
    assert np.array_equal(one, arrays(source, IMAGES["plate"])[2])
    notes = [f["note"] for f in read_frame_metadata(done.destination)]
    assert notes[:3] == ["frame 4", "frame 5", "frame 10"]


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """Of 160 MiB of pixels, memory holds the buffer of the stream and a few frames."""
    settings = AcquisitionSettings(
        root_path=tmp_path / "a.ome.zarr",
        dimensions=dims_from_standard_axes({"t": 160, "y": 512, "x": 1024}),
        dtype="uint16",
    )
    frame = np.ones((512, 1024), "uint16")
    with create_stream(settings) as stream:
        for _ in range(160):
            stream.append(frame)
    tracemalloc.start()
    try:
        convert(settings.output_path, tmp_path / "b.ome.zarr", compression="blosc-zstd")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * 2**20


def test_destination_must_not_overlap_source(tmp_path: Path) -> None:
    """Also with ``overwrite``."""
    source = write(acquisition("single", tmp_path / "a.ome.zarr"))
    before = arrays(source, [""])[0]
    for destination in (source, source / "inner.ome.zarr"):
        with pytest.raises(OutputExistsError, match="source"):
            convert(source, destination, overwrite=True)
    assert np.array_equal(arrays(source, [""])[0], before)


def test_destination_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    """And only if this library wrote it."""
    source = write(acquisition("single", tmp_path / "a.ome.zarr"))
    convert(source, tmp_path / "b.ome.tiff")
    with pytest.raises(OutputExistsError, match="exists"):
        convert(source, tmp_path / "b.ome.tiff")
    assert convert(source, tmp_path / "b.ome.tiff", overwrite=True).frames == 6
    (tmp_path / "c.ome.zarr").mkdir()
    with pytest.raises(OutputExistsError, match="not a dataset that this library wrote"):
        convert(source, tmp_path / "c.ome.zarr", overwrite=True)


def test_unsupported_sources_are_refused(tmp_path: Path) -> None:
    """Nothing is created at the destination."""
    target = tmp_path / "b.ome.zarr"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        convert(tmp_path / "nothing.ome.zarr", target)
    (tmp_path / "notes.txt").write_text("hello, this is no picture")
    (tmp_path / "folder").mkdir()
    for name in ("notes.txt", "folder"):
        with pytest.raises(UnsupportedError, match=name):
            convert(tmp_path / name, target)
    settings = acquisition("single", tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        with pytest.raises(OutputLockedError, match="being written"):
            convert(settings.output_path, target)
        stream.append(np.ones((4, 6), "uint16"))
    with pytest.raises(SettingsError, match=r"\['q'\]; the axes .* are \['t', 'c', 'y', 'x'\]"):
        convert(settings.output_path, target, chunk_shapes={"q": 2})
    with pytest.raises(SettingsError, match="not supported for OME-Zarr"):
        convert(settings.output_path, target, compression="lzw")
    with pytest.raises(UnsupportedError, match="the images 0 to 0"):
        convert(settings.output_path, target, images=[1])
    create_stream(acquisition("single", tmp_path / "none.ome.zarr")).close()
    with pytest.raises(UnsupportedError, match="does not contain a frame"):
        convert(tmp_path / "none.ome.zarr", target)
    assert not target.exists()


def test_killed_writer(tmp_path: Path) -> None:
    """Without repair: the frames of the last flush, up to the extent that was reached."""
    source = write_and_kill(acquisition("single", tmp_path / "a.ome.zarr"), 3, 3)
    result = convert(source, tmp_path / "b.ome.zarr", verify=True)
    assert (result.frames, result.empty) == (3, 1)
    view = ome_writers.open(result.destination)
    assert view.shape == (2, 2, 4, 6)
    assert view[:, :, 0, 0].tolist() == [[1, 2], [3, 0]]


def test_on_frame_is_called_for_each_frame_written_and_compared(tmp_path: Path) -> None:
    source = write(acquisition("single", tmp_path / "a.ome.zarr"))
    calls: list[tuple[int, int]] = []
    convert(source, tmp_path / "b.ome.zarr", verify=True, on_frame=lambda *two: calls.append(two))
    assert calls == [(n, 6) for n in range(1, 7)] * 2


@pytest.mark.parametrize("layout", ["single", "collection"])
@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_interrupted_conversion_removes_incomplete_copy(
    tmp_path: Path, layout: str, suffix: str
) -> None:
    source = write(acquisition(layout, tmp_path / "a.ome.zarr"))
    before = sorted(tmp_path.rglob("*"))

    def interrupt(done: int, total: int) -> None:
        if done == 4:
            time.sleep(1.2)  # a flush writes frames and metadata to disk
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "new" / f"b{suffix}", on_frame=interrupt)
    assert sorted(tmp_path.rglob("*")) == before
    convert(source, tmp_path / "new" / f"b{suffix}", verify=True)


def test_plate_keeps_empty_wells(tmp_path: Path) -> None:
    settings = AcquisitionSettings(
        root_path=tmp_path / "a.ome.tiff",
        dimensions=[
            Dimension(
                name="p",
                type="position",
                coords=[{"name": "f", "plate_row": "C", "plate_column": "4"}],
            ),
            *dims_from_standard_axes({"y": 4, "x": 6}),
        ],
        dtype="uint8",
        plate=Plate.from_standard_wells(24),
    )
    plate = group_attributes(convert(write(settings), tmp_path / "b.ome.zarr").destination)["ome"][
        "plate"
    ]
    assert [len(plate["rows"]), len(plate["columns"])] == [4, 6]
    assert [well["path"] for well in plate["wells"]] == ["C/4"]


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_axes_of_other_names_keep_their_frames_and_metadata(suffix: str, tmp_path: Path) -> None:
    """OME-XML calls them C or Z; the growing axis comes first there."""
    settings = AcquisitionSettings(
        root_path=tmp_path / f"a{suffix}",
        dimensions=[
            Dimension(name="t", count=None, type="time"),
            Dimension(name="angle", count=3, type="other"),
            Dimension(name="z", count=2),
            *dims_from_standard_axes({"y": 4, "x": 6}),
        ],
        dtype="uint16",
    )
    source = write(settings, 12)
    for number, target in enumerate((".ome.zarr", ".ome.tiff")):
        done = convert(source, tmp_path / f"{number}{target}", verify=True)
        view = ome_writers.open(done.destination)
        assert view.dims == ("t", "angle", "z", "y", "x")
        assert np.asarray(view)[..., 0, 0].ravel().tolist() == list(range(1, 13))
        frames = read_frame_metadata(done.destination)
        assert [frame["note"] for frame in frames] == [f"frame {n}" for n in range(12)]


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_positions_with_axes_that_become_images(suffix: str, tmp_path: Path) -> None:
    settings = AcquisitionSettings(
        root_path=tmp_path / f"a{suffix}",
        dimensions=[
            Dimension(name="t", count=2),
            Dimension(name="p", coords=["left", "right"]),
            Dimension(name="angle", count=3, type="other"),
            *dims_from_standard_axes({"c": 1, "z": 2, "y": 4, "x": 6}),
        ],
        dtype="uint16",
    )
    source = write(settings)
    before = np.asarray(ome_writers.open(source))
    for number, target in enumerate((".ome.zarr", ".ome.tiff")):
        done = convert(source, tmp_path / f"{number}{target}", verify=True)
        np.testing.assert_array_equal(ome_writers.open(done.destination), before)
        assert len(read_frame_metadata(done.destination)) == 24
        # of 2 positions x 3 angles
        done = convert(source, tmp_path / f"some-{number}{target}", images=[4, 5], verify=True)
        view = ome_writers.open(done.destination)
        assert view.coords["p"] == ["right"]
        np.testing.assert_array_equal(view, before[:, 1:, 1:])


@pytest.mark.parametrize("suffixes", [(".ome.zarr", ".ome.tiff"), (".ome.tiff", ".ome.zarr")])
@pytest.mark.parametrize("date", [None, "2020-02-03T04:05:06Z"])
def test_start_of_acquisition_is_kept(
    suffixes: tuple[str, str], date: str | None, tmp_path: Path
) -> None:
    """Also through a second conversion, back to the first format."""
    there, back = suffixes
    dimensions = dims_from_standard_axes({"t": 2, "y": 4, "x": 6})
    source = write(
        AcquisitionSettings(
            root_path=tmp_path / f"a{there}",
            dimensions=dimensions,
            dtype="uint8",
            acquisition_date=date,
        )
    )
    expected = parse_time(ome_writers.read(source).started)
    assert date is None or expected == parse_time(date)
    time.sleep(1.1)  # the conversion starts in another second
    convert(source, tmp_path / f"b{back}")
    convert(tmp_path / f"b{back}", tmp_path / f"c{there}")
    for name in (f"b{back}", f"c{there}"):
        assert parse_time(ome_writers.read(tmp_path / name).started) == expected


@pytest.mark.parametrize(("date", "kept"), [("2020-02-03T04:05:06", True), ("yesterday", False)])
def test_start_of_acquisition_of_another_program(date: str, kept: bool, tmp_path: Path) -> None:
    source = tmp_path / "a.ome.tiff"
    tifffile.imwrite(source, np.zeros((2, 4, 6), "uint8"), metadata={"axes": "TYX"})
    text = tifffile.tiffcomment(source)
    dated = f"<AcquisitionDate>{date}</AcquisitionDate><Pixels"
    tifffile.tiffcomment(source, text.replace("<Pixels", dated).encode())
    convert(source, tmp_path / "b.ome.zarr")
    started = ome_writers.read(tmp_path / "b.ome.zarr").started
    assert (started == date) == kept


def test_checksums_are_kept_and_added_zarr_to_zarr(tmp_path: Path) -> None:
    """OME-Zarr 0.4 has none, and its chunks do not contain them."""

    def checked(path: Path) -> list[bool]:
        assert validate(path).valid
        return [level.checksum for image in ome_writers.read(path).images for level in image.levels]

    plain = write(acquisition("single", tmp_path / "plain.ome.zarr"))
    added = convert(plain, tmp_path / "a.ome.zarr", format={"name": "ome-zarr", "checksum": True})
    kept = convert(added.destination, tmp_path / "b.ome.zarr", pyramid=Pyramid(levels=1))
    removed = convert(
        kept.destination, tmp_path / "c.ome.zarr", format={"name": "ome-zarr", "checksum": False}
    )
    assert [checked(each.destination) for each in (added, kept, removed)] == [
        [True],
        [True, True],
        [False, False],
    ]
    old = convert(kept.destination, tmp_path / "old.ome.zarr", format="ome-zarr-0.4").destination
    (wanted,) = arrays(plain, [""])
    for each in (added.destination, kept.destination, old):
        np.testing.assert_array_equal(ome_writers.open(each)[:], wanted)
    store = {"driver": "zarr", "kvstore": {"driver": "file", "path": str(old / "0")}}
    stored = tensorstore.open(store, open=True).result().read().result()
    np.testing.assert_array_equal(stored, wanted)


def test_damaged_chunk_stops_a_conversion(tmp_path: Path) -> None:
    source = write(
        acquisition(
            "single", tmp_path / "a.ome.zarr", format={"name": "ome-zarr", "checksum": True}
        )
    )
    chunk = source.joinpath("0", "c", "1", "1", "0", "0")
    chunk.write_bytes(bytes([chunk.read_bytes()[0] ^ 16]) + chunk.read_bytes()[1:])
    with pytest.raises(OSError, match=r"index \(1, 1\).*CRC-32C"):
        convert(source, tmp_path / "b.ome.zarr")
    assert not (tmp_path / "b.ome.zarr").exists()
