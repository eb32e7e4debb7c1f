"""Serve datasets with tiled, during the run and afterwards.

`register` makes bluesky's `TiledWriter` know OME-Zarr and OME-TIFF; `ADAPTERS` goes to the tiled server, as
``adapters_by_mimetype``. A detector's frames are an array of shape (collection, y, x).
"""

# pyright: reportMissingImports=false
# tiled is not installed where types are checked.

from __future__ import annotations

from typing import Any, ClassVar

import bluesky.consolidators
import numpy as np
from bluesky_tiled_plugins.writing import consolidators
from event_model.documents import EventDescriptor, StreamResource
from tiled.adapters.array import ArrayAdapter
from tiled.utils import path_from_uri

import ome_writers
from ome_writers_ophyd.output import CAMERA_AXIS

MIMETYPES = ("application/x-ome-zarr", "application/x-ome-tiff")


class OMEConsolidator(consolidators.ConsolidatorBase):  # type: ignore[misc]  # tiled has no types here
    """Turns the stream documents of an `OMEDataLogic` into a data source of tiled."""

    supported_mimetypes: ClassVar[set[str]] = set(MIMETYPES)
    join_method: ClassVar[str] = "concat"

    def __init__(self, stream_resource: StreamResource, descriptor: EventDescriptor) -> None:
        parameters = {**stream_resource["parameters"]}
        parameters.pop("join_method", None)  # stated by the class; as a parameter it is deprecated
        super().__init__({**stream_resource, "parameters": parameters}, descriptor)
        self.assets[0].is_directory = parameters["is_directory"]
        self.parameters = {name: parameters[name] for name in ("camera", "index")}

    def adapter_parameters(self) -> dict[str, Any]:
        return self.parameters


class OMEArrayAdapter(ArrayAdapter):  # type: ignore[misc]  # tiled has no types here
    """Reads frames with `ome_writers.open`, which follows a growing dataset."""

    @classmethod
    def from_catalog(
        cls, data_source: Any, node: Any, /, camera: int | None, index: list[list[int]] | None
    ) -> OMEArrayAdapter:
        """Return the adapter for a data source of the catalog; it contains the frames that the source lists."""
        view = ome_writers.open(path_from_uri(data_source.assets[0].data_uri))
        count, height, width = data_source.structure.shape
        frames: Any = view.to_dask()  # numpy's functions are not annotated for arrays of dask
        if camera is not None:
            frames = np.take(frames, camera, axis=view.dims.index(CAMERA_AXIS))
        shape, frames = frames.shape[:-2], frames.reshape(-1, *frames.shape[-2:])
        if index is not None:
            cycle, point = np.divmod(np.arange(count), len(index))
            indices = np.array(index)[point].T
            indices[0] += cycle * (indices[0].max() + 1)
            frames = frames[np.ravel_multi_index(tuple(indices), shape)]
        # the view has the size and dtype of the largest detector
        dtype = data_source.structure.data_type.to_numpy_dtype()
        frames = frames[:count, :height, :width].astype(dtype)
        return cls(frames, data_source.structure, metadata=node.metadata_, specs=node.specs)


#: For ``adapters_by_mimetype`` of a tiled catalog.
ADAPTERS = dict.fromkeys(MIMETYPES, OMEArrayAdapter)


def register() -> None:
    """Register the consolidator for `TiledWriter`, which has none for OME-Zarr and OME-TIFF."""
    for module in (consolidators, bluesky.consolidators):
        module.CONSOLIDATOR_REGISTRY.update(dict.fromkeys(MIMETYPES, OMEConsolidator))
