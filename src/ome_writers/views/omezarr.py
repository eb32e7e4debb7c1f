"""Views of an OME-Zarr 0.5 on disk, closed or still being written.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.omezarr import (
    group_attributes,
    image_groups,
    ome_writers_attributes,
    plan_from_settings,
    stored_layout,
)
from ome_writers.untrusted import check_shape, member
from ome_writers.views.file_cache import CachedJsonFile
from ome_writers.views.stacked import StackedSource
from ome_writers.views.stream_source import StreamSource
from ome_writers.views.summary import Summary
from ome_writers.views.zarr_array import TornChunkError, ZarrArray
from ome_writers.views.zarr_python import open_with_zarr_python

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.routing import Plan
    from ome_writers.views.source import Source

__all__ = ["open_zarr"]


def open_zarr(path: Path, cache_bytes: int = 0) -> Source:
    """Return the images of an OME-Zarr, with a cache of decoded chunks of `cache_bytes`.

    Datasets of this library have their axes in acquisition order, from the settings stored in the root group; others in
    storage order.

    Raises
    ------
    UnsupportedError
        If it is not an OME-Zarr 0.5, or no installed reader supports it.
    """
    root = CachedJsonFile(path / "zarr.json", path)
    root.read()  # raises if the file is not valid
    ours = ome_writers_attributes(path)
    plan = _plan(ours["settings"]) if "settings" in ours else None
    if plan is not None:
        folders = [path / key for key in stored_layout(plan, path).arrays]
        if all((folder / "zarr.json").is_file() for folder in folders):
            arrays = [_array(folder, path, cache_bytes // len(folders)) for folder in folders]
            for folder, array, image in zip(folders, arrays, plan.images, strict=True):
                check_shape(list(array.shape), folder, axes=len(image.array.shape))
            return StreamSource(StoredStream(plan, root, arrays), acquired=False)
    return _in_storage_order(path, cache_bytes, lambda: _summary(root))


class StoredStream:
    """Files that a stream has written or is writing; implements `views.source.Stream`."""

    def __init__(self, plan: Plan, root: CachedJsonFile, arrays: Sequence[Any]) -> None:
        self.plan = plan
        self._root = root
        self._arrays = arrays

    def extents(self) -> Mapping[str, int]:
        """Return the stored extent of each acquisition axis; of a dataset being written, the extent reached."""
        shapes = [
            [image.frames_along(axis, extent) for axis, extent in enumerate(array.shape)]
            for image, array in zip(self.plan.images, self._arrays, strict=True)
        ]
        hull = [max(extents) for extents in zip(*shapes, strict=True)]
        router = self.plan.router
        extents = {}
        for name, count, (axis, stride) in zip(
            router.axes, router.counts, router.steps, strict=True
        ):
            stored = count if axis is None else -(-hull[axis] // stride)
            extents[name] = stored or 0 if count is None else min(stored or 0, count)
        reached = self._attributes().get("extents")
        for name, extent in reached.items() if isinstance(reached, dict) else ():
            if name in extents and isinstance(extent, int):
                extents[name] = min(extents[name], max(0, extent))
        return extents

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Return True: the files do not record which frames were written."""
        return True

    def read(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return a frame; zeros where the writer has not stored readable chunks yet."""
        plan = self.plan.images[image]
        planes = [self._plane(image, plan.plane(index, s)) for s in range(plan.planes)]
        return planes[0] if plan.planes == 1 else np.stack(planes, axis=-1)

    def on(self, event: Any, callback: Callable[[Any], None]) -> None:
        """Do nothing: changes of files are not watched."""

    def summary(self) -> Summary:
        return _summary(self._root)

    def _attributes(self) -> dict[str, Any]:
        return _ome_writers_attributes(self._root)

    def _plane(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        array = self._arrays[image]
        shape = array.shape
        if any(i >= n for i, n in zip(index, shape, strict=False)):
            return np.zeros(shape[-2:], array.dtype)
        try:
            plane: NDArray[np.generic] = array[index]
        except TornChunkError:
            if self._attributes().get("status") != "writing":
                raise
            # some engines write the index of a shard when the shard is complete
            return np.zeros(shape[-2:], array.dtype)
        return plane


def _summary(root: CachedJsonFile) -> Summary:
    attributes = _ome_writers_attributes(root)
    return Summary.of(root.path.parent, attributes.get("status"), attributes.get("frames"))


def _ome_writers_attributes(root: CachedJsonFile) -> dict[str, Any]:
    """Return the current attributes of a root group in our namespace; empty if another program wrote it."""
    attributes = root.read().get("attributes", {}).get("ome_writers")
    return attributes if isinstance(attributes, dict) else {}


def _plan(settings: Any) -> Plan | None:
    """Return the plan of stored settings; None for settings of a version that is not supported."""
    try:
        return plan_from_settings(settings)
    except UnsupportedError:
        return None


def _array(folder: Path, root: Path, cache_bytes: int) -> Any:
    """Open an array with `ZarrArray`, or with zarr-python (if installed) where that does not support it."""
    try:
        return ZarrArray(folder, root, cache_bytes)
    except InvalidFileError:
        raise
    except UnsupportedError:
        try:
            return open_with_zarr_python(folder, root)
        except ImportError:
            pass
        raise


def _in_storage_order(path: Path, cache_bytes: int, summary: Callable[[], Summary]) -> Source:
    """Return the images of an OME-Zarr with their stored axes; several are stacked along ``p``."""
    groups = image_groups(path)
    omes = [group_attributes(path / group, path)["ome"] for group in groups]
    multiscales = [ome["multiscales"][0] for ome in omes]
    arrays = [
        _array(member(path / group, m["datasets"][0]["path"]), path, cache_bytes // len(groups))
        for group, m in zip(groups, multiscales, strict=True)
    ]
    axes = [str(axis["name"]) for axis in multiscales[0]["axes"]]
    names = {"p": [str(m.get("name") or g) for m, g in zip(multiscales, groups, strict=True)]}
    channels = omes[0].get("omero", {}).get("channels", ())
    names["c"] = [str(channel.get("label", i)) for i, channel in enumerate(channels)]
    if len(arrays) == 1:
        return StackedSource(arrays, None, labels=axes, names=names, summary=summary)
    return StackedSource(arrays, 0, labels=("p", *axes), names=names, summary=summary)
