"""Draw ``throughput.svg``: frames per second in W1 and W2, from the tables of ``docs/explanation/performance.md``.

Run ``python docs/pictures/throughput_chart.py`` after a change of the tables.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parent.parent / "explanation" / "performance.md"
PICTURE = Path(__file__).with_name("throughput.svg")
PANELS = {
    "W2": "2048 x 2048 pixels, shards of 25 frames",
    "W1": "128 x 128 pixels, shards of 500 frames",
}
LIBRARIES = ("tensorstore", "acquire-zarr", "zarrs")
WIDTH, LABELS, BAR, GAP, HEADING = 760, 218, 18, 6, 46
NEW, OLD, LIMIT = "#1b7f5c", "#9aa3ad", "#c0392b"


class Bar(NamedTuple):
    label: str
    frames_per_s: float
    color: str
    at_most: bool = False  # the run was stopped before it ended


def table_row(page: str, workload: str, number: int) -> list[str]:
    """Return the cells of a workload's row in the first or second table that has one."""
    rows = re.findall(rf"^\| {workload}(?::[^|]*)? \|(.*)\|$", page, re.M)
    return [cell.strip() for cell in rows[number].split("|")]


def frames_per_s(microseconds: str) -> float:
    return 1e6 / float(microseconds.lstrip(">").replace(",", ""))


def panel(page: str, workload: str) -> tuple[float, list[Bar]]:
    """Return the limit and the bars, fastest first."""
    limit, _, direct, *_ = table_row(page, workload, 0)
    bars = [Bar("ome-writers 1.0, direct (default)", frames_per_s(direct), NEW)]
    cells = table_row(page, workload, 1)
    for number, library in enumerate(LIBRARIES):
        current, old = cells[2 * number : 2 * number + 2]
        bars.append(Bar(f"ome-writers 1.0, {library}", frames_per_s(current), NEW))
        bars.append(Bar(f"ome-writers 0.3.2, {library}", frames_per_s(old), OLD, old[0] == ">"))
    return frames_per_s(limit), sorted(bars, key=lambda bar: -bar.frames_per_s)


def draw(page: str) -> str:
    """Return the chart as SVG."""
    parts, top = [], 12
    for workload, title in PANELS.items():
        limit, bars = panel(page, workload)
        scale = (WIDTH - LABELS - 90) / max(limit, bars[0].frames_per_s)
        height = len(bars) * (BAR + GAP)
        parts.append(f'<text x="12" y="{top + 14}" class="title">{title}: frames per second</text>')
        first = top + HEADING
        at = LABELS + limit * scale
        parts.append(f'<path d="M{at:.1f} {first - 8}V{first + height}" class="limit"/>')
        parts.append(
            f'<text x="{at:.1f}" y="{first - 12}" class="limit-label" text-anchor="middle">'
            f"the disk's limit: {limit:,.0f}</text>"
        )
        for number, bar in enumerate(bars):
            y = first + number * (BAR + GAP)
            width = max(1.5, bar.frames_per_s * scale)
            value = f"{'&lt; ' * bar.at_most}{bar.frames_per_s:,.0f}"
            parts += [
                f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end">{bar.label}</text>',
                f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{bar.color}"/>',
                f'<text x="{LABELS + width + 6:.1f}" y="{y + 13}" class="value">{value}</text>',
            ]
        top = first + height + 22
    style = (
        "text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:14px}"
        f".value{{paint-order:stroke;stroke:#fff;stroke-width:4px}}.limit{{stroke:{LIMIT};stroke-width:1.5;"
        f"stroke-dasharray:5 3}}.limit-label{{fill:{LIMIT}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">'
        f'<style>{style}</style><rect width="100%" height="100%" rx="8" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PICTURE)
