"""Exceptions and warnings of this library.

::

    OMEWritersError
    ├── SettingsError        (ValueError)           incomplete or inconsistent settings
    ├── EngineMissingError   (ValueError)           engine unknown or not installed
    ├── UnsupportedError     (NotImplementedError)  valid, but not supported
    │   └── InvalidFileError (ValueError)           a file violates its format, or is unsafe to read
    ├── OutputExistsError    (FileExistsError)      the output path exists
    ├── OutputLockedError    (OutputExistsError)    another stream is writing there
    ├── FrameShapeError      (ValueError)           wrong frame shape
    ├── FrameTypeError       (TypeError)            wrong dtype, or not an array
    ├── FrameBufferError     (BufferError)          too many frame buffers in use
    ├── MetadataError        (ValueError)           metadata that JSON cannot represent
    ├── EndOfAcquisitionError(IndexError)           more frames than the settings define
    ├── StreamClosedError    (RuntimeError)         append to a closed stream
    ├── RestartError         (RuntimeError)         frames that other settings cannot store
    ├── UploadError          (OSError)              files that an object store has refused
    ├── MovedFileError       (OSError)              a file in a mirror that cannot be read
    └── WriteError           (OSError)              accepted frames are not on disk

    UnclosedStreamWarning    (ResourceWarning, UserWarning)

Each error is also the builtin exception that callers would expect.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

_F = TypeVar("_F", bound=Callable[..., Any])

# C0 (including ESC, which starts CSI and OSC sequences), DEL, C1, line and paragraph separators, bidirectional marks
# and overrides, surrogates (which cannot be encoded), and the byte order mark
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def escape_controls(text: str, *, keep: str = "\n") -> str:
    r"""Return `text` with the control characters escaped that could control a terminal, but for those in `keep`.

    Examples
    --------
    >>> escape_controls("a\x1b[2J\u202eb")
    'a\\x1b[2J\\u202eb'
    """
    return UNSAFE.sub(
        lambda match: match[0] if match[0] in keep else match[0].encode("unicode_escape").decode(),
        text,
    )


class OMEWritersError(Exception):
    """Base class of all errors of this library.

    Control characters in the message, for instance of a name in a file, are escaped; line breaks are kept.
    """

    def __str__(self) -> str:
        return escape_controls(super().__str__())


class SettingsError(OMEWritersError, ValueError):
    """The settings are incomplete or inconsistent."""


class EngineMissingError(OMEWritersError, ValueError):
    """The selected engine is unknown, or its library is not installed."""


class UnsupportedError(OMEWritersError, NotImplementedError):
    """The settings or the operation are valid, but no engine or format of this library supports them."""


class InvalidFileError(UnsupportedError, ValueError):
    """A file of a dataset violates its format, or is not safe to read.

    It is not a regular file, is outside of the dataset, exceeds a limit of size or nesting depth, or contains
    impossible numbers.
    """


class OutputExistsError(OMEWritersError, FileExistsError):
    """The output path exists and may not be replaced."""


class OutputLockedError(OutputExistsError):
    """Another stream is writing to the output path."""


class FrameShapeError(OMEWritersError, ValueError):
    """The shape of a frame differs from the settings."""


class FrameTypeError(OMEWritersError, TypeError):
    """The dtype of a frame differs from the settings, or the frame is not an array."""


class FrameBufferError(OMEWritersError, BufferError):
    """More frames of `OMEStream.frame_buffer` are in use than `buffer_bytes` has memory for."""


class MetadataError(OMEWritersError, ValueError):
    """Metadata cannot be represented in JSON."""


class EndOfAcquisitionError(OMEWritersError, IndexError):
    """More frames than the settings define."""


class StreamClosedError(OMEWritersError, RuntimeError):
    """A frame was appended to a closed stream."""


class UploadError(OMEWritersError, OSError):
    """Files of a dataset could not be copied to an object store, or differ there."""


class MovedFileError(OMEWritersError, OSError):
    """A file of a dataset was moved to a mirror, which cannot be read."""


class RestartError(OMEWritersError, RuntimeError):
    """A stream cannot be restarted: it has too many frames, or frames that the new settings cannot store."""


class WriteError(OMEWritersError, OSError):
    """Frames that `append` has accepted are not on disk.

    Attributes
    ----------
    frames
        Sorted numbers of these frames, counted from 0 in order of `append`.
    """

    def __init__(self, message: str, frames: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.frames: tuple[int, ...] = tuple(sorted(set(frames)))


class TornChunkError(OSError):
    """A chunk or shard index that is still not valid after several reads; readers handle it."""


class UnclosedStreamWarning(ResourceWarning, UserWarning):
    """A stream with frames was garbage collected without being closed."""


def describe_frames(frames: Iterable[int]) -> str:
    """Format frame numbers as ranges.

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
    ranges = [f"{first}" if first == last else f"{first}-{last}" for first, last in runs]
    if len(ranges) > 20:
        ranges = [*ranges[:20], f"{len(ranges) - 20} more ranges"]
    if len(ranges) < 2:
        return ranges[0] if ranges else "none"
    return ", ".join(ranges[:-1]) + " and " + ranges[-1]


def suggestion(word: str, names: Iterable[str], *, start: str = " Did") -> str:
    """Return the question whether one of `names` was meant; an empty string if none is similar.

    Examples
    --------
    >>> suggestion("overwite", ["overwrite", "mirror"])
    " Did you mean 'overwrite'?"
    """
    from difflib import get_close_matches  # only in errors: it takes milliseconds to import

    spelled = {name.lower(): name for name in reversed([*names])}
    close = get_close_matches(word.lower(), spelled, n=1)
    return f"{start} you mean {spelled[close[0]]!r}?" if close else ""


def checked_call(function: _F) -> _F:
    """Return `function` with a readable TypeError for arguments that it does not have, or lacks."""

    @functools.wraps(function)
    def call(*values: Any, **named: Any) -> Any:
        try:
            return function(*values, **named)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise  # an error inside of `function`
            from ome_writers.call_errors import problem_of_call  # for errors only

            raise TypeError(
                problem_of_call(function, values, named, suggestion) or str(error)
            ) from None

    return cast("_F", call)


def short_repr(value: object, most: int = 100) -> str:
    """Return `repr(value)` with at most so many characters, for a message."""
    try:
        text = repr(value)
    except ValueError:  # an int with more digits than Python converts
        return "a huge number"
    return text if len(text) <= most else f"{text[:most]}..."
