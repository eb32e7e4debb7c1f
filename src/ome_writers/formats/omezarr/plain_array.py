"""A Zarr array without OME metadata, which is only read.

Its axes are its dimension names, or the last of t, c, z, y, x.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.omezarr.node_metadata import (
    array_metadata_file,
    compression_of_codecs,
    parse_array_metadata,
)
from ome_writers.formats.plane_files import axes_of_shape, image_of_planes
from ome_writers.untrusted import read_json, read_json_object

_SAMPLES = (3, 4)  # RGB, RGBA
_WORDS = {"t", "c", "z", "y", "x", "time", "channel"}  # by their first letter


def is_plain_array(root: Path) -> bool:
    """Whether `root` is a Zarr array that is not in a Zarr group, whose metadata would describe it."""
    if any((root.parent / name).is_file() for name in ("zarr.json", ".zgroup")):
        return False
    file = array_metadata_file(root)
    return file.name == ".zarray" or read_json_object(file, root).get("node_type") == "array"


def parse_plain_array(root: Path) -> DatasetSpec:
    """Return the image that an array is.

    Raises UnsupportedError if its last axis seems to be RGB samples, or it has more axes than t, c, z, y, x.
    """
    array = parse_array_metadata(read_json(array_metadata_file(root), root=root), root)
    names: object = array.dimension_names
    if names is None:  # as xarray writes them in Zarr v2
        names = read_json_object(root / ".zattrs", root).get("_ARRAY_DIMENSIONS")
    known = _index_axes(names, len(array.shape))
    if known is None and len(array.shape) > 2 and array.shape[-1] in _SAMPLES:
        raise UnsupportedError(
            f"{root} has the shape {array.shape}: its last axis seems to be samples, but the last two must be y and x. "
            f"Move the samples to an axis before them, or name the dimensions."
        )
    dimensions = tuple(
        dim.model_copy(
            update={
                "chunk_size": min(chunk, dim.count or 1),
                "shard_size_chunks": shard // chunk if array.shards else None,
            }
        )
        for dim, chunk, shard in zip(
            axes_of_shape(array.shape, root, known or ""),
            array.chunks,
            array.shards or array.chunks,
            strict=True,
        )
    )
    image = image_of_planes(
        "",
        root.name,
        dimensions,
        str(array.data_type),
        chunks=array.chunks,
        shards=array.shards,
        compression=compression_of_codecs(array.codecs),
    )
    return DatasetSpec(root, "zarr", "", "image", (image,), dimensions)


def _index_axes(names: object, rank: int) -> str | None:
    """Return the names of the axes before y and x; None unless all axes are named t, c, z, y, x."""
    if not isinstance(names, Sequence) or len(names) != rank:
        return None
    letters = [str(name)[:1].lower() if str(name).lower() in _WORDS else "?" for name in names]
    return "".join(letters[:-2]) if letters[-2:] == ["y", "x"] and "?" not in letters else None
