"""A second process polls datasets with third-party readers while they are written."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines.cases import ZARR, Case, frame, pairwise
from ome_writers import create_stream
from ome_writers.formats import lay_out
from ome_writers.routing import resolve
from support.sweeps import swept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL = '''
"""Reads lines {"arrays": [[path, path of the expected], ...], "tile": [y, x], "stop": path}; prints a JSON result."""
import json, os, re, sys, time
import numpy as np

READERS = sys.argv[1].split()


def by_tensorstore(path):
    import tensorstore
    store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path + "/"}}
    return tensorstore.open(store, read=True, open=True).result().read().result()


def by_zarr(path):
    import zarr
    return zarr.open_array(path, mode="r")[...]


def by_zarrs(path):
    import zarr, zarrs
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr.open_array(path, mode="r")[...]


def count_planes(seen, whole, tile):
    """Return the number of complete planes; each tile must be correct or 0, and 0 outside of the expected shape."""
    common = tuple(slice(0, min(a, b)) for a, b in zip(seen.shape, whole.shape))
    rest = seen.copy()
    rest[common] = 0
    assert not rest.any(), "pixels outside of the expected shape"
    planes = seen[common].reshape(-1, *seen.shape[-2:])
    expected = whole[common].reshape(-1, *seen.shape[-2:])
    equal = planes == expected
    correct, present = equal, planes != 0
    for axis in (1, 2):
        starts = [*range(0, planes.shape[axis], tile[axis - 1])]
        correct = np.logical_and.reduceat(correct, starts, axis)
        present = np.logical_or.reduceat(present, starts, axis)
    for number, y, x in np.argwhere(present & ~correct)[:1]:
        raise AssertionError(f"tile {y}, {x} of plane {number} is wrong: {planes[number]}, not {expected[number]}")
    return int(np.sum(equal.all(axis=(1, 2)) & expected.any(axis=(1, 2))))


def read_again(read, path):
    """A shard index may just be moving: the next read must succeed. Windows denies access to replaced files longer."""
    for attempt in range(20):
        try:
            return read(path)
        except Exception as error:
            denied = os.name == "nt" and re.search("denied|sharing violation|used by another", str(error), re.I)
            if attempt and (attempt == 19 or not denied):
                raise
            if denied:
                time.sleep(0.02)


for line in sys.stdin:
    task = json.loads(line)
    wholes = {path: np.load(expected) for path, expected in task["arrays"]}
    polls, partly, last = 0, 0, False
    seen_before = dict.fromkeys(((r, p) for r in READERS for p in wholes), 0)
    goal = {path: count_planes(whole, whole, task["tile"]) for path, whole in wholes.items()}
    error = None
    while not last and error is None:
        last = os.path.exists(task["stop"])
        for path, whole in wholes.items():
            for reader in READERS:
                read = globals()["by_" + reader]
                try:
                    seen = read_again(read, path)
                    count = count_planes(seen, whole, task["tile"])
                    assert count >= seen_before[reader, path], f"{count} planes, before {seen_before[reader, path]}"
                    seen_before[reader, path] = count
                    partly += 0 < count < goal[path]
                    assert not last or count == goal[path], f"{count} planes at the end, not {goal[path]}"
                except Exception as wrong:
                    error = error or f"poll {polls}, {reader}, {path}: {type(wrong).__name__}: {wrong}"
        polls += 1
        time.sleep(0.02)  # as often as the writer flushes
    print(json.dumps({"polls": polls, "partly": partly, "error": error}), flush=True)
'''
READERS = ["tensorstore", *(name for name in ("zarr", "zarrs") if find_spec(name) is not None)]
CASES = pairwise({name: choices for name, choices in ZARR.items() if name != "handing"})


@pytest.fixture(scope="module")
def poller() -> Iterator[subprocess.Popen[str]]:
    """Yield a process that polls the arrays named on its stdin."""
    command = [sys.executable, "-c", POLL, " ".join(READERS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=300) == 0


@pytest.mark.parametrize("case", swept(CASES, lambda case: CASES.index(case) % 6 == 0, str))
def test_third_party_readers_see_correct_or_zero_planes_while_writing(
    case: Case, tmp_path: Path, poller: subprocess.Popen[str]
) -> None:
    """The number of planes seen never decreases, and all are seen at the end."""
    settings = case.settings(tmp_path, "direct", "ome-zarr", flush_interval=0.02)
    plan = resolve(settings)
    indices = case.indices()
    images = []
    for array in (image.array for image in plan.images):
        shape = list(array.shape)
        if array.growing is not None:
            shape[array.growing] = case.sizes["t"]
        images.append(np.zeros(shape, case.dtype))
    for number, index in enumerate(indices):
        if index is not None:
            image, stored = plan.router.address_of([index[axis] for axis in plan.router.axes])
            images[image][stored] = frame(number, case.dtype)
    plan, layout = lay_out(plan)
    arrays = []
    for number, pixels in enumerate(images):
        np.save(tmp_path / f"{number}.npy", pixels)
        arrays.append(
            [str(layout.root / plan.images[number].array.key), str(tmp_path / f"{number}.npy")]
        )
    tile = plan.images[0].array.chunks[-2:]
    task: dict[str, Any] = {"arrays": arrays, "tile": tile, "stop": str(tmp_path / "stop")}
    assert poller.stdin is not None
    assert poller.stdout is not None
    with create_stream(settings) as stream:
        poller.stdin.write(json.dumps(task) + "\n")
        poller.stdin.flush()
        for number, index in enumerate(indices):
            if index is None:
                stream.skip()
            else:
                stream.append(frame(number, case.dtype))
            time.sleep(0.01)
    (tmp_path / "stop").touch()
    seen = json.loads(poller.stdout.readline())
    assert seen["error"] is None
    assert seen["polls"] > 0
