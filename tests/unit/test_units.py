"""Names of units: every spelling leads to NGFF's name, and from there to OME-XML's symbol."""

from __future__ import annotations

import pytest

from ome_writers.units import LENGTHS, TIMES, kind_of, ngff_name, ome_symbol, si_value

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


def test_the_tables_hold_the_units_of_ngff() -> None:
    """The rows are the units that NGFF lists, no more and no fewer."""
    assert list(LENGTHS) == NGFF_LENGTHS
    assert list(TIMES) == NGFF_TIMES


@pytest.mark.parametrize("name", [*LENGTHS, *TIMES])
def test_name_and_symbol_lead_to_the_name(name: str) -> None:
    """A unit's name, its plural and its symbol are all stored as the name."""
    kind = "space" if name in LENGTHS else "time"
    symbol = ome_symbol(name)
    assert symbol is not None
    for spelling in (name, name + "s", name.upper(), symbol, f" {name} "):
        assert ngff_name(spelling, kind) == name
        assert kind_of(spelling) == kind


def test_no_symbol_stands_for_two_units() -> None:
    """Each OME-XML symbol belongs to one unit."""
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
def test_other_words_are_no_units(text: str) -> None:
    """A word that is no unit is refused with the units there are."""
    assert kind_of(text) is None
    with pytest.raises(ValueError, match=r"Unrecognized unit of length: .*micrometer \(µm\)"):
        ngff_name(text, "space")
    with pytest.raises(ValueError, match=r"Unrecognized unit of time: .*second \(s\)"):
        ngff_name(text, "time")


def test_a_time_is_no_length() -> None:
    """A unit of the other kind is refused."""
    with pytest.raises(ValueError, match="unit of length: 's'"):
        ngff_name("s", "space")


@pytest.mark.parametrize(
    ("name", "value"),
    [("micrometer", 1e-6), ("inch", 0.0254), ("meter", 1.0), ("minute", 60.0), ("second", 1.0)],
)
def test_sizes(name: str, value: float) -> None:
    """A unit's size is in meters or seconds."""
    assert si_value(name) == value


def test_an_unknown_name_has_no_symbol() -> None:
    """OME-XML has no symbol for what is not in the tables."""
    assert ome_symbol("pixel") is None
