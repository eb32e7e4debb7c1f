"""Python values as strict JSON: without NaN, infinity and silent changes of meaning."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from ome_writers.errors import MetadataError

MAX_DEPTH = 128
"""Maximum nesting of user metadata. Some readers fail near 200 levels; the enclosing document uses a few."""
_MAX_INTEGER = int(sys.float_info.max)

PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})
"""Types of which every value can be represented in JSON (NaN and infinity as null)."""

_BYTES_TYPES = (bytes, bytearray, memoryview)
_HUGE_NUMBER = re.compile(rb"[0-9]{309}")  # more digits than the largest float
_HUGE_NUMBERS = re.compile(rb"[0-9]{309,}")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


def to_strict_json(value: Any) -> bytes:
    """Return `value` as JSON in UTF-8.

    Converts numpy scalars and arrays, paths, dates, sets, dataclasses and pydantic models. Complex numbers become
    ``[real, imaginary]``, NaN and infinity null.

    Raises TypeError, ValueError, RecursionError if a value cannot be represented in JSON (such as bytes), a key is not
    a string, a container contains itself, or `check_readable` fails.
    """
    encoded = to_json(_checked(value), fallback=_convert, inf_nan_mode="null")
    check_readable(encoded)
    return encoded


def check_readable(encoded: bytes) -> None:
    """Refuse JSON that some readers cannot parse.

    Readers that store numbers as floats turn larger ones into infinity or reject the whole document. Every parser
    limits nesting.

    Raises ValueError if it is nested more than `MAX_DEPTH` levels deep, or contains a number beyond the range of a
    float.
    """
    brackets = encoded.count(b"[") + encoded.count(b"{")
    if brackets <= MAX_DEPTH and not _HUGE_NUMBER.search(encoded):
        return  # the common case, without looking at strings
    without_strings = _STRING.sub(b"", encoded)
    if any(int(n[:400]) > _MAX_INTEGER for n in _HUGE_NUMBERS.findall(without_strings)):
        raise ValueError("a number is beyond the range of a float (1.8e308)")
    characters = np.frombuffer(without_strings, np.uint8)
    opening, closing = (np.isin(characters, list(each)) for each in (b"[{", b"]}"))
    if np.cumsum(opening.astype(np.int32) - closing).max(initial=0) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def json_problem(error: Exception) -> str:
    return str(error).removeprefix("Error serializing to JSON: ").removeprefix("TypeError: ")


def to_plain_json(metadata: Any) -> dict[str, Any]:
    """Return a deep copy of a mapping, converted as by `to_strict_json`; MetadataError if that fails."""
    try:
        copied: dict[str, Any] = from_json(to_strict_json(dict(metadata)))
    except (ValueError, TypeError, RecursionError) as error:
        raise MetadataError(
            f"The metadata cannot be written as JSON ({offending_key(metadata)}): {json_problem(error)}."
        ) from error
    return copied


def offending_key(metadata: Any) -> str:
    """Return the first key whose value cannot be represented in JSON, for a message."""
    if isinstance(metadata, Mapping):
        for key, value in metadata.items():
            if not isinstance(key, str):
                return f"key {key!r}"
            try:
                to_strict_json(value)
            except Exception:  # the caller reports the error itself
                return f"key {key!r}"
    return "as a whole"


def _checked(value: Any) -> Any:
    """Return `value` with plain containers; refuse keys and bytes that `to_json` would silently convert."""
    if type(value) in PLAIN_TYPES:
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not a string")
        return {str(key): _checked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        if PLAIN_TYPES.issuperset(map(type, value)):
            return list(value)
        return [_checked(item) for item in value]
    if isinstance(value, _BYTES_TYPES):
        raise TypeError(f"{type(value).__name__} cannot be represented in JSON")
    if isinstance(value, (complex, np.generic, np.ndarray)):
        return _checked(_convert(value))
    return value


def _convert(value: Any) -> Any:
    """Return the JSON-compatible equivalent of a numpy, complex, path or time zone value."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "SV":
        return value.astype(str).tolist() if value.dtype.kind in "mM" else value.tolist()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return str(value)
    if isinstance(value, np.generic) and value.dtype.kind not in "SV":
        item = value.item()  # of a longdouble, a longdouble
        return float(item) if isinstance(item, np.generic) else item
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, (PurePath, datetime.tzinfo)):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be represented in JSON")
