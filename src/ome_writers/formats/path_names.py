"""Names of any kind become one safe path component; the name itself stays in the metadata."""

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
# Below the 255 bytes of every file system, with room for what makes names distinct and for what a temporary
# file adds.
_MOST_BYTES = 200


def path_component(name: str) -> str:
    """Return a name that is one path component on Linux, macOS and Windows.

    Separators, ``..``, control characters, names that Windows reserves, and dots and spaces at either end are
    replaced; what is too long is cut between two characters. Other characters stay as they are.

    Examples
    --------
    >>> path_component("../a/b"), path_component("CON"), path_component(" x. ")
    ('_a_b', '_CON', 'x')
    """
    safe = unicodedata.normalize("NFC", _UNSAFE.sub("_", name)).strip(". ")
    safe = safe.encode()[:_MOST_BYTES].decode("utf-8", "ignore").strip(". ")
    if not safe or safe.split(".")[0].rstrip(" ").upper() in _RESERVED:
        safe = f"_{safe}"
    return safe


def alphanumeric_component(name: str, otherwise: str) -> str:
    """Return a name of ASCII letters and digits only, as NGFF asks of a plate's rows and columns.

    Other characters are left out; what has none of these becomes `otherwise`.

    Examples
    --------
    >>> alphanumeric("Row 1", "row"), alphanumeric("CON", "row"), alphanumeric("é", "row")
    ('Row1', 'rowCON', 'row')
    """
    safe = re.sub("[^A-Za-z0-9]", "", name)[:_MOST_BYTES]
    return f"{otherwise}{safe}" if not safe or safe.upper() in _RESERVED else safe


def make_distinct(names: Iterable[str], *, joint: str = "_") -> list[str]:
    """Return the names with those that collide made distinct.

    Names collide when they differ in case only, or in how Unicode composes them: some file systems take them for one.

    Examples
    --------
    >>> distinct(["a", "A", "b", "a"]), distinct(["a", "A"], joint="")
    (['a', 'A_1', 'b', 'a_2'], ['a', 'A1'])
    """
    names = list(names)
    wanted = {_fold(name) for name in names}
    seen: set[str] = set()
    last: dict[str, int] = {}
    out = []
    for name in names:
        candidate, number = name, last.get(_fold(name), 0)
        while (folded := _fold(candidate)) in seen or (number and folded in wanted):
            number += 1
            candidate = f"{name}{joint}{number}"
        last[_fold(name)] = number
        seen.add(folded)
        out.append(candidate)
    return out


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
