"""Labels in stored datasets: other programs find them, they are added later, and kept by what changes a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    OutputExistsError,
    SettingsError,
    StreamClosedError,
    create_stream,
)
from support.derived_images import (
    LAYOUTS,
    SUFFIXES,
    C,
    T,
    X,
    Y,
    Z,
    derived_path,
    dimensions,
    frame,
    mask,
    settings,
)
from support.preloaded import run_python
from support.sweeps import swept

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
from support.derived_images import mask
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
    run_python(["-c", _KILLED_LATER, str(path), str(Path(__file__).parents[1])])
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
