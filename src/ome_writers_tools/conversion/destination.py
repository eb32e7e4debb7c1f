"""Settings of the destination of a conversion."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ome_writers import (
    AcquisitionSettings,
    CameraNoise,
    DatasetSpec,
    Dimension,
    OutputExistsError,
    Position,
    Pyramid,
    Schedule,
    SettingsError,
)
from ome_writers.toolkit import (
    Format,
    PyramidMethod,
    find_engine,
    format_row,
    resolve_entry_file,
    split_suffix,
)
from ome_writers_tools.conversion.selection import (
    Indices,
    Selection,
    nested_loop_indices,
    with_values,
)

NAMESPACE = "conversion"
"""Namespace of the global metadata that describe the source."""

_BUFFER_BYTES = 64 * 2**20  # enough for reading and writing to overlap


def with_image_name(
    source: Selection,
    dimensions: tuple[Dimension, ...],
    write: Indices,
    destination: Path,
    format: Format,
) -> tuple[tuple[Dimension, ...], Indices]:
    """Add a position for the name of a single image if the destination would name it after its file instead."""
    stem = split_suffix(destination.name)[0]
    if (
        not format_row(format.name).image_named_after_file
        or source.spec.position_axis is not None
        or source.name in ("", stem)
    ):
        return dimensions, write
    position = Dimension(name="p", type="position", coords=[Position(name=source.name)])
    return (position, *dimensions), np.insert(write, 0, 0, axis=1)


def with_chunks(
    source: Selection,
    dimensions: tuple[Dimension, ...],
    format: Format,
    chunks: Mapping[str, int],
    shards: Mapping[str, int],
) -> tuple[Dimension, ...]:
    """Return the dimensions with the given chunk and shard shapes; from Zarr to Zarr, those of the source are kept.

    0 chunks per shard are no shards.
    """
    names = [dim.name for dim in dimensions if dim.type != "position"]
    for what, shape in (("chunk_shapes", chunks), ("shard_shapes", shards)):
        if unknown := [name for name in shape if name not in names]:
            raise SettingsError(
                f"{what} names {unknown}; the axes of {source.spec.path} are {names}."
            )
    row = format_row(format.name)
    keep = row.chunked and format_row(source.spec.format).chunked
    return tuple(
        dim
        if dim.type == "position"
        else with_values(
            dim,
            chunk_size=chunks.get(dim.name, dim.chunk_size if keep else None),
            shard_size_chunks=shards.get(dim.name, dim.shard_size_chunks if keep else None) or None,
        )
        for dim in dimensions
    )


def with_checksum(source: Selection, format: Format) -> Format:
    """Return the format with checksums if the source has them and `format` does not set them."""
    engine = find_engine(getattr(format, "backend", "auto"))
    if (
        source.spec.images[source.images[0]].levels[0].checksum
        and "checksum" in type(format).model_fields
        and "checksum" not in format.model_fields_set
        and (engine is None or engine.checksums)
    ):
        return format.model_copy(update={"checksum": True})
    return format


def destination_settings(
    source: Selection,
    dimensions: tuple[Dimension, ...],
    write: Indices,
    destination: str | PathLike[str],
    format: Format,
    compression: str | None,
    overwrite: bool,
    pyramid: Pyramid | PyramidMethod | None,
    dtype: str | None = None,
    quantize: CameraNoise | None = None,
) -> AcquisitionSettings:
    """Return settings for frames like those of `source`, appended at the indices `write` in this order."""
    image = source.images[0]
    same_format = format_row(source.spec.format) is format_row(format.name)
    counts = [dim.count or 1 for dim in dimensions[:-2]]
    needs_schedule = not np.array_equal(write, nested_loop_indices(counts))
    names = tuple(dim.name for dim in dimensions[:-2])
    settings = source.spec.settings
    codec: Any = compression or (source.compression if format_row(format.name).chunked else None)
    order: Any = settings.storage_order if settings and same_format else "ome"
    if not isinstance(order, str):  # without the axes that the destination does not have
        order = [name for name in order if name in {dim.name for dim in dimensions}]
    try:
        return AcquisitionSettings(
            root_path=destination,
            dimensions=dimensions,
            dtype=dtype or source.dtype(image),
            format=format,
            compression=codec,
            storage_order=order,
            plate=source.spec.plate,
            overwrite=overwrite,
            pyramid=pyramid,
            buffer_bytes=_BUFFER_BYTES,
            schedule=Schedule(names, write) if needs_schedule else None,
            rgb=len(source.dataset.frame_shape(image)) == 3,
            instrument=settings.instrument if settings else None,
            experiment=settings.experiment if settings else None,
            acquisition_date=_acquisition_date(source.spec),
            quantize=quantize,
        )
    except ValidationError as error:
        problems = str(error).removeprefix("AcquisitionSettings: ")
        raise SettingsError(
            f"{source.spec.path} cannot be written to {destination}: {problems}"
        ) from error


def _acquisition_date(spec: DatasetSpec) -> datetime | None:
    """Return when the acquisition began; None if unknown, as after an earlier conversion, or not a time."""
    if spec.settings is not None and spec.settings.acquisition_date is not None:
        return spec.settings.acquisition_date
    if spec.started is None or NAMESPACE in spec.metadata:
        return None
    try:
        return TypeAdapter(datetime).validate_python(spec.started)
    except ValidationError:
        return None


def refuse_overlap(source: Path, output: Path) -> None:
    """Raise if the output is the source, contains it or is inside it: `overwrite` would delete the source."""
    read, written = source.resolve(), resolve_entry_file(output).resolve()
    if read == written or read in written.parents or written in read.parents:
        raise OutputExistsError(
            f"{output} is the source {source} itself, or one contains the other. Choose another destination."
        )
