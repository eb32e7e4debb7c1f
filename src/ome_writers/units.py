"""Units of length and time: names in NGFF, symbols in OME-XML, and common spellings.

Names are those of ``unit`` in the "axes" metadata of NGFF 0.5; symbols are those of UnitsLength and UnitsTime in the
OME schema (2016-06). Units that only OME-XML defines (``pixel``, ``reference frame``, ``li``, ``thou``, ``pt``, ``ly``,
``ua``, ``dam``, ``das``) are omitted, since NGFF does not have them.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

UnitKind: TypeAlias = Literal["space", "time"]

LENGTHS: dict[str, tuple[str, float]] = {
    "angstrom": ("Å", 1e-10),
    "attometer": ("am", 1e-18),
    "centimeter": ("cm", 1e-2),
    "decimeter": ("dm", 1e-1),
    "exameter": ("Em", 1e18),
    "femtometer": ("fm", 1e-15),
    "foot": ("ft", 0.3048),
    "gigameter": ("Gm", 1e9),
    "hectometer": ("hm", 1e2),
    "inch": ("in", 0.0254),
    "kilometer": ("km", 1e3),
    "megameter": ("Mm", 1e6),
    "meter": ("m", 1.0),
    "micrometer": ("µm", 1e-6),
    "mile": ("mi", 1609.344),
    "millimeter": ("mm", 1e-3),
    "nanometer": ("nm", 1e-9),
    "parsec": ("pc", 3.0856775814913673e16),
    "petameter": ("Pm", 1e15),
    "picometer": ("pm", 1e-12),
    "terameter": ("Tm", 1e12),
    "yard": ("yd", 0.9144),
    "yoctometer": ("ym", 1e-24),
    "yottameter": ("Ym", 1e24),
    "zeptometer": ("zm", 1e-21),
    "zettameter": ("Zm", 1e21),
}
"""NGFF name of a unit of length to OME-XML symbol and size in meters."""

TIMES: dict[str, tuple[str, float]] = {
    "attosecond": ("as", 1e-18),
    "centisecond": ("cs", 1e-2),
    "day": ("d", 86400.0),
    "decisecond": ("ds", 1e-1),
    "exasecond": ("Es", 1e18),
    "femtosecond": ("fs", 1e-15),
    "gigasecond": ("Gs", 1e9),
    "hectosecond": ("hs", 1e2),
    "hour": ("h", 3600.0),
    "kilosecond": ("ks", 1e3),
    "megasecond": ("Ms", 1e6),
    "microsecond": ("µs", 1e-6),
    "millisecond": ("ms", 1e-3),
    "minute": ("min", 60.0),
    "nanosecond": ("ns", 1e-9),
    "petasecond": ("Ps", 1e15),
    "picosecond": ("ps", 1e-12),
    "second": ("s", 1.0),
    "terasecond": ("Ts", 1e12),
    "yoctosecond": ("ys", 1e-24),
    "yottasecond": ("Ys", 1e24),
    "zeptosecond": ("zs", 1e-21),
    "zettasecond": ("Zs", 1e21),
}
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
        known = [f"{name} ({symbol})" for name, (symbol, _) in _TABLES[kind].items()]
        raise ValueError(
            f"Unrecognized unit of {_QUANTITIES[kind]}: {text!r}. Use one of: {', '.join(known)}."
        )
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
