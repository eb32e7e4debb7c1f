"""Copying of frames to a new stream, and comparing them with what it stored."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers import AcquisitionSettings, WriteError, create_stream
from ome_writers.toolkit import describe_frames, open_dataset
from ome_writers_tools.conversion.destination import NAMESPACE
from ome_writers_tools.conversion.selection import Indices, Selection
from ome_writers_tools.conversion.source_detection import (
    CHUNK_CACHE_BYTES,
    frame_metadata_by_address,
    provenance,
)


class CopiedFrames(NamedTuple):
    """Number of unwritten frames, size of the pixels, and (if requested) the CRC-32 of each frame."""

    empty: int
    pixel_bytes: int
    checksums: NDArray[np.uint32]


def copy_frames(
    source: Selection,
    settings: AcquisitionSettings,
    on_frame: Callable[[], object],
    *,
    incomplete: bool,
    with_checksums: bool,
) -> CopiedFrames:
    """Append the frames of the source to a new stream; if it is `incomplete`, skip frames of zeros without metadata."""
    frame_metadata = frame_metadata_by_address(source)
    checksums = np.zeros(len(source.indices) if with_checksums else 0, np.uint32)
    empty = size = 0
    with create_stream(settings) as stream:
        try:
            for namespace, metadata in source.spec.metadata.items():
                stream.set_global_metadata(namespace, metadata)
            stream.set_global_metadata(NAMESPACE, provenance(source))
            for number, index in enumerate(source.indices):
                frame = source.read(index.tolist())
                values = frame_metadata.pop(source.address_of(index.tolist()), None)
                if incomplete and values is None and not frame.any():
                    stream.skip()
                    empty += 1
                else:
                    stream.append(frame, copy=False, frame_metadata=values)
                size += frame.nbytes
                if with_checksums:
                    checksums[number] = zlib.crc32(frame.data)
                on_frame()
        except BaseException:
            stream._discard()  # noqa: SLF001 # an incomplete copy must not be mistaken for the source
            raise
    return CopiedFrames(empty, size, checksums)


def verify_frames(
    source: Path,
    output: Path,
    indices: Indices,
    checksums: NDArray[np.uint32],
    on_frame: Callable[[], object],
) -> None:
    """Read all frames back; raise WriteError if one differs from the frame that was appended."""
    view = open_dataset(output, remember=CHUNK_CACHE_BYTES)
    wrong = []
    for number, index in enumerate(indices):
        if zlib.crc32(view[tuple(index.tolist())].data) != checksums[number]:
            wrong.append(number)
        on_frame()
    if wrong:
        raise WriteError(
            f"{output} differs from {source}: frames {describe_frames(wrong)} are different when read back.",
            wrong,
        )
