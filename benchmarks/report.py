"""The result tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import analysis

if TYPE_CHECKING:
    from benchmarks.runner import Contest, Entry

_COLUMNS = {
    "throughput": ("us_per_frame", "mb_per_s", "close_s", "growth_mib"),
    "create": ("create_s", "us_per_frame", "close_s", "growth_mib"),
    "memory": ("growth_mib", "mb_per_s", "us_per_frame"),
    "latency": ("p50_us", "p99_us", "p99_9_us", "max_us", "frames_late", "growth_mib"),
    "add-levels": ("us_per_frame", "mb_per_s", "growth_mib"),
    "camera": ("us_per_frame", "frames_per_s", "dropped", "seconds"),
}
HEADINGS = {
    "us_per_frame": "us/frame",
    "mb_per_s": "MB/s",
    "close_s": "close s",
    "create_s": "create s",
    "growth_mib": "MiB over idle",
    "p50_us": "p50 us",
    "p99_us": "p99 us",
    "p99_9_us": "p99.9 us",
    "max_us": "max us",
    "frames_late": "frames late",
    "frames_per_s": "frames/s",
    "dropped": "dropped",
    "seconds": "seconds",
}


def show(contest: Contest) -> None:
    """Print the table of one contest and its verdicts."""
    print()
    frames = f"{contest.workload.frames:,} frames"
    print(f"{contest.workload.id}: {contest.workload.title} ({frames}, {contest.medium})")
    if contest.skipped is not None:
        print(f"  skipped: {contest.skipped}")
        return
    _table(_headings(contest), _rows(contest))
    for verdict in analysis.verdicts(contest):
        mark = "reached" if verdict.reached else "MISSED"
        print(f"  {verdict.target}: {verdict.measured}, {mark}")


def _headings(contest: Contest) -> list[str]:
    columns = _COLUMNS[contest.workload.measure]
    first = HEADINGS[columns[0]]
    others = [HEADINGS[column] for column in columns[1:]]
    return ["", first, "min - max", "vs limit", "vs best peer", *others, "check"]


def _rows(contest: Contest) -> list[list[str]]:
    workload = contest.workload
    columns = _COLUMNS[workload.measure]
    compared = analysis.compared_figure(workload)
    limit, best = analysis.limit(contest), analysis.best_peer(contest)
    rows = []
    for entry in contest.entries:
        values = analysis.spread(entry, columns[0])
        if values is None:
            rows.append([entry.competitor.name, "-", entry.refused or "not run"])
            continue
        star = " *" if entry is best else ""
        rows.append(
            [
                entry.competitor.name + star,
                number(values.median),
                f"{number(values.min)} - {number(values.max)}",
                _ratio(entry, limit, compared),
                _ratio(entry, best, compared),
                *(_median(entry, column) for column in columns[1:]),
                _check_result(entry),
            ]
        )
    return rows


def _ratio(entry: Entry, other: Entry | None, figure: str) -> str:
    ratio = None if other is None else analysis.ratio(entry, other, figure)
    return "" if ratio is None else f"{ratio:.2f}"


def _median(entry: Entry, figure: str) -> str:
    values = analysis.spread(entry, figure)
    return "" if values is None else number(values.median)


def _check_result(entry: Entry) -> str:
    result = next((run["check"] for run in entry.runs if run["check"] != "ok"), "ok")
    return result if entry.refused is None else f"{result}; then {entry.refused}"


def number(value: float) -> str:
    """Format a figure with about three digits."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(headings: list[str], rows: list[list[str]]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        _plain_table(headings, rows)
        return
    console = Console()
    if not console.is_terminal:
        _plain_table(headings, rows)
        return
    table = Table(*headings)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _plain_table(headings: list[str], rows: list[list[str]]) -> None:
    full = [row for row in rows if len(row) == len(headings)]
    widths = [max(len(row[k]) for row in [headings, *full]) for k in range(len(headings))]
    widths[0] = max(widths[0], *(len(row[0]) for row in rows), 0)
    for row in [headings, *rows]:
        if len(row) < len(headings):
            print(f"  {row[0]:<{widths[0]}}  {row[-1]}")
            continue
        cells = [f"{row[0]:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        print("  " + "  ".join([*cells, row[-1]]).rstrip())
