"""Python values as strict JSON: no NaN, no infinity, nothing that changes its meaning in silence."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from ome_writers.errors import MetadataError

__all__ = ["PLAIN_TYPES", "culprit", "plain", "to_strict_json"]

PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})
"""Types that every value of which has a JSON form (NaN and infinity become null)."""

_RAW = (bytes, bytearray, memoryview)


def to_strict_json(value: Any) -> bytes:
    """Return `value` as JSON in UTF-8.

    numpy's scalars and arrays, paths, dates, sets, dataclasses and pydantic models are converted; complex numbers
    become ``[real, imaginary]``; what is not finite becomes null.

    Raises
    ------
    TypeError, ValueError, RecursionError
        If a value has no JSON form (bytes have none), a key is no string, or a container contains itself.
    """
    return to_json(_checked(value), fallback=_convert, inf_nan_mode="null")


def plain(metadata: Any) -> dict[str, Any]:
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
            f"The metadata cannot be written as JSON ({culprit(metadata)}): {error}."
        ) from error
    return copied


def culprit(metadata: Any) -> str:
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
