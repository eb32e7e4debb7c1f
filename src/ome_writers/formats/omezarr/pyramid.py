"""`add_pyramid`: add resolution levels to an OME-Zarr in place."""

from __future__ import annotations

import itertools
import math
import operator
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import Addressing, DatasetSpec, ImageSpec, LevelSpec
from ome_writers.errors import OutputExistsError, UnsupportedError, WriteError, checked_call
from ome_writers.file_sharing import rename
from ome_writers.formats.in_place import edit_in_place
from ome_writers.formats.omezarr.labels import stored_derived_images
from ome_writers.formats.omezarr.layout import join_key, level_path
from ome_writers.formats.omezarr.parse import parse_dataset
from ome_writers.formats.omezarr.pixels import ZarrArray, open_array
from ome_writers.formats.omezarr.stored_groups import open_metadata
from ome_writers.formats.omezarr.stored_plan import array_plan
from ome_writers.formats.omezarr.versions import with_levels
from ome_writers.formats.registry import format_row
from ome_writers.formats.stored_settings import stored_plan
from ome_writers.formats.threads import map_in_threads
from ome_writers.routing import plan_levels
from ome_writers.settings import OmeZarrFormat, Pyramid, PyramidMethod
from ome_writers.storage import Downsampling, Options, available_cpus
from ome_writers.storage.direct import open_engine
from ome_writers.untrusted import member

if TYPE_CHECKING:
    from ome_writers.routing import Address
    from ome_writers.storage import Engine

    Plane = NDArray[np.generic]
    Index = tuple[int, ...]

_STAGE = ".ome-writers.pyramid"
"""Folder in the group of an image whose levels are being computed."""
_CACHE_BYTES = 256 * 2**20  # of decoded chunks that contain several planes
_RUN_BYTES = 4 * 2**20  # of the planes that a thread reduces or writes at a time


@checked_call
def add_pyramid(
    path: str | PathLike[str],
    pyramid: Pyramid | PyramidMethod = "mean",
    *,
    on_plane: Callable[[int, int], object] | None = None,
) -> list[str]:
    """Add resolution levels to the images of an OME-Zarr that have only full resolution, in place.

    The arrays are computed in a folder beside the image's arrays, and listed in its metadata when they are complete. If
    this is interrupted, repeat it: images that have levels are skipped. Labels get as many levels as their image, the
    nearest sample of the level before.

    Parameters
    ----------
    path
        An OME-Zarr 0.5 or 0.6 of any program.
    pyramid
        The levels, or the method to compute them.
    on_plane
        Called after each plane with the number of planes read so far and the total.

    Returns
    -------
    list of str
        The path of each image that has levels now and had none; ``""`` is the root.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    OutputLockedError
        If a running process is writing the dataset.
    OutputExistsError
        If a level would replace a folder that does not belong to the image.
    UnsupportedError
        If it is not an OME-Zarr, its writer was killed, or the method is not defined for its dtype.
    WriteError
        If a level could not be written.
    """
    pyramid = pyramid if isinstance(pyramid, Pyramid) else Pyramid(method=pyramid)
    with edit_in_place(path) as spec:
        if not format_row(spec.format).ngff_versions:
            raise UnsupportedError(
                f"{path}: levels can be added in place to an OME-Zarr 0.5 or 0.6 only. "
                f"Write a copy with `ome-writers convert {path} ... --pyramid {pyramid.method}`."
            )
        added = _add_levels(spec, pyramid, on_plane)
        add_label_levels(spec.path)
        return added


def add_label_levels(root: Path) -> None:
    """Add levels to the labels that have none, as many as their image has; the caller holds the lock.

    Labels that cannot be read are left as they are.
    """
    spec = parse_dataset(root)
    for image in spec.images:
        count = len(image.levels) - 1
        for name in stored_derived_images(spec, image.key)["labels"] if count else ():
            with suppress(UnsupportedError):
                labels = parse_dataset(member(root, join_key(image.key, f"labels/{name}")))
                if len(labels.images[0].levels) == 1:
                    axes = Pyramid(axes=("z", "y", "x") if _halves_depth(image) else ("y", "x"))
                    update = {"method": "decimate", "levels": count}
                    _add_levels(labels, axes.model_copy(update=update), None)


def _halves_depth(image: ImageSpec) -> bool:
    depth = image.axis("z")
    full, half = image.levels[:2]
    return depth is not None and half.shape[depth] < full.shape[depth]


def _add_levels(
    spec: DatasetSpec, pyramid: Pyramid, on_plane: Callable[[int, int], object] | None
) -> list[str]:
    # shapes may be trimmed; `repair` plans levels of whole images
    whole = (stored_plan(spec) or spec).images
    planned = [
        _with_missing_levels(image, as_planned.array, pyramid)
        for image, as_planned in zip(spec.images, whole, strict=True)
    ]
    total = sum(int(np.prod(plan.array.index_shape)) for plan in planned if plan.reductions)
    done, added = 0, []
    for image, plan in zip(spec.images, planned, strict=True):
        group = spec.path / image.key
        shutil.rmtree(_prepare(group, image, plan), ignore_errors=True)
        if not plan.reductions:
            continue
        done = _write_levels(spec, image, plan, done, total, on_plane)
        _publish(spec.path, image.key, plan)
        added.append(image.key)
    if added:  # `repair` and `validate` plan the levels from the stored settings
        with open_metadata(spec.path) as groups:
            if settings := groups.settings():
                settings["pyramid"] = pyramid.model_dump(mode="json")
    return added


def _with_missing_levels(image: ImageSpec, whole: LevelSpec, pyramid: Pyramid) -> ImageSpec:
    """Return an image as it is on disk, with the levels that it lacks; `whole` has the planned shape."""
    array = array_plan(image.array)
    planned = replace(array, shape=whole.shape, growing=whole.growing)
    levels = plan_levels(pyramid, planned, OmeZarrFormat()) if len(image.levels) == 1 else ()
    stored_image = replace(image, levels=(array, *levels), addressing=Addressing())
    shapes = stored_image.level_shapes(array.shape)
    return replace(
        stored_image,
        levels=tuple(
            replace(level, key=level_path(k), shape=shape, growing=None)
            for k, (level, shape) in enumerate(zip(stored_image.levels, shapes, strict=True))
        ),
    )


def _prepare(group: Path, image: ImageSpec, plan: ImageSpec) -> Path:
    """Return the folder for new levels, and remove what an interrupted run has left."""
    stage = group / _STAGE
    for k in range(1, len(plan.levels)):
        folder = group / level_path(k)
        if not folder.exists():
            continue
        if not stage.exists():
            raise OutputExistsError(
                f"{folder} exists, and the image {image.key or '.'} does not list it. Remove it first."
            )
        shutil.rmtree(folder)
    return stage


def _write_levels(
    spec: DatasetSpec,
    image: ImageSpec,
    plan: ImageSpec,
    done: int,
    total: int,
    on_plane: Callable[[int, int], object] | None,
) -> int:
    source = open_array(spec.path, image.levels[0].key, _CACHE_BYTES)
    stage = spec.path / image.key / _STAGE
    engine = open_engine(stage, plan.levels[1:], Options(durable=True))
    reduce = _Reducer(source, plan, engine).reduce
    try:
        with closing(
            map_in_threads(
                reduce, plane_runs(plan.array, plan.reductions[-1].factors), _threads(plan.array)
            )
        ) as counts:
            for _ in itertools.chain.from_iterable(range(count) for _, count in counts):
                done += 1
                if on_plane is not None:
                    on_plane(done, total)
    finally:
        engine.close([level.shape for level in plan.levels[1:]])
    if engine.failures:
        error = engine.failures[0].error
        raise WriteError(
            f"The levels of {spec.path / image.key} could not be written: {type(error).__name__}: {error}. Free space "
            f"or repair the disk, then repeat it."
        ) from error
    return done


def plane_runs(array: LevelSpec, factors: Sequence[int] = ()) -> Iterator[list[Index]]:
    """Yield the indices of planes that are read together: no chunk, and no block of `factors`, is split."""
    shape = array.index_shape
    factors = factors or (1,) * len(array.shape)
    box = [min(n, math.lcm(c, f)) for n, c, f in zip(shape, array.chunks, factors, strict=False)]
    run: list[Index] = []
    for corner in itertools.product(*map(range, itertools.repeat(0), shape, box)):
        ends = map(min, map(operator.add, corner, box), shape)
        run += itertools.product(*map(range, corner, ends))
        if len(run) * array.frame_bytes >= _RUN_BYTES:
            yield run
            run = []
    if run:
        yield run


def _threads(array: LevelSpec) -> int:
    """Return the number of threads, each of which decodes a chunk."""
    depth = math.prod(array.chunks[:-2])
    if depth == 1:
        return available_cpus()
    return max(1, min(available_cpus(), _CACHE_BYTES // (depth * array.frame_bytes)))


class _Reducer:
    """Computes the levels of an image from its array `source`; thread-safe."""

    def __init__(self, source: Any, plan: ImageSpec, engine: Engine) -> None:
        self._source = source
        self._plan = plan
        self._engine = engine
        self._write_lock = threading.Lock()  # held while the engine is written to
        self._memory = threading.local()

    def reduce(self, run: Sequence[Index]) -> int:
        """Write the planes of all levels that follow from the planes of a run; return their number."""
        stage = Downsampling([self._plan], sys.maxsize)
        # never called: all planes that wait for others fit into memory
        stage.read = self._engine.read
        reduced: list[tuple[Address, Plane]] = []
        for index in run:
            reduced += itertools.islice(stage((0, index), self._read(index)), 1, None)
            if sum(plane.nbytes for _, plane in reduced) >= _RUN_BYTES:
                self._write(reduced)
                reduced = []
        self._write(reduced)
        return len(run)

    def _read(self, index: Index) -> Plane:
        """Return a plane, until this thread reads the next one."""
        if not isinstance(self._source, ZarrArray):
            return np.asarray(self._source[index])
        earlier = getattr(self._memory, "plane", None)
        plane = self._memory.plane = self._source.read(index, earlier)
        return plane

    def _write(self, planes: list[tuple[Address, Plane]]) -> None:
        with self._write_lock:
            for (array, index), plane in sorted(planes, key=operator.itemgetter(0)):
                if plane[0].any() or plane.any():  # planes that were not written have no chunk
                    self._engine.write(0, array - 1, index, plane, owned=True)


def _publish(root: Path, key: str, plan: ImageSpec) -> None:
    """Move the levels into the group of an image, and list them in its metadata."""
    group = root / key
    stage = group / _STAGE
    for k in range(1, len(plan.levels)):
        rename(stage / level_path(k), group / level_path(k))
    with open_metadata(root) as groups:
        attributes = groups.attributes(key)
        attributes["ome"] = with_levels(attributes["ome"], plan.reductions)
    shutil.rmtree(stage)
