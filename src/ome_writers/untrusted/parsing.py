"""Parsers with limits: JSON and OME-XML in size, depth and values; counts, shapes, and what fits into memory."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from pydantic_core import from_json

from ome_writers.errors import InvalidFileError, short_repr
from ome_writers.untrusted.files import Limit

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


_MAX_JSON_VALUES = 8_000_000
_MAX_XML_DEPTH = 100
_ELEMENT_BYTES, _ATTRIBUTE_BYTES = 120, 120  # measured memory, including strings of typical length
_MEMORY_CHECK_INTERVAL = 65_536  # elements


def parse_json(text: bytes, name: object, *, strict: bool = False) -> Any:
    """Parse UTF-8 JSON; `name` is the file's name in errors.

    `strict` also refuses NaN and Infinity, which the JSON specification does not allow.

    Raises InvalidFileError if the text is too large, has too many values or is nested too deeply; ValueError if the
    text is not JSON.
    """
    values = text.count(b",") + text.count(b"[") + text.count(b"{")
    if len(text) > Limit.JSON or values > _MAX_JSON_VALUES:
        raise InvalidFileError(
            f"{name}: JSON of {len(text):,} bytes with {values:,} values is too large; "
            f"the limits are {int(Limit.JSON):,} bytes and {_MAX_JSON_VALUES:,} values."
        )
    try:
        return from_json(text, allow_inf_nan=not strict)
    except ValueError as error:
        if "recursion limit" in str(error):  # the limit of the parser is about 200 levels
            raise InvalidFileError(f"{name} is nested too deeply: {error}.") from None
        if strict and _is_json_with_nan(text):  # the parser does not name the value
            raise ValueError(f"NaN and Infinity are not JSON values: {error}") from None
        raise


def _is_json_with_nan(text: bytes) -> bool:
    """Return whether text refused by the strict parser is valid apart from NaN and Infinity."""
    try:
        from_json(text, allow_inf_nan=True)
    except ValueError:
        return False
    return True


def read_json(path: Path, *, root: Path | None = None, strict: bool = False) -> dict[str, Any]:
    """Return the JSON object in a file. See `open_regular` for `root`, `parse_json` for `strict`.

    Raises FileNotFoundError if the file does not exist, and InvalidFileError if it is not a regular file inside `root`,
    or does not contain a JSON object.
    """
    from ome_writers.untrusted.dataset_location import read_regular  # not loaded by writing

    text = read_regular(path, Limit.JSON, root=root)
    try:
        content = parse_json(text, path, strict=strict)
    except InvalidFileError:
        raise
    except ValueError as error:
        raise InvalidFileError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(content, dict):
        raise InvalidFileError(
            f"{path} must contain a JSON object, got a {type(content).__name__}."
        )
    return content


def parse_xml(text: bytes, name: object) -> Element:
    """Return the root element of an OME-XML document.

    Raises InvalidFileError if it is not well-formed, has a DOCTYPE declaration (which could define entities), is nested
    more than 100 levels deep, or would need more memory than is available.
    """
    if len(text) > Limit.XML:
        raise InvalidFileError(
            f"{name}: OME-XML of {len(text):,} bytes is too large; the limit is {int(Limit.XML):,} bytes."
        )
    try:
        parser = ElementTree.XMLParser(target=_LimitedTreeBuilder(name))
        parser.feed(text)
        root: Element = parser.close()
    except ElementTree.ParseError as error:
        raise InvalidFileError(f"{name} is not well-formed XML: {error}.") from None
    except InvalidFileError:
        raise
    except (LookupError, ValueError) as error:  # unknown encoding, or not a text encoding
        raise InvalidFileError(f"{name} is not readable as XML: {error}.") from None
    return root


class _LimitedTreeBuilder(ElementTree.TreeBuilder):
    """Tree builder with limits on nesting depth and memory."""

    def __init__(self, name: object) -> None:
        super().__init__()
        self._name = name
        self._depth = self._elements = self._bytes = 0

    def start(self, tag: Any, attrs: Any, /) -> Element:
        self._depth += 1
        self._elements += 1
        self._bytes += _ELEMENT_BYTES + _ATTRIBUTE_BYTES * (len(attrs) + 1 if attrs else 0)
        if self._depth > _MAX_XML_DEPTH:
            raise InvalidFileError(
                f"{self._name}: XML is nested more than {_MAX_XML_DEPTH} levels deep, which OME-XML never is."
            )
        if not self._elements % _MEMORY_CHECK_INTERVAL:
            check_memory(self._bytes, f"{self._name}: its XML")
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Element:
        self._depth -= 1
        return super().end(tag)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse the declaration before any of its entities is defined."""
        raise InvalidFileError(
            f"{self._name}: refusing XML with a DOCTYPE declaration, which OME-XML does not need. Remove it."
        )


def read_json_object(path: Path, root: Path | None = None) -> dict[str, Any]:
    """Return the JSON object in a file; empty if the file is missing or is not a JSON object.

    Raises InvalidFileError if it is not a regular file inside `root`, too large, or nested too deeply.
    """
    from ome_writers.untrusted.dataset_location import read_regular  # not loaded by writing

    try:
        content = parse_json(read_regular(path, Limit.JSON, root=root), path)
    except InvalidFileError:
        raise
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


MAX_IMAGES = 100_000
"""Maximum number of images in a dataset, for writing and reading."""
MAX_FRAMES = 20_000_000
"""Maximum number of frames whose indices are listed individually, which takes about 100 bytes each."""
MAX_DIMENSIONS = 32
"""Maximum number of axes of an array, the limit of numpy before 2.0, and of dimensions of an acquisition."""
_MAX_EXTENT = 2**63 - 1


def check_shape(shape: Any, name: object, *, axes: int | None = None) -> tuple[int, ...]:
    """Return a shape as a tuple. `name` begins the error message; without `axes`, 2 to 32 axes are allowed.

    Raises InvalidFileError if it is not a list of `axes` integers from 0 to 2**63 - 1.
    """
    if not isinstance(shape, (list, tuple)):
        raise InvalidFileError(
            f"{name}: the shape must be a list of integers, got {short_repr(shape)}."
        )
    if axes is None and not 2 <= len(shape) <= MAX_DIMENSIONS:
        raise InvalidFileError(
            f"{name}: the shape has {len(shape)} axes; 2 to {MAX_DIMENSIONS} are supported."
        )
    if axes is not None and len(shape) != axes:
        raise InvalidFileError(f"{name}: the shape must have {axes} axes, got {len(shape)}.")
    for extent in shape:
        check_count(extent, f"{name}: an extent")
    return tuple(shape)


def check_chunk_shape(chunk: Any, name: object, *, axes: int) -> tuple[int, ...]:
    """Return the shape of chunks or shards; see `check_shape`.

    Raises InvalidFileError if it is not a list of `axes` integers greater than 0.
    """
    shape = check_shape(chunk, name, axes=axes)
    if 0 in shape:
        raise InvalidFileError(f"{name}: the shape {short_repr(list(shape))} contains 0.")
    return shape


def check_count(count: Any, name: object, maximum: int = _MAX_EXTENT, *, minimum: int = 0) -> int:
    """Return a count, given as an integer or as text.

    Raises InvalidFileError if it is not an integer from `minimum` to `maximum`.
    """
    try:
        number = int(count) if isinstance(count, str) else count
    except ValueError:
        number = None
    if type(number) is not int or not minimum <= number <= maximum:
        raise InvalidFileError(
            f"{name} must be an integer from {minimum} to {maximum:,}, got {short_repr(count)}."
        )
    return number


def check_distinct(paths: Collection[str], name: object) -> None:
    """Raise InvalidFileError for a list of images that is too long or has duplicates."""
    check_count(len(paths), f"{name}: the number of images", MAX_IMAGES)
    if len(set(paths)) != len(paths):
        raise InvalidFileError(f"{name} lists an image more than once.")


def check_memory(nbytes: int | Iterable[int], name: object) -> int:
    """Return a size in bytes, given as a number or as extents and item size.

    Raises InvalidFileError if it is more than half of the memory available to this process.
    """
    total = nbytes if isinstance(nbytes, int) else math.prod(nbytes)
    limit = memory_bytes() // 2
    if total > limit:
        raise InvalidFileError(
            f"{name} would need {_gib(total)} of memory; the limit on this machine is {_gib(limit)}."
        )
    return total


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes < 2**60 else "more than 1,000,000,000 GiB"


@cache
def _physical_bytes() -> int:
    if sys.platform == "win32":
        import ctypes

        total = ctypes.c_ulonglong()
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(total))
        return total.value * 1024 or 2**33
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2**33


def memory_bytes() -> int:
    """Return the machine's memory, or the limit set by ``ulimit -v`` if that is less."""
    physical = _physical_bytes()
    if sys.platform != "win32":
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            return min(physical, soft)
    return physical
