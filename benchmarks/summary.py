"""`python -m benchmarks.summary results.json`: a row of Markdown a contest, for the docs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import figures
from benchmarks.report import HEADINGS, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.rounds import Contest, Entry

_HEAD = (
    "| | workload | on | limit | ours | x limit | best peer | x best peer | must reach |",
    "|---|---|---|---:|---:|---:|---|---:|---|",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of one or several result files."""
    for path in sys.argv[1:] if arguments is None else arguments:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        machine = content["machine"]
        print(f"{machine['date']}; {machine['cpu']}, {machine['cores']} cores; {machine['system']}")
        print()
        print("\n".join(_HEAD))
        for contest in figures.restored(content["contests"]):
            print(_row(contest))
        print()


def _row(contest: Contest) -> str:
    figure = figures.compared(contest.workload)
    limit, peer = figures.limit(contest), figures.best_peer(contest)
    ours = figures.best_of_ours(contest)
    cells = [
        contest.workload.id,
        contest.workload.title,
        contest.medium,
        _seen(limit, figure),
        _seen(ours, figure, named=True),
        _ratio(ours, limit, figure),
        _seen(peer, figure, named=True),
        _ratio(ours, peer, figure),
        contest.skipped or _reached(contest),
    ]
    return f"| {' | '.join(cells)} |"


def _seen(entry: Entry | None, figure: str, *, named: bool = False) -> str:
    seen = None if entry is None else figures.spread(entry, figure)
    if entry is None or seen is None:
        return ""
    name = f"{entry.competitor.name}: " if named else ""
    unit = "" if figure == "us_per_frame" else f" {HEADINGS[figure].split(' ', 1)[-1]}"
    wrong = "" if figures.right(entry) else " (read back wrong)"
    return f"{name}{number(seen.median)}{unit}{wrong}"


def _ratio(ours: Entry | None, other: Entry | None, figure: str) -> str:
    found = None if ours is None or other is None else figures.ratio(ours, other, figure)
    return "" if found is None else f"{found:.2f}"


def _reached(contest: Contest) -> str:
    verdicts = figures.verdicts(contest)
    short = [f"{v.asked}: {v.found}" for v in verdicts if not v.reached]
    if not verdicts:
        return ""
    return "yes" if not short else "no: " + "; ".join(short)


if __name__ == "__main__":
    main()
