"""Units of length and time: names in NGFF, symbols in OME-XML, and common spellings.

Names are those of ``unit`` in the "axes" metadata of NGFF 0.5; symbols are those of UnitsLength and UnitsTime in the
OME schema (2016-06). Units that only OME-XML defines (``pixel``, ``reference frame``, ``li``, ``thou``, ``pt``, ``ly``,
``ua``, ``dam``, ``das``) are omitted, since NGFF does not have them.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeAlias, get_args

from ome_writers.errors import suggestion

UnitKind: TypeAlias = Literal["space", "time"]

UnitName: TypeAlias = Literal[
    "angstrom", "picometer", "nanometer", "micrometer", "millimeter", "centimeter", "meter",
    "nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day",
]  # fmt: skip
"""The usual NGFF names, for completion in editors; all units of `LENGTHS` and `TIMES` are accepted."""

_PREFIXES: dict[str, tuple[str, float]] = {
    "yocto": ("y", 1e-24),
    "zepto": ("z", 1e-21),
    "atto": ("a", 1e-18),
    "femto": ("f", 1e-15),
    "pico": ("p", 1e-12),
    "nano": ("n", 1e-9),
    "micro": ("µ", 1e-6),
    "milli": ("m", 1e-3),
    "centi": ("c", 1e-2),
    "deci": ("d", 1e-1),
    "": ("", 1.0),
    "hecto": ("h", 1e2),
    "kilo": ("k", 1e3),
    "mega": ("M", 1e6),
    "giga": ("G", 1e9),
    "tera": ("T", 1e12),
    "peta": ("P", 1e15),
    "exa": ("E", 1e18),
    "zetta": ("Z", 1e21),
    "yotta": ("Y", 1e24),
}


def _with_si_units(
    others: dict[str, tuple[str, float]], name: str, symbol: str
) -> dict[str, tuple[str, float]]:
    """Return units by name, in alphabetical order: `others`, and an SI unit with all of its prefixes."""
    si = {
        f"{prefix}{name}": (letter + symbol, size) for prefix, (letter, size) in _PREFIXES.items()
    }
    return dict(sorted({**others, **si}.items()))


LENGTHS: dict[str, tuple[str, float]] = _with_si_units(
    {
        "angstrom": ("Å", 1e-10),
        "foot": ("ft", 0.3048),
        "inch": ("in", 0.0254),
        "mile": ("mi", 1609.344),
        "parsec": ("pc", 3.0856775814913673e16),
        "yard": ("yd", 0.9144),
    },
    "meter",
    "m",
)
"""NGFF name of a unit of length to OME-XML symbol and size in meters."""

TIMES: dict[str, tuple[str, float]] = _with_si_units(
    {"day": ("d", 86400.0), "hour": ("h", 3600.0), "minute": ("min", 60.0)}, "second", "s"
)
"""NGFF name of a unit of time to OME-XML symbol and size in seconds."""

_TABLES: dict[UnitKind, dict[str, tuple[str, float]]] = {"space": LENGTHS, "time": TIMES}
_QUANTITIES: dict[UnitKind, str] = {"space": "length", "time": "time"}

_SPELLINGS: dict[UnitKind, dict[str, str]] = {
    "space": {
        "um": "micrometer",
        "u": "micrometer",
        "µ": "micrometer",
        "micron": "micrometer",
        "microns": "micrometer",
        "A": "angstrom",
        "ångström": "angstrom",
        "feet": "foot",
        "inches": "inch",
    },
    "time": {
        "us": "microsecond",
        "usec": "microsecond",
        "µsec": "microsecond",
        "msec": "millisecond",
        "msecs": "millisecond",
        "nsec": "nanosecond",
        "sec": "second",
        "secs": "second",
        "mins": "minute",
        "hr": "hour",
        "hrs": "hour",
    },
}


def _spellings(kind: UnitKind) -> dict[str, str]:
    """Return all accepted spellings, mapped to NGFF names."""
    spellings: dict[str, str] = {}
    for name, (symbol, _) in _TABLES[kind].items():
        spellings.update({symbol: name, name: name, name + "s": name})
        if name.endswith("meter"):
            british = name.removesuffix("er") + "re"
            spellings.update({british: name, british + "s": name})
    return spellings | _SPELLINGS[kind]


_ALL_SPELLINGS: dict[UnitKind, dict[str, str]] = {
    "space": _spellings("space"),
    "time": _spellings("time"),
}


def _look_up(text: str, kind: UnitKind) -> str | None:
    # Unicode has two characters for "µ" (micro sign, Greek mu), and two for "Å" (letter, ångström sign).
    text = text.strip().replace("\N{GREEK SMALL LETTER MU}", "\N{MICRO SIGN}")
    text = text.replace("\N{ANGSTROM SIGN}", "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}")
    spellings = _ALL_SPELLINGS[kind]
    if text in spellings:
        return spellings[text]
    # Only spellings of three letters and more are case-insensitive: Mm is not mm.
    return spellings.get(text.lower()) if len(text) > 2 else None


def kind_of(text: str) -> UnitKind | None:
    """Return the kind of a unit; None for units of neither space nor time.

    Examples
    --------
    >>> kind_of("um"), kind_of("msec"), kind_of("furlong")
    ('space', 'time', None)
    """
    if _look_up(text, "space"):
        return "space"
    return "time" if _look_up(text, "time") else None


def ngff_name(text: str, kind: UnitKind) -> str:
    """Return the NGFF name of a unit in any accepted spelling.

    Raises ValueError if `text` is not a unit of this kind.

    Examples
    --------
    >>> ngff_name("µm", "space")
    'micrometer'
    """
    name = _look_up(text, kind)
    if name is None:
        usual = [name for name in get_args(UnitName) if name in _TABLES[kind]]
        close = (
            suggestion(text, _TABLES[kind]) or f" Use one of: {', '.join(usual)}, or its symbol."
        )
        raise ValueError(f"Unrecognized unit of {_QUANTITIES[kind]}: {text!r}.{close}")
    return name


def ome_symbol(name: str) -> str | None:
    """Return the OME-XML symbol of a unit, given its NGFF name; None for other units.

    Examples
    --------
    >>> ome_symbol("micrometer")
    'µm'
    """
    row = LENGTHS.get(name) or TIMES.get(name)
    return row[0] if row else None


def si_value(name: str) -> float:
    """Return the size of a unit in meters or seconds, given its NGFF name.

    Examples
    --------
    >>> si_value("millisecond")
    0.001
    """
    return (LENGTHS.get(name) or TIMES[name])[1]


@cache
def standard_size(text: str | None, kind: UnitKind) -> float:
    """Return the size of a unit in micrometers or seconds; 1.0 without a unit, or for a unit of another kind.

    Examples
    --------
    >>> standard_size("mm", "space"), standard_size("ms", "time"), standard_size("pixel", "space")
    (1000.0, 0.001, 1.0)
    """
    if text is None or kind_of(text) != kind:
        return 1.0
    return si_value(ngff_name(text, kind)) * (1e6 if kind == "space" else 1.0)
