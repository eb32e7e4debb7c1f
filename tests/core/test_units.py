"""Names of units: every spelling leads to NGFF's name, and from there to OME-XML's symbol."""

from __future__ import annotations

import pytest

from ome_writers.units import (
    LENGTHS,
    TIMES,
    kind_of,
    ngff_name,
    ome_symbol,
    si_value,
    standard_size,
)

# Transcribed from the NGFF 0.5 specification, "axes" metadata.
NGFF_LENGTHS = [
    "angstrom",
    "attometer",
    "centimeter",
    "decimeter",
    "exameter",
    "femtometer",
    "foot",
    "gigameter",
    "hectometer",
    "inch",
    "kilometer",
    "megameter",
    "meter",
    "micrometer",
    "mile",
    "millimeter",
    "nanometer",
    "parsec",
    "petameter",
    "picometer",
    "terameter",
    "yard",
    "yoctometer",
    "yottameter",
    "zeptometer",
    "zettameter",
]
NGFF_TIMES = [
    "attosecond",
    "centisecond",
    "day",
    "decisecond",
    "exasecond",
    "femtosecond",
    "gigasecond",
    "hectosecond",
    "hour",
    "kilosecond",
    "megasecond",
    "microsecond",
    "millisecond",
    "minute",
    "nanosecond",
    "petasecond",
    "picosecond",
    "second",
    "terasecond",
    "yoctosecond",
    "yottasecond",
    "zeptosecond",
    "zettasecond",
]


def test_tables_contain_units_of_ngff() -> None:
    assert list(LENGTHS) == NGFF_LENGTHS
    assert list(TIMES) == NGFF_TIMES


@pytest.mark.parametrize("name", [*LENGTHS, *TIMES])
def test_name_and_symbol_to_ngff_name(name: str) -> None:
    kind = "space" if name in LENGTHS else "time"
    symbol = ome_symbol(name)
    assert symbol is not None
    for spelling in (name, name + "s", name.upper(), symbol, f" {name} "):
        assert ngff_name(spelling, kind) == name
        assert kind_of(spelling) == kind


def test_symbols_are_unique() -> None:
    symbols = [symbol for symbol, _ in (LENGTHS | TIMES).values()]
    assert len(set(symbols)) == len(symbols)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("um", "micrometer"),
        ("µm", "micrometer"),
        ("\N{GREEK SMALL LETTER MU}m", "micrometer"),
        ("micron", "micrometer"),
        ("Microns", "micrometer"),
        ("micrometre", "micrometer"),
        ("\N{ANGSTROM SIGN}", "angstrom"),
        ("A", "angstrom"),
        ("mm", "millimeter"),
        ("Mm", "megameter"),
        ("nm", "nanometer"),
    ],
)
def test_spellings_of_lengths(spelling: str, name: str) -> None:
    """What people type for a length is understood, and capital M is mega."""
    assert ngff_name(spelling, "space") == name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ms", "millisecond"),
        ("Ms", "megasecond"),
        ("msec", "millisecond"),
        ("usec", "microsecond"),
        ("us", "microsecond"),
        ("\N{GREEK SMALL LETTER MU}s", "microsecond"),
        ("sec", "second"),
        ("s", "second"),
        ("min", "minute"),
        ("h", "hour"),
        ("d", "day"),
    ],
)
def test_spellings_of_times(spelling: str, name: str) -> None:
    """What people type for a time is understood."""
    assert ngff_name(spelling, "time") == name


@pytest.mark.parametrize("text", ["", "pixel", "furlong", "MM", "seconde"])
def test_unknown_unit_raises(text: str) -> None:
    assert kind_of(text) is None
    with pytest.raises(ValueError, match=r"Unrecognized unit of length: .*meter"):
        ngff_name(text, "space")
    with pytest.raises(ValueError, match=r"Unrecognized unit of time: .*second"):
        ngff_name(text, "time")


def test_unit_of_other_kind_raises() -> None:
    with pytest.raises(ValueError, match="unit of length: 's'"):
        ngff_name("s", "space")


@pytest.mark.parametrize(
    ("name", "value"),
    [("micrometer", 1e-6), ("inch", 0.0254), ("meter", 1.0), ("minute", 60.0), ("second", 1.0)],
)
def test_sizes(name: str, value: float) -> None:
    """A unit's size is in meters or seconds."""
    assert si_value(name) == value


def test_unknown_name_has_no_symbol() -> None:
    assert ome_symbol("pixel") is None


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("angstrom", 1e-4),
        ("picometer", 1e-6),
        ("nm", 1e-3),
        ("µm", 1.0),
        ("mm", 1e3),
        ("centimeter", 1e4),
        ("meter", 1e6),
        ("second", 1.0),
        (None, 1.0),
    ],
)
def test_common_lengths_are_exact_in_micrometers(unit: str | None, size: float) -> None:
    """Also units of another kind count as micrometers."""
    assert standard_size(unit, "space") == size
