"""Labels of a dataset or a stream, as arrays with the axes of the image layers that they are shown over."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

import ome_writers
from ome_writers import OMEStream, OMEWritersError
from ome_writers_napari.stacks import full_key


class LabelImages(NamedTuple):
    """Labels of one name: `views` by level and number of the image, None for images without labels."""

    dims: tuple[str, ...]
    dtype: np.dtype[Any]
    views: Sequence[Sequence[Any]]
    position_axis: str | None = None  # of views that contain all images
    colors: Mapping[int, tuple[float, ...]] = {}

    def stack(
        self, level: int, image: int, axes: Sequence[str], shape: Sequence[int]
    ) -> LabelStack:
        """Return the labels of an image with the axes and the shape of its layer."""
        fixed = {} if self.position_axis is None else {self.position_axis: image}
        view = self.views[level][0 if fixed else image]
        return LabelStack(view, self.dims, self.dtype, fixed, axes, shape)


class LabelSource(Protocol):
    """The labels of a dataset at any time."""

    def labels(self) -> Mapping[str, LabelImages]:
        """Return the labels by name."""
        ...

    def frames(self) -> object:
        """Return a value that differs after planes were added."""
        ...


class StreamLabels:
    """The labels that a stream derives."""

    def __init__(self, stream: OMEStream) -> None:
        self._stream = stream
        self._known: dict[str, LabelImages] = {}

    def labels(self) -> Mapping[str, LabelImages]:
        for derived in self._stream.derived:
            if derived.kind == "labels" and derived.name not in self._known:
                view = derived.view()
                axis = next((d.name for d in view.dimensions if d.type == "position"), None)
                color = {
                    value: tuple(c / 255 for c in rgba) for value, rgba in derived.colors.items()
                }
                self._known[derived.name] = LabelImages(
                    view.dims, view.dtype, [[view]], axis, color
                )
        return self._known

    def frames(self) -> object:
        return [each.summary().frames for each in self._stream.derived]


class StoredLabels:
    """The labels of an OME-Zarr on this disk; while it is written, those of the first image are looked for again."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        self._keys: list[str] = []
        self._listed_at: int | None = None
        self._known: dict[str, LabelImages] = {}
        with suppress(OMEWritersError, OSError):
            spec = ome_writers.read(path)
            if spec.path.is_dir() and "zarr" in spec.format:
                self._path, self._keys = spec.path, [image.key for image in spec.images]

    def labels(self) -> Mapping[str, LabelImages]:
        if not self._keys:
            return {}
        modified = _modified(self._path / self._keys[0] / "labels")
        if self._listed_at != modified or self._listed_at is None:
            self._listed_at = modified
            keys: dict[str, dict[int, str]] = {}
            for number, key in enumerate(self._keys):
                for name in _names(self._path / key / "labels"):
                    keys.setdefault(name, {})[number] = f"{key}/labels/{name}".lstrip("/")
            for name in [name for name in keys if name not in self._known]:
                with suppress(OMEWritersError, OSError):
                    self._known[name] = self._open(keys[name])
            if self._listed_at is None:
                self._listed_at = -1
        return self._known

    def _open(self, keys: Mapping[int, str]) -> LabelImages:
        first = self._path / next(iter(keys.values()))
        spec = ome_writers.read(first)
        view = ome_writers.open(first)
        count = len(spec.images[0].levels)
        views = [
            [
                _LazyView(self._path / keys[n], level) if n in keys else None
                for n in range(len(self._keys))
            ]
            for level in range(1 if spec.status == "writing" else count)
        ]
        return LabelImages(view.dims, view.dtype, views, colors=_colors(first))

    def frames(self) -> object:
        return [
            next((v for v in labels.views[0] if v is not None), _NONE).frames()
            for labels in self._known.values()
        ]


class _LazyView:
    """A view that is opened when it is read, so that those of a plate are not all opened at once."""

    def __init__(self, path: Path, level: int) -> None:
        self._path, self._level = path, level
        self._view: Any = None

    def __getitem__(self, key: Any) -> NDArray[Any]:
        pixels: NDArray[Any] = self._opened()[key]
        return pixels

    def frames(self) -> int | None:
        frames: int | None = self._opened().summary().frames
        return frames

    def _opened(self) -> Any:
        if self._view is None:
            self._view = ome_writers.open(self._path, level=self._level)
        return self._view


class _NoView:
    def frames(self) -> None:
        return None


_NONE = _NoView()


class LabelStack:
    """The labels of one image with the axes of its layer, as an array of constant shape.

    Labels without an axis of the layer are the same at each of its indices; of an axis that the layer does not have,
    they are those at index 0. What is not written is 0.
    """

    def __init__(
        self,
        view: Any,
        dims: Sequence[str],
        dtype: np.dtype[Any],
        fixed: Mapping[str, int],
        axes: Sequence[str],
        shape: Sequence[int],
    ) -> None:
        self._view, self._dims, self._fixed, self._axes = view, dims, dict(fixed), tuple(axes)
        self.dtype = dtype
        self.shape = tuple(shape)
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        keys = dict(zip(self._axes, full_key(key, self.ndim), strict=True))
        selected = {a: k for a, k in keys.items() if isinstance(k, slice)}
        wanted = list(selected)
        extents = dict(zip(self._axes, self.shape, strict=True))
        out = np.zeros([len(range(extents[a])[k]) for a, k in selected.items()], self.dtype)
        index = tuple(self._fixed.get(d, keys.get(d, 0)) for d in self._dims)
        if self._view is None:  # an image without these labels
            return out
        try:
            pixels = np.asarray(self._view[index])
        except IndexError:  # not written yet
            return out
        given = [d for d, k in zip(self._dims, index, strict=True) if isinstance(k, slice)]
        pixels = pixels.transpose([given.index(a) for a in wanted if a in given])
        pixels = pixels[tuple(slice(None) if a in given else None for a in wanted)]
        inside = tuple(
            slice(None) if a not in given else slice(min(n, m))
            for a, n, m in zip(wanted, out.shape, pixels.shape, strict=True)
        )
        out[inside] = pixels[inside]
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.generic]:
        return np.asarray(self[...], dtype=dtype)


def _modified(folder: Path) -> int | None:
    with suppress(OSError):
        return (folder / "zarr.json").stat().st_mtime_ns
    return None


def _names(folder: Path) -> list[str]:
    """Return the names in a group ``labels``."""
    names = _attributes(folder).get("labels")
    found = names if isinstance(names, list) else []
    return [n for n in found if isinstance(n, str) and n.strip(".") and "/" not in n]


def _colors(group: Path) -> dict[int, tuple[float, ...]]:
    look = _attributes(group).get("image-label")
    entries = look.get("colors") if isinstance(look, dict) else None
    found: dict[int, tuple[float, ...]] = {}
    for entry in entries if isinstance(entries, list) else ():
        with suppress(KeyError, TypeError, ValueError):
            found[int(entry["label-value"])] = tuple(c / 255 for c in entry["rgba"])
    return found


def _attributes(group: Path) -> dict[str, Any]:
    """Return the attributes of NGFF of a group; empty if it cannot be read."""
    for name in ("zarr.json", ".zattrs"):
        with suppress(OSError, ValueError, AttributeError):
            content = json.loads((group / name).read_bytes())
            attributes = content["attributes"]["ome"] if name == "zarr.json" else content
            if isinstance(attributes, dict):
                return attributes
    return {}
