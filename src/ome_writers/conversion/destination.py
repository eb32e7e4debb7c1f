"""The settings that a conversion writes with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from ome_writers.conversion.source import changed, loops
from ome_writers.errors import OutputExistsError, SettingsError
from ome_writers.formats import resolve_entry_file
from ome_writers.settings import AcquisitionSettings, Dimension, Position, Schedule, split_suffix

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from pathlib import Path

    from ome_writers.conversion.source import Rows, Source
    from ome_writers.settings import Format

__all__ = ["refuse_itself", "settings_of", "with_chunks", "with_name"]

BUFFER = 64 * 2**20
"""Bytes that may wait to be written: enough for reading and writing to overlap."""


def with_name(
    found: Source, dimensions: tuple[Dimension, ...], write: Rows, destination: Path, format: Format
) -> tuple[tuple[Dimension, ...], Rows]:
    """Return dimensions and frames with a position that carries the name of a single image, where OME-TIFF needs it."""
    stem = split_suffix(destination.name)[0]
    if format.name != "ome-tiff" or found.position_axis is not None or found.name in ("", stem):
        return dimensions, write
    position = Dimension(name="p", type="position", coords=[Position(name=found.name)])
    return (position, *dimensions), np.insert(write, 0, 0, axis=1)


def with_chunks(
    found: Source,
    dimensions: tuple[Dimension, ...],
    format: Format,
    chunks: Mapping[str, int],
    shards: Mapping[str, int],
) -> tuple[Dimension, ...]:
    """Return the dimensions with the chunks and shards that were asked for."""
    names = [dim.name for dim in dimensions if dim.type != "position"]
    for what, shape in (("chunk_shapes", chunks), ("shard_shapes", shards)):
        if unknown := [name for name in shape if name not in names]:
            raise SettingsError(f"{what} names {unknown}; the axes of {found.path} are {names}.")
    kept = found.format == format.name == "ome-zarr"
    return tuple(
        dim
        if dim.type == "position"
        else changed(
            dim,
            chunk_size=chunks.get(dim.name, dim.chunk_size if kept else None),
            shard_size_chunks=shards.get(dim.name, dim.shard_size_chunks if kept else None),
        )
        for dim in dimensions
    )


def settings_of(
    found: Source,
    image: int,
    dimensions: tuple[Dimension, ...],
    write: Rows,
    destination: str | PathLike[str],
    format: Format,
    compression: str | None,
    overwrite: bool,
) -> AcquisitionSettings:
    """Return settings for the frames `write`, in that order, which are like those of `image`."""
    same = found.format == format.name
    plain = np.array_equal(write, loops([dim.count or 1 for dim in dimensions[:-2]]))
    names = tuple(dim.name for dim in dimensions[:-2])
    codec: Any = compression or (found.compression if same else None)
    order: Any = found.storage_order if same else "ome"
    try:
        return AcquisitionSettings(
            root_path=destination,
            dimensions=dimensions,
            dtype=found.dtypes[image],
            format=format,
            compression=codec,
            storage_order=order,
            plate=found.plate,
            overwrite=overwrite,
            buffer_bytes=BUFFER,
            schedule=None if plain else Schedule(names, write),
            rgb=len(found.frame_shapes[image]) == 3,
        )
    except ValidationError as error:
        said = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
        raise SettingsError(f"{found.path} cannot be written to {destination}: {said}") from error


def refuse_itself(source: Path, output: Path) -> None:
    """Refuse to write into what is read, which `overwrite` would remove first."""
    read, written = source.resolve(), resolve_entry_file(output).resolve()
    if read == written or read in written.parents or written in read.parents:
        raise OutputExistsError(
            f"{output} is the source {source} itself, or one lies in the other. Choose another destination."
        )
