"""From runs to medians, spreads and ratios; pure arithmetic, nothing is printed here."""

from __future__ import annotations

import fnmatch
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.competitors import COMPETITORS
from benchmarks.rounds import Contest, Entry
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.workload import Workload

_COMPARED = {
    "throughput": "us_per_frame",
    "create": "create_s",
    "memory": "growth_mib",
    "latency": "p50_us",
    "camera": "us_per_frame",
}


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of one figure over the rounds."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Verdict:
    """One sentence of "must reach" and whether it holds."""

    asked: str
    found: str
    reached: bool


def compared(workload: Workload) -> str:
    """Name of the figure that the ratios of a workload are about; smaller is better."""
    return _COMPARED[workload.measure]


def spread(entry: Entry, figure: str) -> Spread | None:
    """Return the spread of one figure, or None if no run has it."""
    values = [run[figure] for run in entry.runs if figure in run]
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def ratio(entry: Entry, other: Entry, figure: str) -> float | None:
    """How many times smaller `entry`'s figure is: the median of the ratios of each round."""
    pairs = [
        (mine[figure], theirs[figure])
        for mine, theirs in zip(entry.runs, other.runs, strict=False)
        if mine.get(figure) and theirs.get(figure)
    ]
    if not pairs:
        return None
    return float(statistics.median(theirs / mine for mine, theirs in pairs))


def limit(contest: Contest) -> Entry | None:
    """Return the limit's entry if it ran."""
    return next((e for e in contest.entries if e.competitor.name == "limit" and e.runs), None)


def best_peer(contest: Contest, patterns: str = "peer-*,0.3.2-*") -> Entry | None:
    """Return the peer of the smallest median among the names that match.

    Also one whose frames read back wrong: to be faster than every peer includes those that are fast
    because they keep a reference where a copy was due. The table says so in its row.
    """
    figure = compared(contest.workload)
    peers = [
        entry
        for entry in contest.entries
        if entry.competitor.side == "peer"
        and _matches(entry.competitor.name, patterns.split(","))
        and spread(entry, figure) is not None
    ]
    return min(peers, key=lambda entry: _median(entry, figure), default=None)


def best_of_ours(contest: Contest) -> Entry | None:
    """Return the engine of this project that the targets are about, if it ran."""
    names = ("direct", "tifffile")
    return next((e for e in contest.entries if e.competitor.name in names and e.runs), None)


def right(entry: Entry) -> bool:
    """Whether every run read back as it should."""
    return all(run.get("check") == "ok" for run in entry.runs)


def verdicts(contest: Contest) -> list[Verdict]:
    """Judge this project's own engine by what the workload must reach."""
    ours = best_of_ours(contest)
    if ours is None:
        return []
    figure = compared(contest.workload)
    name = ours.competitor.name
    said = []
    for target in contest.workload.targets:
        other = limit(contest) if target.against == "limit" else best_peer(contest, target.against)
        if other is None or (found := ratio(ours, other, figure)) is None:
            continue
        asked = f"{name} at least {target.ratio:.2f}x {other.competitor.name}"
        said.append(Verdict(asked, f"{found:.2f}x", found >= target.ratio))
    for bound in contest.workload.bounds:
        seen = spread(ours, bound.figure)
        if seen is not None:
            asked = f"{name} {bound.figure} at most {bound.most:g}"
            said.append(Verdict(asked, f"{seen.median:.3g}", seen.median <= bound.most))
    if not right(ours):
        said.append(Verdict(f"{name} reads back right", _wrong(ours), False))
    return said


def document(contests: Iterable[Contest]) -> list[dict[str, Any]]:
    """Return everything that was measured, as JSON keeps it."""
    return [
        {
            "workload": contest.workload.id,
            "title": contest.workload.title,
            "frames": contest.workload.frames,
            "place": contest.medium,
            "skipped": contest.skipped,
            "compared": compared(contest.workload),
            "competitors": [
                {
                    "name": entry.competitor.name,
                    "side": entry.competitor.side,
                    "refused": entry.refused,
                    "runs": entry.runs,
                }
                for entry in contest.entries
            ],
            "must_reach": [vars(verdict) for verdict in verdicts(contest)],
        }
        for contest in contests
    ]


def restored(content: Iterable[dict[str, Any]]) -> list[Contest]:
    """Return the contests of a `document`, without workloads that the table no longer has."""
    known = {workload.id: workload for workload in WORKLOADS}
    rows = {competitor.name: competitor for competitor in COMPETITORS}
    return [
        Contest(
            _of_length(known[contest["workload"]], contest["frames"]),
            contest["place"],
            tuple(
                Entry(rows[entry["name"]], entry["runs"], entry["refused"])
                for entry in contest["competitors"]
                if entry["name"] in rows
            ),
            contest["skipped"],
        )
        for contest in content
        if contest["workload"] in known
    ]


def _of_length(workload: Workload, frames: int) -> Workload:
    return workload.lengthened(workload.axes[0].count * frames // workload.frames)


def _median(entry: Entry, figure: str) -> float:
    seen = spread(entry, figure)
    return float("inf") if seen is None else seen.median


def _wrong(entry: Entry) -> str:
    return next(str(run.get("check")) for run in entry.runs if run.get("check") != "ok")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
