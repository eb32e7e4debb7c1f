"""Tables of the documentation from those of the library: ``python -m support.abilities`` writes them into the page."""

from __future__ import annotations

import re
from pathlib import Path

from ome_writers.codecs import COMPRESSIONS
from ome_writers.storage import ENGINES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "backends.md"

COLUMNS = {
    "growth": "growth",
    "sharding": "shards",
    "random_access": "any order",
    "ragged": "ragged",
    "live": "live reading",
    "survives_kill": "survives a kill",
    "survives_power_loss": "survives power loss",
}


def engines() -> str:
    """Return the Markdown table of engines: a row per engine, a column per capability."""
    heads = ["backend", "format", "extra", "compression", *COLUMNS.values()]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for row in ENGINES.values():
        extra = f"`{row.extra}`" if row.extra else "-"
        codecs = ", ".join(f"`{name}`" for name in sorted(row.compressions - {"none"})) or "none"
        answers = ["yes" if getattr(row, name) else "no" for name in COLUMNS]
        if not row.sharding:
            answers[list(COLUMNS).index("sharding")] = "-"
        lines.append(_line([f"`{row.name}`", row.format, extra, codecs, *answers]))
    return "\n".join(lines)


def compressions() -> str:
    """Return the Markdown table of compressions."""
    heads = ["compression", "what it is", "OME-Zarr", "OME-TIFF"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for row in COMPRESSIONS.values():
        formats = ["-" if part is None else "yes" for part in (row.zarr, row.tiff)]
        lines.append(_line([f"`{row.name}`", row.label, *formats]))
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """Return the page with the current tables."""
    for table in (engines, compressions):
        between = rf"(<!-- {table.__name__}: .*-->\n)[^<]*(<!-- end of {table.__name__})"
        page = re.sub(between, lambda found, t=table: f"{found[1]}{t()}\n{found[2]}", page)
    return page


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
