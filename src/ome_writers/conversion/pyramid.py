"""`add_pyramid`: add resolution levels to an OME-Zarr in place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from ome_writers.conversion.ngff_version import edit_in_place, replace_json
from ome_writers.dataset import DatasetSpec, ImageSpec
from ome_writers.errors import OutputExistsError, UnsupportedError, WriteError
from ome_writers.file_sharing import rename
from ome_writers.formats import format_row
from ome_writers.formats.omezarr import level_path, with_levels
from ome_writers.routing import ArrayPlan, ImagePlan, plan_levels, resolve
from ome_writers.settings import Dimension, Pyramid, PyramidMethod, ZarrCompression
from ome_writers.storage import ArrayTarget, EngineStats, Options, open_with_levels
from ome_writers.storage.direct import open_engine
from ome_writers.untrusted import read_json
from ome_writers.views import open_array

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ome_writers.storage import Engine, WriteFailure

    Plane = NDArray[np.generic]
    Index = tuple[int, ...]

_STAGE = ".ome-writers.pyramid"
"""Folder in the group of an image whose levels are being computed."""
_CACHE_BYTES = 256 * 2**20  # of decoded chunks that contain several planes


def add_pyramid(
    path: str | PathLike[str],
    pyramid: Pyramid | PyramidMethod = "mean",
    *,
    on_plane: Callable[[int, int], object] | None = None,
) -> list[str]:
    """Add resolution levels to the images of an OME-Zarr that have only full resolution, in place.

    The arrays are computed in a folder beside the image's arrays, and listed in its metadata when they are complete. If
    this is interrupted, repeat it: images that have levels are skipped.

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
        planned = [_image_plan(spec, number, pyramid) for number in range(len(spec.images))]
        total = sum(int(np.prod(plan.array.index_shape)) for plan in planned if plan.levels)
        done, added = 0, []
        for image, plan in zip(spec.images, planned, strict=True):
            group = spec.path / image.key
            shutil.rmtree(_prepare(group, image, plan), ignore_errors=True)
            if not plan.levels:
                continue
            done = _write_levels(spec, image, plan, done, total, on_plane)
            _publish(group, plan)
            added.append(image.key)
        if added:
            _record_settings(spec.path, pyramid)
        return added


def _image_plan(spec: DatasetSpec, number: int, pyramid: Pyramid) -> ImagePlan:
    """Return an image as it is on disk, with the levels that it lacks."""
    image = spec.images[number]
    full = image.levels[0]
    dimensions: Sequence[Dimension] = [
        Dimension(name=axis.name, count=n, type=axis.type)
        for axis, n in zip(image.axes, full.shape, strict=True)
    ]
    array = ArrayPlan(
        dimensions=tuple(dimensions),
        shape=full.shape,
        growing=None,
        dtype=np.dtype(full.dtype).newbyteorder("<"),
        chunks=full.chunks,
        shards=full.shards,
        compression=full.compression
        if full.compression in get_args(ZarrCompression)
        else "blosc-zstd",
    )
    planned = array
    if (
        spec.settings is not None
    ):  # a shape that was trimmed; `repair` plans the levels of the whole one
        stored = resolve(spec.settings).images[number].array
        planned = replace(array, shape=stored.shape, growing=stored.growing)
    levels = plan_levels(pyramid, planned) if len(image.levels) == 1 else ()
    levels = tuple(
        replace(each, array=replace(each.array, shape=each.shape(full.shape), growing=None))
        for each in levels
    )
    return ImagePlan(0, image.name, None, array, None, levels=levels)


def _prepare(group: Path, image: ImageSpec, plan: ImagePlan) -> Path:
    """Return the folder for new levels, and remove what an interrupted run has left."""
    stage = group / _STAGE
    for k in range(1, len(plan.levels) + 1):
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
    plan: ImagePlan,
    done: int,
    total: int,
    on_plane: Callable[[int, int], object] | None,
) -> int:
    source = open_array(spec.path, image.levels[0].key, _CACHE_BYTES)
    stage = spec.path / image.key / _STAGE

    def opener(targets: Sequence[ArrayTarget], options: Options) -> Engine:
        return _LevelsOnly(open_engine(stage, targets[1:], options), source)

    targets = [ArrayTarget(level_path(k), array) for k, array in enumerate(plan.arrays)]
    options = Options(durable=True)
    engine = open_with_levels(opener, [plan], targets, options, in_order=False)
    try:
        for index, plane in _planes(source, plan.array.index_shape):
            if plane[0].any() or plane.any():  # planes that were not written have no chunk
                engine.write(done, 0, index, plane, owned=True)
            done += 1
            if on_plane is not None:
                on_plane(done, total)
    finally:
        engine.close([array.shape for array in plan.arrays])
    if engine.failures:
        error = engine.failures[0].error
        raise WriteError(
            f"The levels of {spec.path / image.key} could not be written: {type(error).__name__}: {error}. Free space "
            f"or repair the disk, then repeat it."
        ) from error
    return done


def _planes(source: Any, index_shape: Sequence[int]) -> Iterator[tuple[Index, Plane]]:
    """Yield all planes in order; the next one is being read meanwhile."""

    def read(index: Index) -> tuple[Index, Plane]:
        return index, np.asarray(source[index])

    with ThreadPoolExecutor(1, "ome-writers-read") as reader:
        pending: Future[tuple[Index, Plane]] | None = None
        for index in np.ndindex(*index_shape):
            previous, pending = pending, reader.submit(read, index)
            if previous is not None:
                yield previous.result()
        if pending is not None:
            yield pending.result()


def _publish(group: Path, plan: ImagePlan) -> None:
    """Move the levels into the group of an image, and list them in its metadata."""
    stage = group / _STAGE
    for k in range(1, len(plan.levels) + 1):
        rename(stage / level_path(k), group / level_path(k))
    content = read_json(group / "zarr.json", root=group)
    content["attributes"]["ome"] = with_levels(content["attributes"]["ome"], plan.levels)
    replace_json(group / "zarr.json", content)
    shutil.rmtree(stage)


def _record_settings(root: Path, pyramid: Pyramid) -> None:
    """Record the levels in the stored settings, from which `repair` and `validate` plan them."""
    content = read_json(root / "zarr.json", root=root)
    own = content["attributes"].get("ome_writers")
    settings = own.get("settings") if isinstance(own, dict) else None
    if isinstance(settings, dict):
        settings["pyramid"] = pyramid.model_dump(mode="json")
        replace_json(root / "zarr.json", content)


class _LevelsOnly:
    """An engine whose array 0 is stored elsewhere already: it is read from `source`, and never written."""

    def __init__(self, engine: Engine, source: Any) -> None:
        self._engine = engine
        self._source = source

    def write(
        self,
        number: int,
        array: int,
        index: Index,
        frame: Plane,
        owned: bool = False,
    ) -> None:
        if array:
            self._engine.write(number, array - 1, index, frame, owned)

    def read(self, array: int, index: Index) -> Plane:
        return self._engine.read(array - 1, index) if array else np.asarray(self._source[index])

    def recover(self, number: int) -> bool:
        return self._engine.recover(number)

    def flush(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._engine.flush(shapes[1:])

    def put(self, key: str, content: bytes) -> None:
        self._engine.put(key, content)

    def close(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._engine.close(shapes[1:])

    @property
    def failures(self) -> Sequence[WriteFailure]:
        return self._engine.failures

    def stats(self) -> EngineStats:
        return self._engine.stats()
