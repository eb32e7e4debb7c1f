"""Stages between `append` and the engine: callables that turn a plane into the planes that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, starmap
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ome_writers.routing import Address

if TYPE_CHECKING:
    from ome_writers.dataset import LevelSpec

Plane = NDArray[np.generic]
Planes = Iterable[tuple[Address, Plane]]


class Stage(Protocol):
    """Turns a plane into any number of planes. Stages that keep planes are called by one thread at a time."""

    @property
    def memory_bytes(self) -> int:
        """Maximum memory for planes that the stage keeps between calls; a part of `Options.buffer_bytes`."""
        ...

    def __call__(self, address: Address, plane: Plane, /) -> Planes:
        """Yield address (array, index) and pixels of each plane. After the second one `plane` is not read any more."""
        ...


@runtime_checkable
class KeepingStage(Stage, Protocol):
    """A stage that keeps planes until others arrive."""

    def flush(self, *, last: bool) -> Planes:
        """Yield what follows from planes kept since before the previous flush; from all planes if it is the `last`."""
        ...


@runtime_checkable
class ExtensibleStage(Stage, Protocol):
    """A stage that treats arrays by their number."""

    def add_arrays(self, first: int, targets: Sequence[LevelSpec]) -> None:
        """Include the arrays from number `first` on, which were added to the engine."""
        ...


def run_stages(stages: Iterable[Stage], address: Address, plane: Plane) -> Planes:
    """Return the planes that the last of `stages` yields. They are computed while they are iterated over."""
    planes: Planes = [(address, plane)]
    for stage in stages:
        planes = chain.from_iterable(starmap(stage, planes))
    return planes
