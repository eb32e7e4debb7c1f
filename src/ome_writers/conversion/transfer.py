"""Reads a frame, appends it, goes on: what is in memory is one frame, and what the stream's buffer holds."""

from __future__ import annotations

import itertools
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ome_writers.conversion.destination import (
    refuse_itself,
    settings_of,
    with_chunks,
    with_name,
)
from ome_writers.conversion.source import frame_at, selected
from ome_writers.conversion.source_detection import (
    REMEMBER,
    describe,
    frames_of,
    images_of,
    provenance,
)
from ome_writers.errors import WriteError, describe_frames
from ome_writers.settings import AcquisitionSettings, read_root_path
from ome_writers.streaming import create_stream
from ome_writers.views import open_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from ome_writers.conversion.source import Rows, Source
    from ome_writers.settings import Dimension, Format

__all__ = ["Conversion", "convert"]

NAMESPACE = "conversion"
"""Under which the destination says where it came from."""


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes
    ----------
    source, destination
        What was read, and what was written.
    images, frames
        How many were written.
    empty
        Places that the source's writer never filled; they are empty in the destination, too.
    pixel_bytes
        Bytes of the pixels, uncompressed.
    seconds
        How long it took, the destination's `close` included.
    verified
        Whether every frame was read again and compared.
    """

    source: Path
    destination: Path
    images: int
    frames: int
    empty: int
    pixel_bytes: int
    seconds: float
    verified: bool


def convert(
    source: str | PathLike[str],
    destination: str | PathLike[str],
    *,
    format: Format | str = "auto",
    compression: str | None = None,
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
    images: Sequence[int] | None = None,
    overwrite: bool = False,
    verify: bool = False,
    on_frame: Callable[[int, int], object] | None = None,
) -> Conversion:
    """Write a dataset again: in the other format, or with other chunks and another compression.

    Names, pixel sizes, channels with colours and wavelengths, positions, plates, the metadata of frames and of the
    whole acquisition go along. Of resolution levels, the first is read.

    Parameters
    ----------
    source
        An OME-Zarr 0.5 or OME-TIFF (a file, or the folder of a set), of this library or another.
    destination
        Where to; the suffix says the format.
    format
        A format, its name or a backend's name, as in `AcquisitionSettings`.
    compression
        As in `AcquisitionSettings`. None: from Zarr to Zarr what the source has, else none.
    chunk_shapes, shard_shapes
        Axis to the extent of a chunk, and to the number of chunks in a shard. Axes left out have, from Zarr to
        Zarr, what they have in the source; else a chunk is a frame.
    images
        Numbers of the images to convert, counted from 0; None: all.
    overwrite
        Whether an earlier dataset of this library may be replaced.
    verify
        Whether to read every frame again at the end, and compare.
    on_frame
        Called after each frame with the number of frames that are written and of those there are; with `verify`, then
        again from 1, with the number of those that are compared.

    Raises
    ------
    FileNotFoundError
        If nothing is at `source`.
    UnsupportedError
        If it is something else, its images have different frames, cameras or pixel sizes, or the format cannot hold
        them.
    OutputLockedError
        If a living process is writing `source`.
    OutputExistsError
        If something lies at `destination`, or it is `source` itself.
    SettingsError
        If `destination` is a URL, or if `chunk_shapes` or `shard_shapes` name an axis that there is not.
    WriteError
        If a frame reads differently from the destination (`verify`), or could not be written.
    """
    began = time.perf_counter()
    destination = read_root_path(destination)
    found = describe(Path(source))
    numbers = images_of(found, images)
    dimensions, read, write = selected(found, numbers)
    format = AcquisitionSettings(root_path=destination, format=format).format
    dimensions, write = with_name(found, dimensions, write, Path(destination), format)
    dimensions = with_chunks(found, dimensions, format, chunk_shapes or {}, shard_shapes or {})
    settings = settings_of(
        found, numbers[0], dimensions, write, destination, format, compression, overwrite
    )
    output = Path(settings.output_path)
    refuse_itself(found.path, output)

    def counted() -> Callable[[], object]:
        """Return a function that calls `on_frame` for one frame after the other."""
        done = itertools.count(1)
        return lambda: on_frame and on_frame(next(done), len(read))

    copied = _copy(found, read, settings, counted(), with_checksums=verify)
    if verify:
        _refuse_differences(found.path, output, dimensions, write, copied.checksums, counted())
    return Conversion(
        source=found.path,
        destination=output,
        images=len(numbers),
        frames=len(read) - copied.empty,
        empty=copied.empty,
        pixel_bytes=copied.pixel_bytes,
        seconds=time.perf_counter() - began,
        verified=verify,
    )


class _Copied(NamedTuple):
    """What was appended: places left empty, bytes of pixels, and a CRC-32 of each frame where that was asked for."""

    empty: int
    pixel_bytes: int
    checksums: NDArray[np.uint32]


def _copy(
    found: Source,
    rows: Rows,
    settings: AcquisitionSettings,
    tell: Callable[[], object],
    *,
    with_checksums: bool,
) -> _Copied:
    """Read the frames at `rows`, and append each; `tell` is called after it."""
    frames = frames_of(found)
    holes = found.written is not None and found.written < len(found.rows)
    checksums = np.zeros(len(rows) if with_checksums else 0, np.uint32)
    empty = size = 0
    with create_stream(settings) as stream:
        try:
            for namespace, metadata in found.metadata.items():
                stream.set_global_metadata(namespace, metadata)
            stream.set_global_metadata(NAMESPACE, provenance(found))
            for number, index in enumerate(rows):
                frame = found.read(index.tolist())
                facts = frames.pop(found.place(index.tolist()), None)
                if holes and facts is None and not frame.any():
                    stream.skip()
                    empty += 1
                else:
                    stream.append(frame, copy=False, frame_metadata=facts)
                size += frame.nbytes
                if with_checksums:
                    checksums[number] = zlib.crc32(frame.data)
                tell()
        except BaseException:
            stream._discard()  # a part of the source must not be taken for a copy of it
            raise
    return _Copied(empty, size, checksums)


def _refuse_differences(
    source: Path,
    output: Path,
    dimensions: Sequence[Dimension],
    rows: Rows,
    checksums: NDArray[np.uint32],
    tell: Callable[[], object],
) -> None:
    """Read all frames again; raise WriteError if one is not what was appended. `tell` is called after each."""
    view = open_dataset(output, remember=REMEMBER)
    wrong = []
    for number, index in enumerate(rows):
        if zlib.crc32(frame_at(view, dimensions, index.tolist()).data) != checksums[number]:
            wrong.append(number)
        tell()
    if wrong:
        raise WriteError(
            f"{output} does not hold what {source} does: frames {describe_frames(wrong)} differ.",
            wrong,
        )
