"""Images that are derived from those of a stream, and written to the same dataset: labels, masks, projections."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    OutputExistsError,
    RestartError,
    SettingsError,
    StreamClosedError,
    UnsupportedError,
    create_stream,
)
from support.derived_images import (
    SUFFIXES,
    C,
    T,
    X,
    Y,
    Z,
    derived_path,
    frame,
    mask,
    settings,
    stack,
)


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
