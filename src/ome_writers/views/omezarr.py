"""An OME-Zarr 0.5 on disk, finished or still growing, as the source of views.

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
from ome_writers.views.live import LiveSource
from ome_writers.views.live_document import LiveDocument
from ome_writers.views.stacked import StackedSource
from ome_writers.views.summary import Summary
from ome_writers.views.zarr_array import TornError, ZarrArray
from ome_writers.views.zarr_python import open_with_zarr_python

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.routing import Plan
    from ome_writers.views.source import Source

__all__ = ["open_zarr"]


def open_zarr(path: Path, remember: int = 0) -> Source:
    """Return the images of an OME-Zarr.

    Those that this library wrote are seen in acquisition order, by the settings in their root document; others
    as they are stored. `remember` is how many bytes of decoded chunks may be kept.

    Raises
    ------
    UnsupportedError
        If it is no OME-Zarr 0.5, or uses what nothing installed can read.
    """
    root = LiveDocument(path / "zarr.json", path)
    root.read()  # raises what is wrong with the file
    ours = ome_writers_attributes(path)
    plan = _plan(ours["settings"]) if "settings" in ours else None
    if plan is not None:
        folders = [path / key for key in stored_layout(plan, path).arrays]
        if all((folder / "zarr.json").is_file() for folder in folders):
            arrays = [_array(folder, path, remember // len(folders)) for folder in folders]
            for folder, array, image in zip(folders, arrays, plan.images, strict=True):
                check_shape(list(array.shape), folder, axes=len(image.array.shape))
            return StoredSource(StoredStream(plan, root, arrays))
    return _foreign(path, remember, lambda: _summary(root))


class StoredStream:
    """The files that a stream has left, or is writing; see `views.source.Stream`."""

    def __init__(self, plan: Plan, root: LiveDocument, arrays: Sequence[Any]) -> None:
        self.plan = plan
        self._root = root
        self._arrays = arrays

    def extents(self) -> Mapping[str, int]:
        """Return how far each acquisition axis goes in the arrays; while they are written, how far it was reached."""
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
        reached = self._facts().get("extents")
        for name, extent in reached.items() if isinstance(reached, dict) else ():
            if name in extents and isinstance(extent, int):
                extents[name] = min(extents[name], max(0, extent))
        return extents

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Whether a frame may be at an acquisition index: files do not say."""
        return True

    def read(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return a frame; zeros where a writer that is not done has left nothing that can be read yet."""
        one = self.plan.images[image]
        planes = [self._plane(image, one.plane(index, s)) for s in range(one.planes)]
        return planes[0] if one.planes == 1 else np.stack(planes, axis=-1)

    def on(self, event: Any, callback: Callable[[Any], None]) -> None:
        """Do nothing: files do not tell when they change."""

    def summary(self) -> Summary:
        """Return what the root document says."""
        return _summary(self._root)

    def _facts(self) -> dict[str, Any]:
        facts = self._root.read().get("attributes", {}).get("ome_writers", {})
        return facts if isinstance(facts, dict) else {}

    def _plane(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        array = self._arrays[image]
        shape = array.shape
        if any(i >= n for i, n in zip(index, shape, strict=False)):
            return np.zeros(shape[-2:], array.dtype)
        try:
            plane: NDArray[np.generic] = array[index]
        except TornError:
            if self._facts().get("status") != "writing":
                raise
            # some engines leave shards without an index until they are complete
            return np.zeros(shape[-2:], array.dtype)
        return plane


class StoredSource:
    """Files as the source of views: what is there is all there is; see `Source`."""

    def __init__(self, stream: StoredStream) -> None:
        self._live = LiveSource(stream)
        self.dims = self._live.dims
        self.rank = self._live.rank
        self.dtype = self._live.dtype

    def planned(self) -> tuple[int | None, ...]:
        """Return the extents as they are now."""
        return (*self._live.reached(), *self._live.planned()[self.rank :])

    def reached(self) -> tuple[int, ...]:
        """Return the extents as they are now, without y and x."""
        return self._live.reached()

    def coords(self, shape: tuple[int, ...]) -> Mapping[str, Sequence[Any]]:
        """Return the names of channels and positions, ranges for other axes."""
        return self._live.coords(shape)

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a frame."""
        return self._live.plane(index)

    def watch(self, callback: Callable[[], None]) -> None:
        """Do nothing: files do not tell when they change."""

    def summary(self) -> Summary:
        """Return what the root document says."""
        return self._live.summary()


def _summary(root: LiveDocument) -> Summary:
    """Return what a root document says of its dataset, whichever program wrote it."""
    ours = root.read().get("attributes", {}).get("ome_writers")
    facts = ours if isinstance(ours, dict) else {}
    return Summary.of(root.path.parent, facts.get("status"), facts.get("frames"))


def _plan(settings: Any) -> Plan | None:
    """Return the plan of stored settings; None when another version wrote them in words unknown here."""
    try:
        return plan_from_settings(settings)
    except UnsupportedError:
        return None


def _array(folder: Path, root: Path, remember: int) -> Any:
    """Return an array by our own reader, else by one of those that are installed."""
    try:
        return ZarrArray(folder, root, remember)
    except InvalidFileError:
        raise
    except UnsupportedError:
        try:
            return open_with_zarr_python(folder, root)
        except ImportError:
            pass
        raise


def _foreign(path: Path, remember: int, summary: Callable[[], Summary]) -> Source:
    """Return the images of an OME-Zarr as they are stored, one after the other along ``p``."""
    groups = image_groups(path)
    omes = [group_attributes(path / group, path)["ome"] for group in groups]
    multiscales = [ome["multiscales"][0] for ome in omes]
    arrays = [
        _array(member(path / group, m["datasets"][0]["path"]), path, remember // len(groups))
        for group, m in zip(groups, multiscales, strict=True)
    ]
    axes = [str(axis["name"]) for axis in multiscales[0]["axes"]]
    names = {"p": [str(m.get("name") or g) for m, g in zip(multiscales, groups, strict=True)]}
    channels = omes[0].get("omero", {}).get("channels", ())
    names["c"] = [str(channel.get("label", i)) for i, channel in enumerate(channels)]
    if len(arrays) == 1:
        return StackedSource(arrays, None, labels=axes, names=names, summary=summary)
    return StackedSource(arrays, 0, labels=("p", *axes), names=names, summary=summary)
