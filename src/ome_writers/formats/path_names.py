"""Safe, distinct path components from user-given names; the original names stay in the metadata."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["alphanumeric_component", "make_distinct", "path_component"]

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff<>:"/\\|?*]')
_RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"
}
# File systems allow 255 bytes; the rest is for the numbers of `make_distinct` and affixes of temporary files.
_MAX_BYTES = 200


def path_component(name: str) -> str:
    """Return `name` as one path component that is valid on Linux, macOS and Windows.

    Replaces separators, ``..``, control characters, reserved Windows names, and leading and trailing dots and spaces.
    Long names are truncated at a character boundary. Other characters stay.

    Examples
    --------
    >>> path_component("../a/b"), path_component("CON"), path_component(" x. ")
    ('_a_b', '_CON', 'x')
    """
    safe = unicodedata.normalize("NFC", _UNSAFE.sub("_", name)).strip(". ")
    safe = safe.encode()[:_MAX_BYTES].decode("utf-8", "ignore").strip(". ")
    if not safe or safe.split(".")[0].rstrip(" ").upper() in _RESERVED:
        safe = f"_{safe}"
    return safe


def alphanumeric_component(name: str, default: str) -> str:
    """Return the ASCII letters and digits of `name`, the only characters that NGFF allows in a plate's paths.

    A name without any becomes `default`; a reserved Windows name gets `default` as prefix.

    Examples
    --------
    >>> [alphanumeric_component(name, "row") for name in ("Row 1", "CON", "é")]
    ['Row1', 'rowCON', 'row']
    """
    safe = re.sub("[^A-Za-z0-9]", "", name)[:_MAX_BYTES]
    return f"{default}{safe}" if not safe or safe.upper() in _RESERVED else safe


def make_distinct(names: Iterable[str], *, separator: str = "_") -> list[str]:
    """Return `names` with a number appended to each that collides with an earlier one.

    Names that differ only in case or Unicode normalization collide: some file systems do not distinguish them.

    Examples
    --------
    >>> make_distinct(["a", "A", "b", "a"]), make_distinct(["a", "A"], separator="")
    (['a', 'A_1', 'b', 'a_2'], ['a', 'A1'])
    """
    names = list(names)
    originals = {_fold(name) for name in names}
    seen: set[str] = set()
    last_number: dict[str, int] = {}
    distinct = []
    for name in names:
        candidate, number = name, last_number.get(_fold(name), 0)
        while (folded := _fold(candidate)) in seen or (number and folded in originals):
            number += 1
            candidate = f"{name}{separator}{number}"
        last_number[_fold(name)] = number
        seen.add(folded)
        distinct.append(candidate)
    return distinct


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
