"""Serve datasets with tiled, during the run and afterwards.

`register` makes bluesky's `TiledWriter` know OME-Zarr and OME-TIFF; `ADAPTERS` goes to the tiled server, as
``adapters_by_mimetype``. A detector's frames are an array of shape (collection, y, x).
"""

# pyright: reportMissingImports=false
# tiled is not installed where types are checked.

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from bluesky_tiled_plugins.writing import consolidators
from tiled.adapters.array import ArrayAdapter
from tiled.ndslice import NDSlice
from tiled.utils import path_from_uri

import ome_writers
from ome_writers_ophyd.output import CAMERA_AXIS

if TYPE_CHECKING:
    from event_model.documents import EventDescriptor, StreamResource
    from tiled.ndslice import NDBlock


_IS_DIRECTORY = {"application/x-ome-zarr": True, "application/x-ome-tiff": False}


class OMEConsolidator(consolidators.ConsolidatorBase):  # type: ignore[misc]  # tiled has no types here
    """Turns the stream documents of an `OMEDataLogic` into a data source of tiled."""

    supported_mimetypes: ClassVar[set[str]] = set(_IS_DIRECTORY)
    join_method: ClassVar[str] = "concat"

    def __init__(self, stream_resource: StreamResource, descriptor: EventDescriptor) -> None:
        parameters = dict(stream_resource["parameters"])
        parameters.pop("join_method", None)  # stated by the class; as a parameter it is deprecated
        super().__init__({**stream_resource, "parameters": parameters}, descriptor)
        self.parameters = {name: parameters.get(name) for name in ("camera", "index")}
        is_directory = _IS_DIRECTORY[self.mimetype]
        self.assets = [
            consolidators.Asset(self.uri, is_directory=is_directory, parameter="data_uri", num=None)
        ]

    def adapter_parameters(self) -> dict[str, Any]:
        return self.parameters


class OMEArrayAdapter(ArrayAdapter):  # type: ignore[misc]  # tiled has no types here
    """Reads frames with `ome_writers.open`, which follows a growing dataset."""

    @classmethod
    def from_catalog(
        cls,
        data_source: Any,
        node: Any,
        /,
        camera: int | None = None,
        index: list[dict[str, int]] | None = None,
    ) -> OMEArrayAdapter:
        """Return the adapter for a data source of the catalog."""
        path = path_from_uri(data_source.assets[0].data_uri)
        frames = _Frames(ome_writers.open(path), camera, index, data_source.structure)
        adapter = cls(frames, data_source.structure, metadata=node.metadata_, specs=node.specs)
        adapter.frames = frames
        return adapter

    def read(self, slice: NDSlice = NDSlice(...)) -> Any:  # noqa: A002, B008 # tiled's signature
        return self.frames[tuple(slice) if slice else ()]

    def read_block(
        self,
        block: NDBlock,
        slice: NDSlice = NDSlice(...),  # noqa: A002, B008 # tiled's signature
    ) -> Any:
        frames = self.frames[tuple(block.slice_from_chunks(self.structure().chunks))]
        return frames[tuple(slice)] if slice else frames


class _Frames:
    """The frames of one detector in order of acquisition, of shape (collection, y, x)."""

    def __init__(
        self,
        view: ome_writers.StreamView,
        camera: int | None,
        index: list[dict[str, int]] | None,
        structure: Any,
    ) -> None:
        self._view, self._camera, self._index = view, camera, index
        self.shape = structure.shape
        self.dtype = structure.data_type.to_numpy_dtype()

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        key = key if len(key) and key[0] is not Ellipsis else (slice(None),)
        numbers = np.arange(self.shape[0])[key[0]]
        frames = [self._frame(int(n)) for n in np.atleast_1d(numbers)]
        stack = np.stack(frames) if frames else np.empty((0, *self.shape[1:]), self.dtype)
        return (stack if numbers.ndim else stack[0])[(..., *key[1:]) if key[1:] else ()]

    def _frame(self, number: int) -> np.ndarray[Any, Any]:
        axes = [axis for axis in self._view.dims[:-2] if axis != CAMERA_AXIS]
        if self._index is not None:  # stored by the points of a plan, again at each t
            t, point = divmod(number, len(self._index))
            index = {**self._index[point], "t": t}
        else:
            counts = [self._view.shape[self._view.dims.index(axis)] for axis in axes]
            index = dict(zip(axes, map(int, np.unravel_index(number, counts)), strict=True))
        if self._camera is not None:
            index[CAMERA_AXIS] = self._camera
        frame = np.asarray(self._view[tuple(index[axis] for axis in self._view.dims[:-2])])
        height, width = self.shape[-2:]  # the view has the size and dtype of the largest detector
        return frame[:height, :width].astype(self.dtype)


#: For ``adapters_by_mimetype`` of a tiled catalog.
ADAPTERS = dict.fromkeys(_IS_DIRECTORY, OMEArrayAdapter)


def register() -> None:
    """Register the consolidator for `TiledWriter`, which has none for OME-Zarr and OME-TIFF."""
    for module in ("bluesky_tiled_plugins.writing.consolidators", "bluesky.consolidators"):
        registry = importlib.import_module(module).CONSOLIDATOR_REGISTRY
        registry.update(dict.fromkeys(_IS_DIRECTORY, OMEConsolidator))
