"""Everything that this library raises or warns with.

::

    OMEWritersError
    ├── SettingsError        (ValueError)           the settings cannot become a stream
    ├── EngineMissingError   (ValueError)           the engine is unknown or not installed
    ├── UnsupportedError     (NotImplementedError)  legal, but nothing here can do it
    │   └── InvalidFileError (ValueError)           a file of a dataset is not what its format requires
    ├── OutputExistsError    (FileExistsError)      something lies at the output path
    ├── OutputLockedError    (OutputExistsError)    another stream is writing there
    ├── FrameShapeError      (ValueError)           a frame of the wrong shape
    ├── FrameTypeError       (TypeError)            a frame of the wrong dtype or kind
    ├── FrameBufferError     (BufferError)          more frame buffers are held than buffer_bytes allows
    ├── MetadataError        (ValueError)           metadata that no document can hold
    ├── EndOfAcquisitionError(IndexError)           one frame more than planned
    ├── StreamClosedError    (RuntimeError)         the stream takes no more frames
    └── WriteError           (OSError)              accepted frames that are not on disk

    UnclosedStreamWarning    (ResourceWarning, UserWarning)

Each error is also the builtin that a caller who has never heard of this library would catch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "EndOfAcquisitionError",
    "EngineMissingError",
    "FrameBufferError",
    "FrameShapeError",
    "FrameTypeError",
    "InvalidFileError",
    "MetadataError",
    "OMEWritersError",
    "OutputExistsError",
    "OutputLockedError",
    "SettingsError",
    "StreamClosedError",
    "UnclosedStreamWarning",
    "UnsupportedError",
    "WriteError",
    "describe_frames",
]


class OMEWritersError(Exception):
    """The root of all errors of this library."""


class SettingsError(OMEWritersError, ValueError):
    """The settings are incomplete or contradict each other."""


class EngineMissingError(OMEWritersError, ValueError):
    """The engine that was asked for is unknown, or its library is not installed."""


class UnsupportedError(OMEWritersError, NotImplementedError):
    """What was asked for is legal, but no engine or format here can do it."""


class InvalidFileError(UnsupportedError, ValueError):
    """A file of a dataset is not what its format requires, or not safe to read.

    It is not a regular file, lies outside of the dataset, is larger or nested deeper than any file of its kind, or
    contains numbers that cannot be right.
    """


class OutputExistsError(OMEWritersError, FileExistsError):
    """Something lies at the output path and may not be replaced."""


class OutputLockedError(OutputExistsError):
    """Another stream is writing to the output path at this moment."""


class FrameShapeError(OMEWritersError, ValueError):
    """A frame whose shape is not the one that the settings promise."""


class FrameTypeError(OMEWritersError, TypeError):
    """A frame whose dtype is not the one that the settings promise, or that is no array."""


class FrameBufferError(OMEWritersError, BufferError):
    """More frames of `OMEStream.frame_buffer` are held at once than `buffer_bytes` has memory for."""


class MetadataError(OMEWritersError, ValueError):
    """Metadata that cannot be written to a document."""


class EndOfAcquisitionError(OMEWritersError, IndexError):
    """More frames than the settings have room for."""


class StreamClosedError(OMEWritersError, RuntimeError):
    """A closed or failed stream was asked to take a frame."""


class WriteError(OMEWritersError, OSError):
    """Frames that `append` accepted are not on disk.

    Attributes
    ----------
    frames
        The numbers (0-based, in order of `append`) of the frames that are not on disk, sorted.
    """

    def __init__(self, message: str, frames: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.frames: tuple[int, ...] = tuple(sorted(set(frames)))


class UnclosedStreamWarning(ResourceWarning, UserWarning):
    """A stream with frames was garbage collected without being closed."""


def describe_frames(frames: Iterable[int]) -> str:
    """Say frame numbers in few words: ``"3, 7-9 and 12"``.

    Examples
    --------
    >>> describe_frames([3, 7, 8, 9, 12])
    '3, 7-9 and 12'
    """
    runs: list[list[int]] = []
    for number in sorted(set(frames)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [f"{first}" if first == last else f"{first}-{last}" for first, last in runs]
    if len(words) > 20:
        words = [*words[:20], f"{len(words) - 20} more runs"]
    return (
        words[0]
        if len(words) == 1
        else ", ".join(words[:-1]) + " and " + words[-1]
        if words
        else "none"
    )
