"""Labels and projections of writers that are killed: after the kill, after `repair`, after `resume`."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

import ome_writers
from ome_writers import create_stream
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
from support.preloaded import run_python
from support.sweeps import swept

_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[4])
from pathlib import Path
from support.derived_images import dimensions, frame, mask, settings
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
