"""What every format promises: all that a dataset says, held in memory, rendered to bytes on demand.

The documents in memory are the truth. Nothing on disk is read back, backed up or restored.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from ome_writers.formats.frame_metadata import encode_storage_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.formats.frame_metadata import Journal

__all__ = [
    "RESERVED_NAMESPACES",
    "DatasetMetadata",
    "Layout",
    "Outcome",
    "Patch",
    "Status",
    "SupportsCarryOver",
    "SupportsGrow",
    "check_global_metadata",
    "library_version",
    "new_dataset_id",
]

Status = Literal["writing", "complete", "cancelled", "failed"]

RESERVED_NAMESPACES = frozenset({"ome", "ome_writers"})
"""What no metadata of a user's may be called: the namespaces of the formats and of this library."""


@cache
def library_version() -> str:
    """Return the version of this library; to look it up takes milliseconds."""
    return version("ome-writers")


def new_dataset_id() -> str:
    """Return an id for a dataset, which its documents carry as proof of origin: a random UUID as URN."""
    return uuid.uuid4().urn


def check_global_metadata(namespace: object, metadata: object) -> None:
    """Refuse a namespace that global metadata cannot have, and what is no metadata.

    Raises
    ------
    ValueError
        If the namespace is no name, or reserved.
    TypeError
        If the metadata is no mapping.
    """
    if not isinstance(namespace, str) or not namespace:
        raise ValueError(f"The namespace must be a non-empty string, got {namespace!r}.")
    if namespace in RESERVED_NAMESPACES:
        raise ValueError(
            f"The namespace {namespace!r} is reserved by ome-writers, which writes its own metadata there. "
            f"Choose another name than {' or '.join(sorted(RESERVED_NAMESPACES))}."
        )
    if not isinstance(metadata, Mapping):
        raise TypeError(
            f"The metadata of {namespace!r} must be a mapping, got {type(metadata).__name__}."
        )


@dataclass(frozen=True)
class Layout:
    """Where an acquisition's arrays, documents and journals lie below `root`.

    Attributes
    ----------
    root
        The folder (OME-Zarr, sets of files) or the folder of the one file, below which all keys lie.
    output
        What the user was promised: `AcquisitionSettings.output_path`.
    arrays
        Key of each image's array, by image number (see `storage.ArrayTarget.key`).
    images
        Key of each image itself, by image number: the group's path in OME-Zarr (``""`` for the
        root), the file's name in OME-TIFF.
    journals
        Key of the file in which each image's frame metadata is journalled, by image number.
    entry
        Key of the file beside a set's folder that opens as the whole set, as in ``../run.ome.tiff``; empty without one.
    encode_address
        How a line of a journal names a frame's place, by image number and storage index, as JSON members.
    temporary_folder
        Something that must live as long as the dataset is written or looked at.
    """

    root: Path
    output: Path
    arrays: tuple[str, ...]
    images: tuple[str, ...]
    journals: tuple[str, ...]
    entry: str = ""
    encode_address: Callable[[int, tuple[int, ...]], bytes] = encode_storage_index
    temporary_folder: object = None

    @property
    def entry_path(self) -> Path | None:
        """Path of the entry file; with `output`, every path that the output takes. None without one."""
        return self.root.with_name(self.entry.removeprefix("../")) if self.entry else None


@dataclass(frozen=True)
class Outcome:
    """How an acquisition stands or ended.

    Attributes
    ----------
    status
        ``"writing"`` until `close`; ``"cancelled"`` when fewer frames came than were planned.
    frames_written
        Number of frames that were appended (skipped ones do not count).
    shapes
        The shape of each image's array, in storage order, y and x included.
    windows
        (image number, channel number) to the (smallest, largest) value that was sampled.
    extents
        How far each acquisition axis was reached, while the acquisition runs.
    time
        When this was so.
    empty_planes
        Image number to a mask of its planes, in storage order: True for those without a frame. Only of an OME-TIFF
        that is closed; images without such planes are left out.
    """

    status: Status
    frames_written: int = 0
    shapes: tuple[tuple[int, ...], ...] = ()
    windows: Mapping[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    extents: Mapping[str, int] = field(default_factory=dict)
    time: datetime | None = None
    empty_planes: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def timestamp(self) -> str:
        """`time` in UTC, in ISO 8601 with milliseconds: always 24 characters; empty where it is not known."""
        if self.time is None:
            return ""
        return f"{self.time.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z"


class Patch(NamedTuple):
    """Bytes of a document to be overwritten in place.

    Attributes
    ----------
    key
        The document.
    offset
        Where `old` begins in it.
    old, new
        What is there, and what shall be; of one length.
    """

    key: str
    offset: int
    old: bytes
    new: bytes


class DatasetMetadata(Protocol):
    """All that the files of one dataset say. Not thread-safe: the stream's recorder lets one thread in at a time."""

    def render(self) -> Iterator[tuple[str, bytes]]:
        """Yield key and content of each document that changed since the last call (at first: all).

        Parents come before what they contain, so that a reader that polls never finds a child that its parent
        denies.
        """
        ...

    def get_metadata(self) -> Any:
        """Return a deep copy of the metadata, in the format's own form; see `OMEStream.get_metadata`."""
        ...

    def update_metadata(self, metadata: Any) -> None:
        """Take over metadata in the form of `get_metadata`; wrong forms raise and change nothing."""
        ...

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Attach `metadata` to the whole acquisition; the same namespace replaces."""
        ...

    def update_progress(self, outcome: Outcome) -> Sequence[Patch]:
        """Record how far the running acquisition is, after a flush.

        Returns what is to be overwritten in place; documents that changed otherwise are rendered by the next
        `render`. At most a few documents change, however many images there are.
        """
        ...

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        """Take in how the acquisition ended, and the metadata of its frames.

        Called once, after the pixels are closed and `journal` is complete on disk. A journal whose
        lines are wholly in the documents now may be discarded (``journal.discard(image)``) after the
        next `render` was written; `embedded_journals` says which.
        """
        ...

    def embedded_journals(self) -> tuple[int, ...]:
        """Return the images whose journal is wholly contained in the documents."""
        ...


@runtime_checkable
class SupportsGrow(DatasetMetadata, Protocol):
    """Documents that say how long the arrays are, where the arrays themselves do not."""

    def grow(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Take note of the shapes that the arrays show from now on."""
        ...


@runtime_checkable
class SupportsCarryOver(DatasetMetadata, Protocol):
    """Documents that can take over what was edited in those of a dataset that theirs replaces."""

    def carry_over(self, earlier: Any) -> None:
        """Take over what others have changed in `earlier`, documents of the same kind."""
        ...
