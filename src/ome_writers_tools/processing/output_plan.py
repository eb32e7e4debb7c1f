"""What a function returns for the blocks of a dataset, and the settings of the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ome_writers import AcquisitionSettings, Dimension, SettingsError, UnsupportedError
from ome_writers.toolkit import (
    archive_format,
    format_row,
    inferred_format,
    read_root_path,
    view_names,
)
from ome_writers_tools.conversion import (
    Selection,
    convertible_images,
    destination_settings,
    nested_loop_indices,
    with_checksum,
    with_chunks,
    with_values,
)
from ome_writers_tools.processing.functions import PlaneFunction
from ome_writers_tools.processing.growing import last_frames, wait_for_frame
from ome_writers_tools.processing.tasks import evaluate

_FORMAT = "direct"  # the engine of the tasks


class ResultPlan(NamedTuple):
    """What the function takes and returns: see `Task.block` and `Task.kept`."""

    block: tuple[str, ...]
    kept: tuple[str, ...]
    dimensions: tuple[Dimension, ...]  # of the output, in acquisition order
    dtype: str


def plan_result(
    source: Selection, function: Callable[..., Any], over: Sequence[str] | None
) -> ResultPlan:
    """Return what `function` returns; any other function than a `PlaneFunction` is called for the first block."""
    path = source.spec.path
    dimensions, write = convertible_images(source, None).destination_indices()
    complete = len(write) == np.prod([dim.count or 1 for dim in dimensions[:-2]], dtype=np.int64)
    if not complete or source.camera_axis is not None or len(source.dataset.frame_shape(0)) > 2:
        raise UnsupportedError(
            f"{path}: images of different extent, with a camera each, or RGB, are not processed. Copy images of equal "
            "extent with `ome-writers convert --image N` first."
        )
    names = view_names(dimensions)
    if isinstance(function, PlaneFunction):
        default: tuple[str, ...] = () if function.axis is None else (function.axis,)
    else:
        default = ("z",) if "z" in names else ()
    block = default if over is None else tuple(n for n in names[:-2] if n not in over)
    unknown = {*block, *(over or ())} - {*names[:-2]}
    if unknown or "p" in block or (isinstance(function, PlaneFunction) and block != default):
        raise SettingsError(
            f"{function!r} takes blocks with the axes {(*block, *names[-2:])} (over={over}); the axes of {path} are "
            f"{names}. Name axes that exist, and 'p' in `over`."
        )
    by_name = dict(zip(names, dimensions, strict=True))
    if isinstance(function, PlaneFunction):
        kept: tuple[str, ...] = ()
        dtype = function.dtype(np.dtype(source.dtype(0))).name
        frame = tuple(map(function.dimension, dimensions[-2:]))
        by_name.update(zip(names[-2:], frame, strict=True))
        selected = {n: by_name[n] for n in names[:-2] if n != "p" and n not in block}
        by_name.update({n: _selected(dim, *function.selection(dim)) for n, dim in selected.items()})
    else:
        axes = (*block, *names[-2:])
        independent = [name for name in names if name not in axes]
        wait_for_frame(path, int(last_frames(source, dict.fromkeys(independent, 1)).flat[0]))
        first = evaluate(source.dataset.view(), function, block, dict.fromkeys(independent, 0))
        if not 2 <= first.ndim <= len(axes):
            raise SettingsError(
                f"{getattr(function, '__qualname__', repr(function))} returned an array with {first.ndim} axes for a "
                f"block with the axes {axes}; return 2 to {len(axes)} axes."
            )
        if not first.size:
            raise SettingsError(
                f"{function!r} returned an empty array, {first.shape}, for a block with the axes {axes}; return at "
                "least one value along each axis."
            )
        dtype, kept = first.dtype.name, axes[len(axes) - first.ndim : -2]
        for name, extent in zip(axes[-first.ndim :], first.shape, strict=True):
            if extent != by_name[name].count:
                dim = by_name[name]
                by_name[name] = Dimension(name=name, count=extent, type=dim.type)
    left = [by_name[name] for name in names if name not in block or name in kept]
    return ResultPlan(block, kept, tuple(left), dtype)


def _selected(dimension: Dimension, start: int, stop: int) -> Dimension:
    """Return a dimension of the planes from `start` to `stop`."""
    if (start, stop) == (0, dimension.count):
        return dimension
    coords = dimension.coords and list(dimension.coords)[start:stop]
    scale = dimension.scale
    return with_values(
        dimension,
        count=stop - start,
        coords=coords,
        translation=scale and (dimension.translation or 0) + scale * start,
    )


def output_path(output: str | PathLike[str]) -> Path:
    """Return the absolute path of an output; raise UnsupportedError if it is not that of an OME-Zarr directory."""
    path = read_root_path(output)
    row = format_row(inferred_format(str(path))[0]["name"])
    if not row.chunked or archive_format(Path(path)):
        raise UnsupportedError(
            f"{path}: tasks write to an OME-Zarr directory only. Choose a name that ends in .ome.zarr, and use "
            "`ome-writers convert` afterwards."
        )
    settings = AcquisitionSettings(root_path=path, format=_FORMAT)
    return Path(settings.format.get_output_path(path)).absolute()


def output_settings(
    source: Selection,
    result: ResultPlan,
    output: Path,
    compression: str | None,
    chunks: Mapping[str, int] | None,
    shards: Mapping[str, int] | None,
) -> AcquisitionSettings:
    format = with_checksum(source, AcquisitionSettings(root_path=output, format=_FORMAT).format)
    dimensions = with_chunks(source, result.dimensions, format, chunks or {}, shards or {})
    counts = [dimension.count or 1 for dimension in dimensions[:-2]]
    return destination_settings(
        source,
        tuple(map(_with_valid_chunk, dimensions)),
        nested_loop_indices(counts),
        output,
        format,
        compression,
        overwrite=False,
        pyramid=None,
        dtype=result.dtype,
    )


def _with_valid_chunk(dimension: Dimension) -> Dimension:
    """Return a dimension without the chunk of the source where the output is smaller than it."""
    if dimension.chunk_size and dimension.chunk_size > (dimension.count or 1):
        return with_values(dimension, chunk_size=None, shard_size_chunks=None)
    return dimension
