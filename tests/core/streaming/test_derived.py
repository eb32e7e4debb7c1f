"""Images that are derived from those of a stream, and written to the same dataset: labels, masks, projections."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OutputExistsError,
    Plate,
    Position,
    RestartError,
    SettingsError,
    StreamClosedError,
    UnsupportedError,
    create_stream,
)
from support.preloaded import run_python
from support.sweeps import swept

if TYPE_CHECKING:
    from numpy.typing import NDArray

T, C, Z, Y, X = 4, 2, 3, 32, 24
LAYOUTS = ("image", "collection", "plate")
SUFFIXES = (".ome.zarr", ".ome.tiff")


def dimensions(layout: str, *, unbounded: bool = False) -> list[Dimension]:
    wells = [{"plate_row": "A", "plate_column": str(n)} for n in (1, 2)]
    positions = [
        Position(
            name=f"f{n}", x_coord=10.0 * n, y_coord=1.0, **(wells[n] if layout == "plate" else {})
        )
        for n in range(2)
    ]
    sizes: dict[str, int | None] = {"t": None if unbounded else T, "c": C, "z": Z, "y": Y, "x": X}
    axes = [Dimension(name=n, count=count, **_scale(n)) for n, count in sizes.items()]
    return (
        axes
        if layout == "image"
        else [Dimension(name="p", type="position", coords=positions), *axes]
    )


def _scale(name: str) -> dict[str, Any]:
    return {"scale": 0.5, "unit": "micrometer"} if name in "zyx" else {}


def settings(path: Path, layout: str = "image", **fields: Any) -> AcquisitionSettings:
    plate = Plate(row_names=["A"], column_names=["1", "2"]) if layout == "plate" else None
    axes = fields.pop("dimensions", None) or dimensions(layout)
    return AcquisitionSettings(
        root_path=path, dimensions=axes, dtype="uint16", plate=plate, **fields
    )


def frame(number: int) -> NDArray[np.uint16]:
    return np.random.default_rng(number).integers(1, 2**12, (Y, X), np.uint16)


def mask(number: int) -> NDArray[np.uint32]:
    """Return labels that identify the frame."""
    return (frame(number) > 2**11) * np.uint32(100_000 + number)


def derived_path(path: Path, kind: str, name: str, image: str = "") -> Path:
    if path.suffix == ".tiff":
        return path.with_name(f"{path.name.partition('.')[0]}_{name}.ome.tiff")
    return path / image / kind / name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_image_labels_and_projections_of_other_dtypes_are_in_one_dataset(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"run{suffix}"
    count = T * C * Z
    with create_stream(settings(path)) as stream:
        labels = stream.derive("cells")
        masks = stream.derive("distance", "image", dtype="float32", dimensions=["t", "z"])
        largest, mean = stream.project("max"), stream.project("mean", "t", name="mean")
        for number in range(count):
            stream.append(frame(number))
            if number % (C * Z) < Z:
                labels.append(mask(number))
            if number % (C * Z) < Z:
                masks.append(frame(number) / np.float32(3))
            if number == 8:
                stream.flush()
        assert np.array_equal(labels.view()[0, 1], mask(1))
        assert largest.view().shape == (T, C, Y, X)
        assert mean.has_frame((0, 0))
    frames = np.stack([frame(n) for n in range(count)]).reshape(T, C, Z, Y, X)
    assert np.array_equal(ome_writers.open(path)[...], frames)
    stored = ome_writers.open(derived_path(path, "labels", "cells"))
    assert stored.dtype == "uint32"
    expected = [mask(t * C * Z + z) for t in range(T) for z in range(Z)]
    assert np.array_equal(stored[...].reshape(-1, Y, X), expected)
    distance = ome_writers.open(derived_path(path, "derived", "distance"))[...]
    assert np.array_equal(distance, frames[:, 0] / np.float32(3))
    maximum = ome_writers.open(derived_path(path, "derived", "max_z"))[...]
    assert np.array_equal(maximum, frames.max(axis=2))
    averages = ome_writers.open(derived_path(path, "derived", "mean"))[...]
    assert np.array_equal(averages, frames.mean(axis=0).astype("float32"))
    assert not ome_writers.repair(path).findings
    assert not [c for c in ome_writers.validate(path).checks if c.findings]


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[4])
from pathlib import Path
from core.streaming.test_derived import dimensions, frame, mask, settings
from ome_writers import create_stream
path, layout, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
options = {"pyramid": {"levels": 1}, "compression": "zstd"} if seed % 2 and path.suffix == ".zarr" else {}
axes = dimensions(layout, unbounded=layout == "image")
stream = create_stream(settings(path, layout, dimensions=axes, flush_interval=0.002, **options))
labels, largest = stream.derive("cells"), stream.project("max")
for number in range(1 + seed % 23):
    stream.append(frame(number))
    if number % 6 < 3 and number % 5:
        labels.append(mask(number), index={"t": number // 6, "z": number % 3})
    if number == seed % 7:
        stream.flush()
        print(number, flush=True)
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""
KILLS = swept(
    [
        (layout, suffix, seed)
        for seed in range(26)
        for layout, suffix in (
            ("image", ".ome.zarr"),
            ("image", ".ome.tiff"),
            ("collection", ".ome.zarr"),
            ("plate", ".ome.zarr"),
        )
    ],
    lambda case: (
        case
        in (
            ("image", ".ome.zarr", 12),
            ("image", ".ome.tiff", 13),
            ("collection", ".ome.zarr", 15),
            ("plate", ".ome.zarr", 22),
            ("image", ".ome.zarr", 21),
        )
    ),
    lambda case: f"{case[0]}{case[1]}-{case[2]}",
)


@pytest.mark.thread_writer  # see tests/faults/test_writer_process.py
@pytest.mark.parametrize("case", KILLS)
def test_planes_of_killed_writers_are_absent_or_complete(
    tmp_path: Path, case: tuple[str, str, int]
) -> None:
    """Also after `repair`, which finds nothing the second time."""
    layout, suffix, seed = case
    path = tmp_path / f"run{suffix}"
    tests = str(Path(__file__).parents[2])
    process = run_python(["-c", _KILLED, str(path), layout, str(seed), tests])
    assert process.returncode in (-getattr(signal, "SIGKILL", 9), signal.SIGTERM), process.stderr
    flushed = int(process.stdout.split()[0]) + 1 if process.stdout else 0
    image = {"image": "", "collection": "0", "plate": "A/1/f0"}[layout]
    cells, largest = (
        derived_path(path, "labels", "cells", image),
        derived_path(path, "derived", "max_z", image),
    )
    for _ in range(2):
        stored = ome_writers.open(cells)
        for number in range(1 + seed % 23):
            t, z = number // 6, number % 3
            if number % 6 < 3 and t < stored.shape[0] and z < stored.shape[1]:
                plane = stored[t, z]
                present = np.array_equal(plane, mask(number))
                assert present or not plane.any(), number
                assert present == bool(number % 5) or number >= flushed
        maximum = ome_writers.open(largest)
        for t, c in np.ndindex(*maximum.shape[:2]):
            first, plane = (t * C + c) * Z, maximum[t, c]
            prefixes = [np.max([frame(first + z) for z in range(n)], axis=0) for n in (1, 2, 3)]
            found = [np.array_equal(plane, prefix) for prefix in prefixes]
            assert any(found) or not plane.any(), (t, c)
            seen = min(Z, flushed - first)
            assert seen <= 0 or any(found[seen - 1 :]), (t, c)
        for dataset in {path, cells, largest} if suffix == ".ome.tiff" else {path}:
            ome_writers.repair(dataset)
            assert not ome_writers.repair(dataset).findings
            failed = [c for c in ome_writers.validate(dataset, quick=True).checks if c.findings]
            assert not failed, failed


def stack(count: int) -> NDArray[np.uint16]:
    """Return the frames of an acquisition of which the first `count` were appended."""
    frames = [frame(n) if n < count else np.zeros((Y, X), np.uint16) for n in range(T * C * Z)]
    return np.stack(frames).reshape(T, C, Z, Y, X)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_derived_images_are_continued_by_a_resumed_stream(tmp_path: Path, suffix: str) -> None:
    """With the same arguments; projections include what a stream without them has appended."""
    path = tmp_path / f"run{suffix}"
    parameters = {"threshold": 3}
    for first, last in ((0, 7), (7, 10), (10, 16), (16, T * C * Z)):
        with create_stream(settings(path), resume=True) as stream:
            if first == 7:
                assert not stream.derived
            else:
                labels = stream.derive("cells", colors={1: "red"}, parameters=parameters)
                with pytest.raises(OutputExistsError, match="already has"):
                    stream.derive("cells", colors={1: "red"}, parameters=parameters)
                stream.project("max")
                stream.project("sum", "t", name="total")
                assert labels.has_frame((1, 0)) == (first > 0)
                assert np.array_equal(labels.view()[1, 0], mask(1) * (first > 0))
                labels.append(mask(first), index={"t": 0, "z": first % Z})
                if not first:
                    labels.append(mask(1), index={"t": 1, "z": 0})
            for number in range(first, last):
                stream.append(frame(number))
    stored = {
        name: derived_path(path, kind, name)
        for kind, name in (("labels", "cells"), ("derived", "max_z"), ("derived", "total"))
    }
    frames = stack(T * C * Z)
    assert np.array_equal(ome_writers.open(stored["max_z"])[...], frames.max(axis=2))
    assert np.array_equal(ome_writers.open(stored["total"])[...], frames.sum(axis=0))
    cells = ome_writers.open(stored["cells"])
    assert np.array_equal(cells[0], [mask(0), mask(16), np.zeros((Y, X))])
    assert np.array_equal(cells[1, 0], mask(1))
    assert ome_writers.read(stored["cells"]).frames_written == 3
    for dataset in {path, *stored.values()} if suffix == ".ome.tiff" else {path}:
        assert not ome_writers.repair(dataset).findings
        assert not [c for c in ome_writers.validate(dataset).checks if c.findings]
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_derived_images_with_other_settings_are_not_continued(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    with create_stream(settings(path)) as stream:
        stream.derive("cells", parameters={"a": 1}).append(mask(0))
        stream.append(frame(0))
    with ome_writers.resume(path) as stream:
        with pytest.raises(SettingsError, match="dtype: 'uint32' on disk, 'uint16' now"):
            stream.derive("cells", dtype="uint16", parameters={"a": 1})
        with pytest.raises(SettingsError, match="dimensions"):
            stream.derive("cells", dimensions=["t"], parameters={"a": 1})
        with pytest.raises(SettingsError, match="was derived with parameters"):
            stream.derive("cells", parameters={"a": 2})
        assert stream.derive("cells", parameters={"a": 1}).has_frame((0, 0))
        assert not stream.derive("nuclei").has_frame((0, 0))
        stream.append(frame(1))
    assert np.array_equal(ome_writers.open(derived_path(path, "labels", "cells"))[0, 0], mask(0))


def test_derived_images_of_a_writer_that_was_killed_while_it_created_them(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    with create_stream(settings(path, "collection")) as stream:
        stream.derive("cells")
        stream.append(frame(0))
    (path / "1" / "labels" / "cells" / "zarr.json").unlink()
    (path / "1" / "labels" / "zarr.json").unlink()
    with ome_writers.resume(path) as stream:
        stream.derive("cells").append(mask(1), index={"p": 1, "t": 0, "z": 0})
    assert np.array_equal(ome_writers.open(path / "1" / "labels" / "cells")[0, 0], mask(1))
    assert not ome_writers.repair(path).findings
    assert not [c for c in ome_writers.validate(path).checks if c.findings]


# the killed program writes 1 to 22 frames; the last two of all 24 frames are never written
CONTINUED = swept(
    [(suffix, seed) for seed in range(22) for suffix in SUFFIXES],
    lambda case: case in ((".ome.zarr", 12), (".ome.tiff", 7)),
    lambda case: f"{case[0]}-{case[1]}",
)


@pytest.mark.thread_writer  # see tests/faults/test_writer_process.py
@pytest.mark.parametrize("case", CONTINUED)
def test_derived_images_of_killed_writers_are_continued(
    tmp_path: Path, case: tuple[str, int]
) -> None:
    """Projections do not contain frames that were lost, and labels that were flushed are there."""
    suffix, seed = case
    path = tmp_path / f"run{suffix}"
    tests = str(Path(__file__).parents[2])
    process = run_python(["-c", _KILLED, str(path), "image", str(seed), tests])
    flushed = int(process.stdout.split()[0]) + 1 if process.stdout else 0
    expected = np.zeros((T, Z, Y, X), np.uint32)
    with ome_writers.resume(path) as stream:
        labels, _ = stream.derive("cells"), stream.project("max")
        for number in range(1 + seed % 23):
            t, z = number // 6, number % 3
            if number % 6 < 3 and number % 5:
                if not labels.has_frame((t, z)):
                    assert number >= flushed
                    labels.append(mask(number), index={"t": t, "z": z})
                expected[t, z] = mask(number)
        for index in stream.remaining():
            number = stream.plan.router.frame_number(list(index.values())) or 0
            if number > T * C * Z - 3:  # of three in the last plane
                break
            stream.append(frame(number))
    maximum = stack(T * C * Z - 2).max(axis=2)
    assert np.array_equal(ome_writers.open(derived_path(path, "derived", "max_z"))[...], maximum)
    stored = ome_writers.open(derived_path(path, "labels", "cells"))[...]
    assert np.array_equal(stored, expected[: len(stored)])


@pytest.mark.parametrize(
    "case",
    swept(
        [(layout, levels) for layout in LAYOUTS for levels in (0, 2)],
        lambda case: (case[0] == "collection") == (case[1] == 0),
        lambda case: f"{case[0]}-{case[1]}",
    ),
)
def test_other_programs_find_labels(tmp_path: Path, case: tuple[str, int]) -> None:
    """Yaozarrs and ome-zarr-models validate them; labels have the levels and the coordinates of their image."""
    layout, levels = case
    yaozarrs = pytest.importorskip("yaozarrs")
    path = tmp_path / "run.ome.zarr"
    pyramid = {"levels": levels} if levels else None
    with create_stream(settings(path, layout, pyramid=pyramid)) as stream:
        labels = stream.derive("cells", colors={1: "red", 7: "#00ff0080"}, function=np.linalg.norm)
        stream.derive("nuclei")
        for p in range(len(stream.plan.images)):
            position = {} if layout == "image" else {"p": p}
            labels.append(mask(p), index={**position, "t": 1, "z": 2})
        for number in range(stream.plan.frames or 0):
            stream.append(frame(number))
    for image in ome_writers.read(path).images:
        group = json.loads((path / image.key / "labels" / "zarr.json").read_text())
        assert group["attributes"]["ome"]["labels"] == ["cells", "nuclei"]
        yaozarrs.validate_zarr_store(path / image.key)
        stored = json.loads((path / image.key / "labels" / "cells" / "zarr.json").read_text())
        ome = stored["attributes"]["ome"]
        assert ome["image-label"]["source"] == {"image": "../../"}
        assert ome["image-label"]["colors"][1] == {"label-value": 7, "rgba": [0, 255, 0, 128]}
        assert stored["attributes"]["ome_writers"]["derived"]["function"] == "numpy.linalg.norm"
        of_image = json.loads((path / image.key / "zarr.json").read_text())["attributes"]["ome"]
        for of_label, level in zip(
            ome["multiscales"][0]["datasets"], of_image["multiscales"][0]["datasets"], strict=True
        ):
            scale, other = (d["coordinateTransformations"][0]["scale"] for d in (of_label, level))
            assert scale == [other[0], *other[2:]]
        views = [
            ome_writers.open(path / image.key / "labels" / "cells", level=k)
            for k in range(levels + 1)
        ]
        full = views[0][1, 2]
        assert full.any()
        for k, view in enumerate(views):
            assert np.array_equal(view[1, 2], full[:: 2**k, :: 2**k])
    failed = [c for c in ome_writers.validate(path).checks if c.findings]
    assert not failed, failed


def test_projection_of_replaced_and_missing_frames(tmp_path: Path) -> None:
    """After a cancelled acquisition as well, with memory for a single frame of the projection."""
    path = tmp_path / "run.ome.zarr"
    order = np.random.default_rng(1).integers(0, T * C * Z - 4, 60).tolist()
    last: dict[int, int] = {}
    with create_stream(settings(path, buffer_bytes=8 * Y * X * 2)) as stream:
        for method in ("max", "min", "sum", "mean"):
            stream.project(method)
        for serial, number in enumerate(order):
            stream.append(frame(serial), index=stream.plan.router.indices(number))
            last[number] = serial
    for t, c in np.ndindex(T, C):
        numbers = [(t * C + c) * Z + z for z in range(Z)]
        frames = np.array([frame(last[n]) for n in numbers if n in last])
        if not len(frames):
            continue
        for method in ("max", "min", "sum", "mean"):
            plane = ome_writers.open(path / "derived" / f"{method}_z")[t, c]
            expected = getattr(frames, method)(axis=0).astype(plane.dtype)
            assert np.array_equal(plane, expected), (method, t, c)


def test_append_has_the_same_functions_with_a_derived_image(tmp_path: Path) -> None:
    """Those of the engine are not compared: they depend on how many frames its threads have written so far."""
    package = Path(ome_writers.__file__).parent
    compared = (str(package / "streaming"), str(package / "routing"))
    calls: list[list[str]] = []
    for derives in (False, True):
        with create_stream(
            settings(tmp_path / f"{derives}.ome.zarr", flush_interval=3600)
        ) as stream:
            if derives:
                stream.derive("cells")
            for number in range(8):
                stream.append(frame(number))
            called: list[str] = []

            def profile(at: Any, event: str, _: Any, called: list[str] = called) -> None:
                code = at.f_code
                if event == "call" and code.co_filename.startswith(compared):
                    called.append(code.co_qualname if sys.version_info >= (3, 11) else code.co_name)

            sys.setprofile(profile)
            stream.append(frame(8))
            sys.setprofile(None)
            calls.append(called)
    assert calls[0] == calls[1]
    assert calls[0]


def test_derived_images_that_are_refused(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path / "run.ome.zarr", "collection")) as stream:
        labels = stream.derive("cells")
        with pytest.raises(OutputExistsError, match="already has"):
            stream.derive("cells")
        with pytest.raises(SettingsError, match="may consist of letters"):
            stream.derive("../cells")
        with pytest.raises(SettingsError, match="Labels are integers"):
            stream.derive("soft", dtype="float32")
        with pytest.raises(SettingsError, match="does not have an axis 'q'"):
            stream.project("max", "q")
        with pytest.raises(SettingsError, match="must include 'p'"):
            stream.derive("other", dimensions=["t"])
        with pytest.raises(UnsupportedError, match="is a projection"):
            stream.project("max").append(frame(0))
        with pytest.raises(RestartError, match="'cells' is derived"):
            stream.restart(stream.settings.model_copy(update={"dtype": "uint8"}))
        stream.append(frame(0))
        with pytest.raises(UnsupportedError, match="1 frames were already appended"):
            stream.project("min")
    with pytest.raises(StreamClosedError):
        labels.append(mask(0))
    with (
        create_stream(settings(tmp_path / "set", "collection", format="ome-tiff")) as stream,
        pytest.raises(UnsupportedError, match="several images"),
    ):
        stream.derive("cells")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_survive_what_is_done_with_a_dataset(tmp_path: Path, layout: str) -> None:
    """Added after the run; kept by `resume` and `convert`; replaced with the dataset by `overwrite=True`."""
    path, copy = tmp_path / "run.ome.zarr", tmp_path / "copy.ome.zarr"
    axes = dimensions(layout, unbounded=layout == "image")
    with create_stream(settings(path, layout, dimensions=axes, pyramid={"levels": 1})) as stream:
        live = stream.derive("live")
        for number in range(C * Z):
            stream.append(frame(number))
        live.append(mask(0))
    images = ome_writers.read(path).images
    times = images[0].shape[0]
    several = () if layout == "image" else (len(images),)
    labels = np.random.default_rng(0).integers(0, 9, (*several, times, Z, Y, X), np.uint16)
    ome_writers.add_labels(path, "later", labels, parameters={"threshold": 3})
    with pytest.raises(OutputExistsError, match="already has"):
        ome_writers.add_labels(path, "later", labels)
    with pytest.raises(SettingsError, match="must have the shape"):
        ome_writers.add_labels(path, "other", labels[..., 1:])
    if layout == "image":
        with ome_writers.resume(path) as stream:
            stream.append(frame(6))
    ome_writers.convert(path, copy)
    for number, image in enumerate(images):
        expected = labels[number] if several else labels
        for dataset in (path, copy):
            added = ome_writers.open(dataset / image.key / "labels" / "later")
            assert np.array_equal(added[:times], expected)
            first = ome_writers.open(dataset / image.key / "labels" / "live")[0, 0]
            assert np.array_equal(first, mask(0) if number == 0 else np.zeros_like(first))
    for dataset in (path, copy):
        failed = [c for c in ome_writers.validate(dataset).checks if c.findings]
        assert not failed, failed
        assert not ome_writers.repair(dataset).findings
    with create_stream(settings(path, layout, overwrite=True)) as stream:
        assert not list(path.rglob("labels"))


def test_labels_are_added_to_datasets_of_other_programs_and_to_ome_tiff(tmp_path: Path) -> None:
    tiff = tmp_path / "run.ome.tiff"
    with create_stream(settings(tiff)) as stream:
        for number in range(T * C * Z):
            stream.append(frame(number))
    labels = np.random.default_rng(0).integers(0, 9, (T, Z, Y, X), np.uint8)
    ome_writers.add_labels(tiff, "cells", labels)
    tifffile = pytest.importorskip("tifffile")
    assert np.array_equal(tifffile.imread(tmp_path / "run_cells.ome.tiff"), labels)
    assert not list(tmp_path.glob(".*"))
    zarr_ = tmp_path / "other.ome.zarr"
    with create_stream(settings(zarr_)) as stream:
        for number in range(T * C * Z):
            stream.append(frame(number))
    metadata = json.loads((zarr_ / "zarr.json").read_text())
    del metadata["attributes"]["ome_writers"]
    (zarr_ / "zarr.json").write_text(json.dumps(metadata))
    ome_writers.add_labels(zarr_, "cells", labels > 4)
    assert np.array_equal(ome_writers.open(zarr_ / "labels" / "cells")[...], labels > 4)


@pytest.mark.parametrize("layout", [*LAYOUTS, "tiff"])
def test_labels_are_added_plane_by_plane(tmp_path: Path, layout: str) -> None:
    """In any order, and as many as there are; the dataset is locked meanwhile."""
    path = tmp_path / ("run.ome.tiff" if layout == "tiff" else "run.ome.zarr")
    layout = "image" if layout == "tiff" else layout
    with create_stream(settings(path, layout, pyramid={"levels": 1})) as stream:
        for number in range(stream.plan.frames or 0):
            stream.append(frame(number))
    position = {} if layout == "image" else {"p": 1}
    with ome_writers.add_labels(path, "cells", function="threshold") as cells:
        cells.append(mask(5), index={**position, "t": 2, "z": 1})
        cells.append(mask(3), index={**position, "t": 0, "z": 2})
        cells.flush()
        assert np.array_equal(cells.view()[(*position.values(), 2, 1)], mask(5))
        with pytest.raises(OutputExistsError):
            ome_writers.add_labels(path, "cells")
        cells.append(mask(6), index={**position, "t": 2, "z": 1})
    assert cells.closed
    cells.close()
    with pytest.raises(StreamClosedError):
        cells.append(mask(0))
    expected = np.zeros((T, Z, Y, X), "uint32")
    expected[2, 1], expected[0, 2] = mask(6), mask(3)
    for number, image in enumerate(ome_writers.read(path).images):
        stored = derived_path(path, "labels", "cells", "" if path.is_file() else image.key)
        pixels = expected if layout == "image" or number == 1 else np.zeros_like(expected)
        for k in range(2):
            reduced = pixels[..., :: 2**k, :: 2**k]
            assert np.array_equal(ome_writers.open(stored, level=k)[...], reduced)
    with (
        pytest.raises(ZeroDivisionError),
        ome_writers.add_labels(
            path, "half", dimensions=["p", "t"] if position else ["t"], dtype="uint8"
        ) as half,
    ):
        half.append(mask(0).astype("uint8"))
        half.append(np.full((Y, X), 1 // 0))
    image = "" if layout == "image" else ome_writers.read(path).images[0].key
    stored = derived_path(path, "labels", "half", image)
    assert np.array_equal(ome_writers.open(stored)[0], mask(0).astype("uint8"))
    assert ome_writers.read(stored).status == "failed"
    for dataset in {path, stored} if path.is_file() else {path}:
        assert not ome_writers.repair(dataset).findings
        assert not [c for c in ome_writers.validate(dataset).checks if c.findings]
    assert not list(tmp_path.rglob(".*"))


class _Unreadable:
    """An array whose third plane cannot be read."""

    shape, dtype, ndim = (T, Z, Y, X), np.dtype("uint8"), 4

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[np.uint8]:
        if index == (0, 2):
            raise KeyError("no such plane")
        return np.ones((Y, X), "uint8")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_of_an_array_that_cannot_be_read_are_removed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    with create_stream(settings(path)) as stream:
        for number in range(T * C * Z):
            stream.append(frame(number))
    stored = derived_path(path, "labels", "cells")
    with pytest.raises(KeyError, match="no such plane"):
        ome_writers.add_labels(path, "cells", _Unreadable())
    assert not stored.exists()
    ome_writers.add_labels(path, "cells", np.ones((T, Z, Y, X), "uint8"))
    assert ome_writers.open(stored)[...].all()
    with pytest.raises(SettingsError, match="dtype is that of labels"):
        ome_writers.add_labels(path, "more", np.ones((T, Z, Y, X), "uint8"), dtype="uint8")  # type: ignore[call-overload] # refused
    with pytest.raises(SettingsError, match="Labels are integers"):
        ome_writers.add_labels(path, "more", dtype="float32")


_KILLED_LATER = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from core.streaming.test_derived import mask
import ome_writers
cells = ome_writers.add_labels(sys.argv[1], "cells")
for number in range(5):
    cells.append(mask(number))
cells.flush()
cells.append(mask(5))
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_added_labels_of_a_killed_program_are_repaired(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    with create_stream(settings(path)) as stream:
        for number in range(T * C * Z):
            stream.append(frame(number))
    run_python(["-c", _KILLED_LATER, str(path), str(Path(__file__).parents[2])])
    stored = derived_path(path, "labels", "cells")
    for _ in range(2):
        labels = ome_writers.open(stored)[...].reshape(-1, Y, X)
        assert np.array_equal(labels[:5], [mask(n) for n in range(5)])
        assert not labels[6:].any()
        for dataset in {path, stored} if suffix == ".ome.tiff" else {path}:
            ome_writers.repair(dataset)
            assert not ome_writers.repair(dataset).findings
            assert not [c for c in ome_writers.validate(dataset).checks if c.findings]
    ome_writers.add_labels(path, "more", np.zeros((T, Z, Y, X), "uint8"))
