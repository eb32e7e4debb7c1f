"""The documents of the arrays on disk: what their shapes are, as far as others shall see."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ome_writers.storage.files import replace
from ome_writers.storage.zarr.document import array_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ome_writers.routing import ArrayPlan

__all__ = ["ShownArrays"]


class ShownArrays:
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

    def show(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write the document of each array whose shape is another than before."""
        for i, ((key, plan), shape) in enumerate(zip(self._arrays, shapes, strict=True)):
            if self._shapes[i] != shape:
                document = json.dumps(array_document(plan, shape)).encode()
                replace(self._root / key / "zarr.json", document, durable=self._durable)
                self._shapes[i] = shape

    def forget(self) -> None:
        """Take it that somebody else has written over the documents."""
        self._shapes = [None] * len(self._arrays)
