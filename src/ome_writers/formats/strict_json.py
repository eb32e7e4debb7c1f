"""Python values as strict JSON: no NaN, no infinity, nothing that changes its meaning in silence."""

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

__all__ = [
    "MAX_DEPTH",
    "PLAIN_TYPES",
    "check_readable",
    "offending_key",
    "to_plain_json",
    "to_strict_json",
]

MAX_DEPTH = 128
"""Levels of nesting of metadata; readers take some 200 levels, of which documents use a few themselves."""
_MAX_INTEGER = int(sys.float_info.max)

PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})
"""Types that every value of which has a JSON form (NaN and infinity become null)."""

_RAW = (bytes, bytearray, memoryview)
_IMMENSE = re.compile(rb"[0-9]{309}")  # more digits than the largest float has
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]|[0-9]{309,}')


def to_strict_json(value: Any) -> bytes:
    """Return `value` as JSON in UTF-8.

    numpy's scalars and arrays, paths, dates, sets, dataclasses and pydantic models are converted; complex numbers
    become ``[real, imaginary]``; what is not finite becomes null.

    Raises
    ------
    TypeError, ValueError, RecursionError
        If a value has no JSON form (bytes have none), a key is no string, a container contains itself, or it could
        not be read again: see `check_readable`.
    """
    encoded = to_json(_checked(value), fallback=_convert, inf_nan_mode="null")
    check_readable(encoded)
    return encoded


def check_readable(encoded: bytes) -> None:
    """Refuse JSON that other readers, or this library's, cannot read again.

    Numbers beyond the range of a float are infinite, or an error that makes the whole document unreadable, in readers
    that hold them as floats; nesting has a limit everywhere.

    Raises
    ------
    ValueError
        If it is nested more than `MAX_DEPTH` levels deep, or has such a number.
    """
    brackets = encoded.count(b"[") + encoded.count(b"{")
    if brackets <= MAX_DEPTH and not _IMMENSE.search(encoded):
        return  # nearly always
    depth = 0
    for token in _TOKEN.finditer(encoded):
        first = token[0][:1]
        if first.isdigit() and int(token[0][:400]) > _MAX_INTEGER:
            raise ValueError("a number is beyond the range of a float (1.8e308)")
        depth += (first in b"[{") - (first in b"]}")
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def to_plain_json(metadata: Any) -> dict[str, Any]:
    """Return a deep copy of a mapping that is strict JSON.

    Raises
    ------
    MetadataError
        If it is no mapping, or something in it has no JSON form.
    """
    try:
        copied: dict[str, Any] = from_json(to_strict_json(dict(metadata)))
    except (ValueError, TypeError, RecursionError) as error:
        raise MetadataError(
            f"The metadata cannot be written as JSON ({offending_key(metadata)}): {error}."
        ) from error
    return copied


def offending_key(metadata: Any) -> str:
    """Name the first key whose value cannot be written."""
    if isinstance(metadata, Mapping):
        for key, value in metadata.items():
            if not isinstance(key, str):
                return f"key {key!r}"
            try:
                to_strict_json(value)
            except Exception:  # only the name is wanted
                return f"key {key!r}"
    return "as a whole"


def _checked(value: Any) -> Any:
    """Return `value` with plain containers; refuse what JSON would hold under another meaning."""
    if type(value) in PLAIN_TYPES:
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no string")
        return {str(key): _checked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        if PLAIN_TYPES.issuperset(map(type, value)):
            return list(value)
        return [_checked(item) for item in value]
    if isinstance(value, _RAW):
        raise TypeError(f"{type(value).__name__} has no JSON form")
    if isinstance(value, (complex, np.generic, np.ndarray)):
        return _checked(_convert(value))
    return value


def _convert(value: Any) -> Any:
    """Return the plain form of a value that JSON does not know."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "SV":
        return value.astype(str).tolist() if value.dtype.kind in "mM" else value.tolist()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return str(value)
    if isinstance(value, np.generic) and value.dtype.kind not in "SV":
        item = value.item()
        return float(item) if isinstance(item, np.generic) else item  # longdouble stays one
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, (PurePath, datetime.tzinfo)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
