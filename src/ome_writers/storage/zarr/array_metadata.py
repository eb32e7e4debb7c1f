"""The documents of the arrays on disk: what their shapes are, as far as others shall see."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING

from ome_writers.storage.files import replace
from ome_writers.storage.zarr.array_document import array_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ome_writers.routing import ArrayPlan

__all__ = ["ArrayMetadataWriter"]


class ArrayMetadataWriter:
    """The ``zarr.json`` of each array of a dataset.

    Parameters
    ----------
    root
        The folder of the dataset.
    arrays
        Key and plan of each array.
    durable
        Whether documents are forced to the medium.
    """

    def __init__(
        self, root: Path, arrays: Sequence[tuple[str, ArrayPlan]], *, durable: bool
    ) -> None:
        self._root = root
        self._arrays = arrays
        self._durable = durable
        self._shapes: list[tuple[int, ...] | None] = [None] * len(arrays)
        self._growing = [plan.growing for _, plan in arrays]
        self._shown = [0] * len(arrays)  # extents along growing axes
        self._hidden: deque[tuple[int, int, int]] = (
            deque()
        )  # frame, array, the extent that shows it

    def note(self, number: int, array: int, index: tuple[int, ...]) -> None:
        """Take note of a frame of an array: `hidden` returns it until a shape that holds it was shown."""
        growing = self._growing[array]
        if growing is not None:
            self._hidden.append((number, array, index[growing] + 1))

    def hidden(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the noted frames that lie within `shapes` and outside of what was shown."""
        return tuple(
            number
            for number, array, extent in tuple(self._hidden)
            if self._shown[array] < extent <= shapes[array][self._growing[array] or 0]
        )

    def show(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write the document of each array whose shape is another than before."""
        for i, ((key, plan), shape) in enumerate(zip(self._arrays, shapes, strict=True)):
            if self._shapes[i] != shape:
                document = json.dumps(array_document(plan, shape)).encode()
                replace(self._root / key / "zarr.json", document, durable=self._durable)
                self._shapes[i] = shape
                self._shown[i] = shape[self._growing[i] or 0]
        for _ in range(len(self._hidden)):
            number, array, extent = self._hidden.popleft()
            if extent > self._shown[array]:
                self._hidden.append((number, array, extent))

    def forget(self) -> None:
        """Take it that somebody else has written over the documents."""
        self._shapes = [None] * len(self._arrays)
