"""The table on the terminal and the picture; both only show what `figures` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import figures

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.rounds import Contest, Entry

_COLUMNS = {
    "throughput": ("us_per_frame", "mb_per_s", "close_s", "growth_mib"),
    "create": ("create_s", "us_per_frame", "close_s", "growth_mib"),
    "memory": ("growth_mib", "mb_per_s", "us_per_frame"),
    "latency": ("p50_us", "p99_us", "p99_9_us", "max_us", "frames_late", "growth_mib"),
    "camera": ("us_per_frame", "frames_per_s", "dropped", "seconds"),
}
_HEADINGS = {
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
_COLOURS = {"limit": "#999999", "ours": "#1b9e77", "peer": "#d95f02"}


def show(contest: Contest) -> None:
    """Print the table of one contest and how it stands to what must be reached."""
    print()
    print(f"{contest.workload.id}: {contest.workload.title} ({contest.place})")
    if contest.skipped is not None:
        print(f"  skipped: {contest.skipped}")
        return
    _table(_headings(contest), _rows(contest))
    for verdict in figures.verdicts(contest):
        mark = "reached" if verdict.reached else "SHORT"
        print(f"  {verdict.asked}: {verdict.found}, {mark}")


def _headings(contest: Contest) -> list[str]:
    columns = _COLUMNS[contest.workload.measure]
    first = _HEADINGS[columns[0]]
    rest = [_HEADINGS[column] for column in columns[1:]]
    return ["", first, "least - most", "x limit", "x best peer", *rest, "check"]


def _rows(contest: Contest) -> list[list[str]]:
    workload = contest.workload
    columns = _COLUMNS[workload.measure]
    compared = figures.compared(workload)
    limit, best = figures.limit(contest), figures.best_peer(contest)
    rows = []
    for entry in contest.entries:
        seen = figures.spread(entry, columns[0])
        if seen is None:
            rows.append([entry.competitor.name, "-", entry.refused or "not run"])
            continue
        star = " *" if entry is best else ""
        rows.append(
            [
                entry.competitor.name + star,
                _number(seen.median),
                f"{_number(seen.least)} - {_number(seen.most)}",
                _ratio(entry, limit, compared),
                _ratio(entry, best, compared),
                *(_median(entry, column) for column in columns[1:]),
                _checked(entry),
            ]
        )
    return rows


def _ratio(entry: Entry, other: Entry | None, figure: str) -> str:
    found = None if other is None else figures.ratio(entry, other, figure)
    return "" if found is None else f"{found:.2f}"


def _median(entry: Entry, figure: str) -> str:
    seen = figures.spread(entry, figure)
    return "" if seen is None else _number(seen.median)


def _checked(entry: Entry) -> str:
    said = (
        "ok" if figures.right(entry) else next(r["check"] for r in entry.runs if r["check"] != "ok")
    )
    return said if entry.refused is None else f"{said}; then {entry.refused}"


def _number(value: float) -> str:
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


def plot(contests: list[Contest], path: Path, caption: str) -> None:
    """Draw one panel a contest: a bar a competitor on a logarithmic axis, the limit as a line.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn = [c for c in contests if any(e.runs for e in c.entries)]
    if not drawn:
        return
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    drawing, panels = pyplot.subplots(
        rows, columns, figsize=(5.6 * columns, 3.2 * rows), squeeze=False, layout="constrained"
    )
    for panel in panels.flat[len(drawn) :]:
        panel.set_visible(False)
    for panel, contest in zip(panels.flat, drawn, strict=False):
        figure = figures.compared(contest.workload)
        entries = [e for e in reversed(contest.entries) if figures.spread(e, figure) is not None]
        seen = [s for e in entries if (s := figures.spread(e, figure)) is not None]
        medians = [max(s.median, 1e-3) for s in seen]
        errors = [
            [m - max(s.least, 1e-3) for m, s in zip(medians, seen, strict=True)],
            [max(s.most, 1e-3) - m for m, s in zip(medians, seen, strict=True)],
        ]
        panel.barh(
            [e.competitor.name for e in entries],
            medians,
            xerr=errors,
            color=[_COLOURS[e.competitor.side] for e in entries],
        )
        if (limit := figures.limit(contest)) is not None:
            at = figures.spread(limit, figure)
            if at is not None:
                panel.axvline(at.median, color="#333333", linestyle=":")
        panel.set_xscale("log")
        panel.set_xlabel(_HEADINGS[figure])
        panel.set_title(
            f"{contest.workload.id}: {contest.workload.title}\n{contest.place}", fontsize=8
        )
        panel.tick_params(labelsize=7)
    drawing.suptitle(caption, fontsize=9)
    drawing.savefig(path, dpi=110)
    pyplot.close(drawing)
