"""Array metadata (``zarr.json`` of an array): its content, the same for every engine, and when it is written.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html and the codec pages there.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from ome_writers.codecs import zarr_codecs
from ome_writers.dataset import LevelSpec

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def render_array_metadata(level: LevelSpec, shape: Sequence[int]) -> dict[str, Any]:
    """Return the content of an array's ``zarr.json``.

    `shape` is the current shape in pixels; along the growing axis it may exceed the planned one.
    """
    compression = zarr_codecs(level.compression, checksum=level.checksum)
    codecs = [_BYTES, *(codec.metadata(level.numpy_dtype.itemsize) for codec in compression)]
    if level.shards is not None:
        codecs = [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": list(level.chunks),
                    "codecs": codecs,
                    "index_codecs": [_BYTES, {"name": "crc32c"}],
                    # "start" is valid too, but browser-based readers support "end" only
                    "index_location": "end",
                },
            }
        ]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": level.dtype,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(level.shards or level.chunks)},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _fill_value(level.numpy_dtype.kind),
        "codecs": codecs,
        "attributes": {},
        "dimension_names": [d.name for d in level.dimensions],
    }


class ArrayMetadataWriter:
    """Writes the ``zarr.json`` of each array of a dataset when its shape changes."""

    def __init__(self, put: Callable[[str, bytes], object], arrays: Sequence[LevelSpec]) -> None:
        self._put = put
        self._arrays: list[LevelSpec] = []
        self._growing: list[int | None] = []
        self._written: list[tuple[int, ...] | None] = []  # shapes
        self._extents: list[int] = []  # of the written shapes, along growing axes
        self.add(arrays)
        # (frame number, array, extent that includes the frame)
        self._unpublished: deque[tuple[int, int, int]] = deque()

    def add(
        self, arrays: Sequence[LevelSpec], shapes: Sequence[tuple[int, ...] | None] = ()
    ) -> None:
        """Add arrays, with the shapes that they have on disk if they exist."""
        self._arrays += arrays
        self._growing += [level.growing for level in arrays]
        self._written += shapes or [None] * len(arrays)
        growing = zip(shapes or [None] * len(arrays), arrays, strict=True)
        self._extents += [0 if s is None else s[level.growing or 0] for s, level in growing]

    def add_frame(self, number: int, array: int, index: tuple[int, ...]) -> None:
        """Count a frame as unpublished until a shape that includes it has been written."""
        growing = self._growing[array]
        if growing is not None:
            self._unpublished.append((number, array, index[growing] + 1))

    def unpublished_frames(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the numbers of frames inside `shapes` but outside the shapes that were written."""
        return tuple(
            number
            for number, array, extent in tuple(self._unpublished)
            if self._extents[array] < extent <= shapes[array][self._growing[array] or 0]
        )

    def write(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write the metadata of each array whose shape has changed; after an error, those of the others."""
        with ExitStack() as steps:  # calls all, then raises an error
            for i in reversed(range(len(self._arrays))):
                if self._written[i] != shapes[i]:
                    steps.callback(self._write_array, i, shapes[i])
        for _ in range(len(self._unpublished)):
            number, array, extent = self._unpublished.popleft()
            if extent > self._extents[array]:
                self._unpublished.append((number, array, extent))

    def _write_array(self, array: int, shape: tuple[int, ...]) -> None:
        level = self._arrays[array]
        self._put(
            f"{level.key}/zarr.json", json.dumps(render_array_metadata(level, shape)).encode()
        )
        self._written[array] = shape
        self._extents[array] = shape[self._growing[array] or 0]

    def invalidate(self) -> None:
        """Write all metadata again next time: a library may have overwritten it."""
        self._written = [None] * len(self._arrays)


def _fill_value(kind: str) -> Any:
    if kind == "c":
        return [0.0, 0.0]
    return {"b": False, "f": 0.0}.get(kind, 0)
