"""`Mirror`: where a dataset is copied to while it is written, and how. Imported when it is used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticKnownError

from ome_writers.errors import SettingsError
from ome_writers.object_store import check_store_url


@dataclass(frozen=True)
class Mirror:
    """A copy of the dataset that is written meanwhile; with `evict`, the disk may be smaller than the recording.

    Attributes
    ----------
    url
        URL of an object store, or path of a folder on a network share or another disk. It must not contain credentials.
    evict
        Remove each finished chunk file or shard from this disk when its content at the target was verified. Frames are
        then read from there; `.ome-writers.moved.jsonl` in the dataset has the list. For OME-Zarr of the backend
        ``"direct"``: the files of an OME-TIFF change until the end.
    read_back
        Read each object back before its file is removed, even if the target has computed its checksum. Folders are
        always read back.
    wait
        How long writing waits on a nearly full disk while the target takes no files, in seconds. Then it continues,
        and `append` raises `WriteError` when the disk is full.
    """

    url: str
    evict: bool = False
    read_back: bool = False
    wait: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", check_store_url(self.url))
        for name in ("evict", "read_back"):
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(
                    f"Mirror.{name} must be True or False, got {getattr(self, name)!r}."
                )
        wait: object = self.wait
        if not (isinstance(wait, (int, float)) and 0 <= wait < float("inf")):
            raise SettingsError(f"Mirror.wait must be a time in seconds, got {self.wait!r}.")


def read_mirror(value: Any) -> Any:
    """Return the setting `mirror`: a `Mirror`, or the URL of one without options."""
    if isinstance(value, Mapping):
        unknown = value.keys() - Mirror.__dataclass_fields__.keys()
        if unknown or "url" not in value:
            raise SettingsError(
                f"mirror has the keys {sorted(value)}; use url, evict, read_back and wait, and give url."
            )
        return Mirror(**value)
    if isinstance(value, (str, os.PathLike)):
        return check_store_url(value)
    if value is not None and not isinstance(value, Mirror):
        raise PydanticKnownError("string_type")
    return value


def mirror_of(value: Any) -> Mirror:
    """Return the `Mirror` of a value that `read_mirror` has returned."""
    return value if isinstance(value, Mirror) else Mirror(value)
