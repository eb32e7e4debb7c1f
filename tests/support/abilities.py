"""The table of engine capabilities in the documentation, from the registry: ``python -m support.abilities``."""

from __future__ import annotations

from ome_writers.storage import ENGINES

COLUMNS = {
    "growth": "growth",
    "sharding": "shards",
    "random_access": "any order",
    "ragged": "ragged",
    "live": "live reading",
    "survives_kill": "survives a kill",
    "survives_power_loss": "survives power loss",
}


def table() -> str:
    """Return the Markdown table: a row per engine, a column per capability."""
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


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(table())
