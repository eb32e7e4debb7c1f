"""`python -m benchmarks.summary results.json`: the results as a Markdown table, one row per contest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import analysis
from benchmarks.report import HEADINGS, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.runner import Contest, Entry

_HEAD = (
    "| | workload | on | limit | ours | vs limit | best peer | vs best peer | targets reached |",
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
        for contest in analysis.from_json(content["contests"]):
            print(_row(contest))
        print()


def _row(contest: Contest) -> str:
    figure = analysis.compared_figure(contest.workload)
    limit, peer = analysis.limit(contest), analysis.best_peer(contest)
    own = analysis.own_engine(contest)
    cells = [
        contest.workload.id,
        contest.workload.title,
        contest.medium,
        _median(limit, figure),
        _median(own, figure, named=True),
        _ratio(own, limit, figure),
        _median(peer, figure, named=True),
        _ratio(own, peer, figure),
        contest.skipped or _reached(contest),
    ]
    return f"| {' | '.join(cells)} |"


def _median(entry: Entry | None, figure: str, *, named: bool = False) -> str:
    values = None if entry is None else analysis.spread(entry, figure)
    if entry is None or values is None:
        return ""
    name = f"{entry.competitor.name}: " if named else ""
    unit = "" if figure == "us_per_frame" else f" {HEADINGS[figure].split(' ', 1)[-1]}"
    wrong = "" if analysis.is_verified(entry) else " (wrong pixels)"
    return f"{name}{number(values.median)}{unit}{wrong}"


def _ratio(own: Entry | None, other: Entry | None, figure: str) -> str:
    ratio = None if own is None or other is None else analysis.ratio(own, other, figure)
    return "" if ratio is None else f"{ratio:.2f}"


def _reached(contest: Contest) -> str:
    verdicts = analysis.verdicts(contest)
    missed = [f"{v.target}: {v.measured}" for v in verdicts if not v.reached]
    if not verdicts:
        return ""
    return "yes" if not missed else "no: " + "; ".join(missed)


if __name__ == "__main__":
    main()
