"""Medians, ranges, ratios and verdicts from the results of runs."""

from __future__ import annotations

import fnmatch
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.competitors import COMPETITORS
from benchmarks.runner import Contest, Entry
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.workload import Workload

_COMPARED_FIGURE = {
    "throughput": "us_per_frame",
    "create": "create_s",
    "memory": "growth_mib",
    "latency": "p50_us",
    "camera": "us_per_frame",
    "add-levels": "us_per_frame",
}


@dataclass(frozen=True)
class Spread:
    """Median and range of one figure over the rounds."""

    median: float
    min: float
    max: float


@dataclass(frozen=True)
class Verdict:
    """A target of a workload, the measured value, and whether it is reached."""

    target: str
    measured: str
    reached: bool


def compared_figure(workload: Workload) -> str:
    """Name of the figure that the ratios of a workload compare; smaller is better."""
    return _COMPARED_FIGURE[workload.measure]


def spread(entry: Entry, figure: str) -> Spread | None:
    """Return median and range of one figure, or None if no run has it."""
    values = [run[figure] for run in entry.runs if figure in run]
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def ratio(entry: Entry, other: Entry, figure: str) -> float | None:
    """How many times smaller the figure of `entry` is than that of `other`: the median over the rounds."""
    pairs = [
        (run[figure], other_run[figure])
        for run, other_run in zip(entry.runs, other.runs, strict=False)
        if run.get(figure) and other_run.get(figure)
    ]
    if not pairs:
        return None
    return float(statistics.median(other_value / value for value, other_value in pairs))


def limit(contest: Contest) -> Entry | None:
    return next((e for e in contest.entries if e.competitor.name == "limit" and e.runs), None)


def best_peer(contest: Contest, patterns: str = "peer-*,0.3.2-*") -> Entry | None:
    """Return the fastest peer among the names that match.

    Peers with wrong pixels are included, such as those that are fast because they keep a reference instead of a
    copy; the table marks them.
    """
    figure = compared_figure(contest.workload)
    peers = [
        entry
        for entry in contest.entries
        if entry.competitor.side == "peer"
        and _matches(entry.competitor.name, patterns.split(","))
        and spread(entry, figure) is not None
    ]
    return min(peers, key=lambda entry: _median(entry, figure), default=None)


def own_engine(contest: Contest) -> Entry | None:
    """Return the engine of this project that the targets apply to, if it ran."""
    names = ("direct", "tifffile")
    return next((e for e in contest.entries if e.competitor.name in names and e.runs), None)


def is_verified(entry: Entry) -> bool:
    """Whether the frames of every run were read back without differences."""
    return all(run.get("check") == "ok" for run in entry.runs)


def verdicts(contest: Contest) -> list[Verdict]:
    """Compare the project's engine with the workload's targets and bounds."""
    own = own_engine(contest)
    if own is None:
        return []
    figure = compared_figure(contest.workload)
    name = own.competitor.name
    verdicts = []
    for target in contest.workload.targets:
        other = limit(contest) if target.against == "limit" else best_peer(contest, target.against)
        if other is None or (measured := ratio(own, other, figure)) is None:
            continue
        description = f"{name} at least {target.ratio:.2f}x {other.competitor.name}"
        verdicts.append(Verdict(description, f"{measured:.2f}x", measured >= target.ratio))
    for bound in contest.workload.bounds:
        values = spread(own, bound.figure)
        if values is not None:
            description = f"{name} {bound.figure} at most {bound.max:g}"
            verdicts.append(
                Verdict(description, f"{values.median:.3g}", values.median <= bound.max)
            )
    if not is_verified(own):
        verdicts.append(Verdict(f"{name} stores the right pixels", _first_failure(own), False))
    return verdicts


def to_json(contests: Iterable[Contest]) -> list[dict[str, Any]]:
    """Return all results as JSON values."""
    return [
        {
            "workload": contest.workload.id,
            "title": contest.workload.title,
            "frames": contest.workload.frames,
            "place": contest.medium,
            "skipped": contest.skipped,
            "compared": compared_figure(contest.workload),
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


def from_json(content: Iterable[dict[str, Any]]) -> list[Contest]:
    """Return the contests of `to_json`, without workloads and competitors that no longer exist."""
    known = {workload.id: workload for workload in WORKLOADS}
    rows = {competitor.name: competitor for competitor in COMPETITORS}
    return [
        Contest(
            _with_frames(known[contest["workload"]], contest["frames"]),
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


def _with_frames(workload: Workload, frames: int) -> Workload:
    return workload.lengthened(workload.axes[0].count * frames // workload.frames)


def _median(entry: Entry, figure: str) -> float:
    values = spread(entry, figure)
    return float("inf") if values is None else values.median


def _first_failure(entry: Entry) -> str:
    return next(str(run.get("check")) for run in entry.runs if run.get("check") != "ok")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
