"""The metadata of one dataset: what every format implements, and what it exchanges with `streaming` and `repair`.

The metadata in memory is the source of truth. It is rendered to bytes on demand and never read back from disk.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ome_writers.formats.frame_metadata import encode_storage_index
from ome_writers.routing import Plan

if TYPE_CHECKING:
    from ome_writers.formats.frame_metadata import Journal
    from ome_writers.settings import AcquisitionSettings

Status = Literal["writing", "complete", "cancelled", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)

RESERVED_NAMESPACES = frozenset({"ome", "ome_writers"})
"""Namespaces of the formats and of this library; global metadata of users cannot have them."""


NOT_STORED = frozenset({"mirror"})
"""Settings that a dataset does not contain: where it is copied to must not apply to what is derived from it."""


def settings_to_store(settings: AcquisitionSettings) -> dict[str, Any]:
    """Return settings as JSON, as a dataset contains them."""
    return settings.model_dump(mode="json", exclude=set(NOT_STORED))


@cache  # a lookup takes milliseconds
def library_version() -> str:
    return version("ome-writers")


def new_dataset_id() -> str:
    """Return a random UUID as URN; the dataset's metadata carries it as proof of origin."""
    return uuid.uuid4().urn


def check_global_metadata(namespace: object, metadata: object) -> None:
    """Validate the arguments of `set_global_metadata`.

    Raises ValueError if the namespace is not a string, empty, or reserved; TypeError if the metadata is not a mapping.
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
    """Where a dataset is; the keys of its images and arrays are in the plan."""

    # the folder that all keys are relative to: the store (OME-Zarr), the folder of a set, or the parent of a single
    # OME-TIFF file
    root: Path
    output: Path  # `AcquisitionSettings.output_path`
    journals: tuple[str, ...]  # key of each image's frame metadata journal, by image number
    # key of the entry file beside a set's folder, as in `../run.ome.tiff`; empty if there is none
    entry: str = ""
    # returns the JSON members that identify a frame in a journal line, from image number and storage index
    encode_address: Callable[[int, tuple[int, ...]], bytes] = encode_storage_index
    # removes the temporary folder of a scratch store when it is garbage-collected
    temporary_folder: object = None

    @property
    def entry_path(self) -> Path | None:
        """Path of the entry file, the only path outside `output` that a dataset occupies; None if there is none."""
        return self.root.with_name(self.entry.removeprefix("../")) if self.entry else None


@dataclass(frozen=True)
class Outcome:
    """State of a running acquisition, or result of a finished one."""

    # `"writing"` until `close`; `"cancelled"` if planned frames were neither appended nor skipped
    status: Status
    # number of frames in the dataset; skipped and replaced ones do not count
    frames_written: int = 0
    # the shape of each image's array, in storage order, including y and x
    shapes: tuple[tuple[int, ...], ...] = ()
    # (image number, channel number) to the (smallest, largest) sampled value
    windows: Mapping[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    # extent of each acquisition axis so far; empty after `close`
    extents: Mapping[str, int] = field(default_factory=dict)
    frames_in_order: int = 0  # see `DatasetSpec.frames_in_order`
    time: datetime | None = None  # when this state was recorded
    # Image number to a mask of its planes, in storage order: True for planes without a frame. Only for a closed
    # OME-TIFF, and only images that have such planes.
    empty_planes: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def timestamp(self) -> str:
        """`time` in UTC, ISO 8601 with milliseconds: always 24 characters; empty if `time` is None."""
        if self.time is None:
            return ""
        return f"{self.time.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z"


class Patch(NamedTuple):
    """Bytes of the file `key` to overwrite in place; `old`, at `offset`, and `new` have the same length."""

    key: str
    offset: int
    old: bytes
    new: bytes


class AddedMetadata(Protocol):
    """Metadata of added images. Not thread-safe: `streaming.DatasetWriter` serializes the calls."""

    def render(self) -> Iterator[tuple[str, bytes]]:
        """Yield key and content of each file that changed since the last call (all of them on the first call).

        Parents precede children, so that a reader that polls never finds a child that its parent does not list.
        """
        ...

    def update_progress(self, outcome: Outcome) -> Sequence[Patch]:
        """Record the progress of a running acquisition after a flush.

        Returns the bytes to overwrite in place; other changes are yielded by the next `render`. At most a few files
        change, regardless of the number of images.
        """
        ...

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        """Record the result of the acquisition and embed frame metadata.

        Called once, after the pixels are closed and `journal` is complete on disk. The journals of
        `embedded_journals` may be discarded after the result of the next `render` is on disk.
        """
        ...

    def embedded_journals(self) -> tuple[int, ...]:
        """Return the images whose frame metadata is fully embedded in the rendered metadata."""
        ...


class DatasetMetadata(AddedMetadata, Protocol):
    """All metadata of one dataset."""

    def get_metadata(self) -> Any:
        """Return a deep copy of the metadata in the format's own type; see `OMEStream.get_metadata`."""
        ...

    def update_metadata(self, metadata: Any) -> None:
        """Replace metadata by an edited result of `get_metadata`; invalid input raises and changes nothing."""
        ...

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Attach `metadata` to the whole acquisition, replacing metadata of the same namespace."""
        ...

    def find_metadata(self, namespace: str) -> Mapping[str, Any] | None:
        """Return the metadata that a user set for a namespace, also by `update_metadata`; None if there is none."""
        ...

    def use_plan(self, plan: Plan) -> None:
        """Describe the same arrays by another plan: other names, other instrument."""
        ...


@runtime_checkable
class SupportsGrow(DatasetMetadata, Protocol):
    """Metadata that contains the shapes of growing arrays (OME-XML)."""

    def grow(self, shapes: Sequence[tuple[int, ...]]) -> None: ...


@runtime_checkable
class ListsMissingPlanes(Protocol):
    """Metadata of a format whose missing planes become planes of zeros at `close` (OME-TIFF)."""

    def list_missing(self, missing: Mapping[int, NDArray[np.bool_]]) -> None:
        """Record which planes do not have a frame, before they have pixels; see `Outcome.empty_planes`."""
        ...


@runtime_checkable
class SupportsCarryOver(DatasetMetadata, Protocol):
    """Metadata that can adopt client edits from the metadata of a dataset that it replaces."""

    def carry_over(self, earlier: Any) -> None:
        """Adopt client edits in `earlier`, an object of the same class."""
        ...
