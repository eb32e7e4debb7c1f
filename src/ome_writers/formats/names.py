"""Names of any kind become one safe path component."""

from __future__ import annotations

import re

__all__ = ["distinct", "path_component"]

_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_RESERVED = {"CON", "PRN", "AUX", "NUL"} | {f"{n}{i}" for n in ("COM", "LPT") for i in range(1, 10)}
_MOST_BYTES = (
    200  # below the 255 of every file system, with room for what is added to make names distinct
)


def path_component(name: str) -> str:
    """Return a name that is one path component on Linux, macOS and Windows.

    Separators, ``..``, control characters, names that Windows reserves, and dots and spaces at either end are
    replaced; what is too long is cut. Other characters stay as they are.

    Examples
    --------
    >>> path_component("../a/b"), path_component("CON"), path_component(" x. ")
    ('_a_b', '_CON', 'x')
    """
    safe = _UNSAFE.sub("_", name).strip(". ")
    safe = safe.encode("utf-8", "replace")[:_MOST_BYTES].decode("utf-8", "ignore").strip(". ")
    if not safe or safe.split(".")[0].upper() in _RESERVED:
        safe = f"_{safe}"
    return safe


def distinct(names: list[str], *, reserved: frozenset[str] = frozenset()) -> list[str]:
    """Return the names with those that collide made distinct, upper and lower case being equal.

    Examples
    --------
    >>> distinct(["a", "A", "b"])
    ['a', 'A_1', 'b']
    """
    seen = {name.casefold() for name in reserved}
    out = []
    for name in names:
        candidate, number = name, 0
        while candidate.casefold() in seen:
            number += 1
            candidate = f"{name}_{number}"
        seen.add(candidate.casefold())
        out.append(candidate)
    return out
