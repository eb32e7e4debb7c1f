"""What is known of each frame: journalled while it arrives, one line of JSON a frame."""

from __future__ import annotations

import datetime
import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import PydanticSerializationError, from_json, to_json

from ome_writers.errors import MetadataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["EMBED_BYTES", "JOURNAL_NAME", "Journal", "latest", "read_lines", "to_strict_json"]

JOURNAL_NAME = "frame_metadata.jsonl"
EMBED_BYTES = 2**20
"""Frame metadata up to this size, an image, is part of the documents; more stays in the journal."""


class Journal:
    """The frame metadata of one acquisition, in a file an image.

    Only what has come since the last `take` is in memory.

    Parameters
    ----------
    root
        The folder below which the keys lie.
    keys
        Key of each image's file. None of them is made before it has a line.
    durable
        Whether `write` forces lines to the medium.
    """

    def __init__(self, root: Path, keys: Sequence[str], *, durable: bool) -> None:
        self._paths = [root / key for key in keys]
        self._durable = durable
        self._pending: list[tuple[int, bytes]] = []
        self._counts = [0] * len(keys)

    def encode(self, metadata: Mapping[str, Any]) -> bytes:
        """Return one frame's metadata as strict JSON.

        numpy scalars and arrays, paths, dates and the like are converted; NaN and infinity become null.

        Raises
        ------
        MetadataError
            If a key is no string, or a value has no JSON form.
        """
        try:
            encoded = to_strict_json(metadata)
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise MetadataError(
                f"frame_metadata cannot be written as JSON ({_culprit(metadata)}): {error}. Use strings, numbers, "
                f"booleans, None, lists and dicts of these."
            ) from error
        if encoded[:1] != b"{" or not all(isinstance(key, str) for key in metadata):
            raise MetadataError(
                f"frame_metadata must be a mapping with string keys, got {type(metadata).__name__} "
                f"with keys {list(metadata)[:5]!r}."
            )
        if "storage_index" in metadata:
            raise MetadataError(
                "frame_metadata may not have a key 'storage_index': it names the place."
            )
        return encoded

    def record(self, image: int, index: tuple[int, ...], encoded: bytes) -> None:
        """Add the metadata of the frame at storage index `index` of an image."""
        rest = b"}" if encoded == b"{}" else b"," + encoded[1:]
        self._pending.append((image, b'{"storage_index":%s%s\n' % (_index(index), rest)))
        self._counts[image] += 1

    def take(self) -> list[tuple[int, bytes]]:
        """Return the lines that are not on disk, and forget them."""
        pending, self._pending = self._pending, []
        return pending

    def write(self, lines: list[tuple[int, bytes]]) -> None:
        """Append lines to the images' files."""
        by_image: dict[int, list[bytes]] = {}
        for image, line in lines:
            by_image.setdefault(image, []).append(line)
        for image, texts in by_image.items():
            with self._paths[image].open("ab") as file:
                file.write(b"".join(texts))
                if self._durable:
                    file.flush()
                    os.fsync(file.fileno())

    def count(self, image: int) -> int:
        """Return how many frames of an image have metadata."""
        return self._counts[image]

    def size(self, image: int) -> int:
        """Return how many bytes of an image's metadata are on disk."""
        return self._paths[image].stat().st_size if self._counts[image] else 0

    def lines(self, image: int) -> Iterator[bytes]:
        """Iterate over an image's lines on disk."""
        if self._counts[image]:
            yield from read_lines(self._paths[image])

    def discard(self, image: int) -> None:
        """Remove an image's file."""
        self._paths[image].unlink(missing_ok=True)


def to_strict_json(value: Any) -> bytes:
    """Return `value` as JSON; numpy's types are converted, what is not finite becomes null."""
    return to_json(value, fallback=_convert, inf_nan_mode="null")


def read_lines(path: Path) -> Iterator[bytes]:
    """Iterate over the whole lines of a journal; one that a crash cut short is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _index(index: tuple[int, ...]) -> bytes:
    return b"[%s]" % ",".join(map(str, index)).encode()


def _convert(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, datetime.tzinfo):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _culprit(metadata: Mapping[str, Any]) -> str:
    """Name the first key whose value cannot be written."""
    for key, value in metadata.items() if hasattr(metadata, "items") else ():
        try:
            to_strict_json(value)
        except Exception:  # only the name is wanted
            return f"key {key!r}"
    return "as a whole"


def latest(lines: Iterator[bytes]) -> list[dict[str, Any]]:
    """Return the metadata of each place, in the order in which the places were first filled.

    Of a place that was filled twice the later frame counts, like its pixels.
    """
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    for line in lines:
        entry = from_json(line)
        found[tuple(entry["storage_index"])] = entry
    return list(found.values())
