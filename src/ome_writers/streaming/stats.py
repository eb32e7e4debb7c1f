"""Progress figures of a stream."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StreamStats"]


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
    """

    frames_accepted: int
    frames_written: int
    bytes_written: int
    queue_depth: int
    longest_append: float
