"""Progress figures of a stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamStats:
    """Progress figures of a stream.

    Attributes
    ----------
    frames_accepted, frames_written
        Number of frames that `append` accepted, and how many of them are on disk.
    bytes_written
        Pixel data on disk, in bytes before compression.
    queue_depth
        Number of write tasks that wait for the disk.
    longest_append
        The longest time in seconds that the engine blocked an `append`.
    bytes_copied
        Bytes of the frames on disk that `append` copied into the stream's memory. The others were written from the
        caller's memory, or from that of `OMEStream.frame_buffer`.
    bytes_buffered
        Bytes of `buffer_bytes` in use, `bytes_lent` included.
    bytes_lent
        Bytes of the frame buffers that callers are filling.
    files_mirrored, bytes_mirrored
        Number and bytes of the files sent to the mirror, with those that were sent again because they had grown.
    writers_replaced
        How often the writer's process died and was replaced (``writer="process"``).
    bytes_evicted
        Bytes of the files that were removed from this disk after they were verified at the mirror, see `Mirror`.
    """

    frames_accepted: int
    frames_written: int
    bytes_written: int
    queue_depth: int
    longest_append: float
    bytes_copied: int = 0
    bytes_buffered: int = 0
    bytes_lent: int = 0
    files_mirrored: int = 0
    bytes_mirrored: int = 0
    writers_replaced: int = 0
    bytes_evicted: int = 0
