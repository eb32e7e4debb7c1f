"""ome-writers through its public interface, one variant per engine.

The same code runs ome-writers 0.3.2 in the peers' environment, with the same settings.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import ome_writers as omew
from benchmarks.verification import collection_paths, plate_paths, tiff_page, zarr_frame
from benchmarks.writer import RefusedError, Writer

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.workload import Workload

_TIFF_BACKENDS = ("tifffile",)


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return an open stream of the engine `variant`."""
    if (variant in _TIFF_BACKENDS) != (workload.format == "tiff"):
        raise RefusedError(f"{variant} does not write {workload.format}")
    settings = acquisition(workload, folder, variant)
    try:
        stream = omew.create_stream(settings)
    except (NotImplementedError, ImportError, ValueError) as error:
        raise RefusedError(str(error)) from error
    if workload.metadata:

        def append(frame: NDArray[np.uint16], record: dict[str, Any]) -> None:
            stream.append(frame, frame_metadata=record)

        return Writer(append, stream.close, _reader(workload, settings))
    return Writer(stream.append, stream.close, _reader(workload, settings))


def acquisition(workload: Workload, folder: Path, backend: str | None) -> Any:
    """Return the settings of `workload` for `backend`."""
    tile = workload.tile or (workload.height, workload.width)
    sizes = (workload.height, workload.width)
    shards = [
        -(-size // chunk) if workload.sharded else None
        for size, chunk in zip(sizes, tile, strict=True)
    ]
    dimensions = [_dimension(workload, axis) for axis in workload.axes]
    for name, size, chunk, shard in zip("yx", sizes, tile, shards, strict=True):
        chunks: dict[str, Any] = {"chunk_size": chunk, "shard_size_chunks": shard}
        dimensions.append(
            omew.Dimension(
                name=name,
                count=size,
                type="space",
                **(chunks if workload.format == "zarr" else {}),
            )
        )
    return omew.AcquisitionSettings(
        root_path=str(folder / "out"),
        dimensions=dimensions,
        dtype="uint16",
        compression=workload.compression,
        **({"pyramid": omew.Pyramid(axes=workload.pyramid)} if workload.pyramid else {}),
        plate=omew.Plate.from_standard_wells(1536) if workload.layout == "plate" else None,
        format=_format(workload, backend),
        overwrite=True,
    )


def add_levels(folder: Path) -> None:
    """Add resolution levels to the dataset of `open_writer`."""
    omew.add_pyramid(folder / "out.ome.zarr")


def _dimension(workload: Workload, axis: Any) -> Any:
    if axis.name == "p":
        return omew.Dimension(name="p", type="position", coords=_positions(workload, axis.count))
    kind: Any = {"t": "time", "c": "channel", "z": "space"}[axis.name]
    chunks: dict[str, Any] = {}
    if workload.format == "zarr":
        chunks = {"chunk_size": min(axis.chunk, axis.count), "shard_size_chunks": axis.shard}
    return omew.Dimension(name=axis.name, count=axis.count, type=kind, **chunks)


def _positions(workload: Workload, count: int) -> list[Any]:
    if workload.layout != "plate":
        return [omew.Position(name=f"pos{n}", x_coord=float(n), y_coord=0.0) for n in range(count)]
    plate = omew.Plate.from_standard_wells(1536)
    wells = [(row, column) for row in plate.row_names for column in plate.column_names]
    return [
        omew.Position(name="fov0", plate_row=row, plate_column=column)
        for row, column in wells[:count]
    ]


def _format(workload: Workload, backend: str | None) -> Any:
    name: Any = backend or "auto"
    if workload.format == "zarr":
        return omew.OmeZarrFormat(backend=name, checksum=workload.checksum)
    return omew.OmeTiffFormat(backend=name, multi_file_metadata=workload.tiff_metadata)


def _reader(workload: Workload, settings: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pathlib import Path

        output = Path(settings.output_path)

    def read(n: int) -> Any:
        index = workload.arrival_index(n)
        position = index.get("p", 0)
        inner = [index[a.name] for a in workload.storage_axes if a.name != "p"]
        if workload.format == "zarr":
            return zarr_frame(_array(workload, output, position), inner)
        files = [output] if output.is_file() else sorted(output.glob("*.tif*"))
        return tiff_page(files[position], inner[-1])

    return read


def _array(workload: Workload, output: Path, position: int) -> Path:
    if workload.layout == "collection":
        return collection_paths(output)[position]
    if workload.layout == "plate":
        return plate_paths(output)[position]
    return output / "0"
