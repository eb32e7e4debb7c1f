"""How a stream is doing."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StreamStats"]


@dataclass(frozen=True)
class StreamStats:
    """How a stream is doing.

    Attributes
    ----------
    frames_accepted, frames_written
        Frames that `append` took, and those of them that are on disk.
    bytes_written
        Pixels on disk, in bytes before compression.
    queue_depth
        Pieces of work that wait for the disk.
    longest_append
        The longest time that the engine held an `append`, in seconds.
    """

    frames_accepted: int
    frames_written: int
    bytes_written: int
    queue_depth: int
    longest_append: float
