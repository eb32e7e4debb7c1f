"""Notes on valid settings, and errors of arguments; `create_stream` imports this only where it may need one.

Notes are logged: a warning would be an error in clients that forbid warnings.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ome_writers.errors import short_repr
from ome_writers.settings import keyword_arguments

if TYPE_CHECKING:
    from ome_writers.routing import Plan
    from ome_writers.settings import AcquisitionSettings
    from ome_writers.storage import EngineRow
    from ome_writers.streaming.dataset_writer import Output

_log = logging.getLogger("ome_writers")


def log_notes(settings: AcquisitionSettings, output: Output) -> None:
    """Log what settings do that may not be meant, and those that have no effect."""
    _log_unintended(settings, chunks=output.engine_row.sharding)
    _log_settings_without_effect(output.engine_row, output.plan)


def _log_unintended(settings: AcquisitionSettings, *, chunks: bool) -> None:
    if not settings.root_path and "format" not in settings.model_fields_set:
        _log.warning(
            "root_path is empty: frames are kept in memory, and are lost when the process ends. Set root_path to write "
            "them, or format='scratch' if that is meant."
        )
    if [dim.name.lower() for dim in settings.frame_dimensions] == ["x", "y"]:
        _log.warning(
            "The last two dimensions are named x, y, but frames have shape (y, x): x is stored as the rows. Name the "
            "rows y and the columns x."
        )
    for dim in settings.frame_dimensions:
        if chunks and dim.count and (dim.chunk_size or 0) > dim.count:
            _log.warning(
                "chunk_size %d of %s is larger than its count %d: each chunk is padded. Leave chunk_size out to get "
                "chunks of one frame.",
                dim.chunk_size,
                dim.name,
                dim.count,
            )


def _log_settings_without_effect(row: EngineRow, plan: Plan) -> None:
    """Log chunk and shard sizes the engine ignores."""
    if row.sharding:
        return
    dimensions = plan.settings.dimensions
    one_plane = [1] * (len(dimensions) - 2) + [d.count for d in dimensions[-2:]]
    ignored_axes = {
        "chunk_size": [
            d.name
            for d, default in zip(dimensions, one_plane, strict=True)
            if d.chunk_size and min(d.chunk_size, d.count or d.chunk_size) != default
        ],
        "shard_size_chunks": [d.name for d in dimensions if d.shard_size_chunks],
    }
    ignored = [f"{field} of {', '.join(axes)}" for field, axes in ignored_axes.items() if axes]
    if ignored:
        _log.warning(
            "%s: %s: no effect, %s stores each plane separately. Leave them out, or write OME-Zarr.",
            plan.settings.output_path or plan.settings.format.name,
            " and ".join(ignored),
            plan.settings.format.name,
        )


def argument_error(settings: Any, unnamed: Sequence[Any], fields: Mapping[str, Any]) -> TypeError:
    """Return the error for arguments of `create_stream` that are neither settings nor their fields."""
    if unnamed or isinstance(settings, (str, os.PathLike)):
        names = ("root_path", "dimensions", "dtype")
        values = (*filter(None, [settings]), *unnamed)
        return TypeError(
            f"create_stream takes settings or keyword arguments, got {len(values)} without a name. "
            f"Write create_stream({keyword_arguments(names, values)}, ...)."
        )
    if fields:
        return TypeError(
            f"create_stream takes settings or their fields, got both: settings and {', '.join(fields)}. "
            f"Write settings.model_copy(update=...) to change fields of settings."
        )
    hint = "create_stream(root_path=..., dimensions=..., dtype=...)"
    if isinstance(settings, Mapping):
        hint = "create_stream(**settings)"
    return TypeError(
        f"create_stream takes AcquisitionSettings, got {short_repr(settings)}: write {hint}, or pass "
        f"AcquisitionSettings(...)."
    )
