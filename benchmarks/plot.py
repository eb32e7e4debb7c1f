"""A plot of all results: one panel per contest, one bar per competitor, the limit as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import analysis
from benchmarks.report import HEADINGS, number

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.runner import Contest

_COLOURS = {"limit": "#999999", "ours": "#1b9e77", "peer": "#d95f02"}
_MIN_VALUE = 1e-3  # zero cannot be drawn on a logarithmic axis


def draw(contests: list[Contest], path: Path, caption: str) -> None:
    """Write the plot as PNG; contests without a run are omitted.

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
    size = (5.6 * columns, 3.4 * rows)
    drawing, panels = pyplot.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained"
    )
    for panel in panels.flat[len(drawn) :]:
        panel.set_visible(False)
    for panel, contest in zip(panels.flat, drawn, strict=False):
        _panel(panel, contest)
    drawing.suptitle(caption, fontsize=9)
    drawing.savefig(path, dpi=110)
    pyplot.close(drawing)


def _panel(panel: Any, contest: Contest) -> None:
    figure = analysis.compared_figure(contest.workload)
    bars = [
        (entry.competitor, values)
        for entry in reversed(contest.entries)
        if (values := analysis.spread(entry, figure)) is not None
    ]
    medians = [max(values.median, _MIN_VALUE) for _, values in bars]
    below = [m - max(values.min, _MIN_VALUE) for m, (_, values) in zip(medians, bars, strict=True)]
    above = [max(values.max, _MIN_VALUE) - m for m, (_, values) in zip(medians, bars, strict=True)]
    drawn = panel.barh(
        [competitor.name for competitor, _ in bars],
        medians,
        xerr=[below, above],
        color=[_COLOURS[competitor.side] for competitor, _ in bars],
        error_kw={"elinewidth": 0.8},
    )
    panel.bar_label(drawn, [number(median) for median in medians], padding=4, fontsize=7)
    limit = analysis.limit(contest)
    if limit is not None and (values := analysis.spread(limit, figure)) is not None:
        panel.axvline(max(values.median, _MIN_VALUE), color="#333333", linestyle=":")
    panel.set_xscale("log")
    panel.set_xlim(min(medians) / 2, max(medians) * 4)
    panel.minorticks_off()
    panel.set_xlabel(HEADINGS[figure], fontsize=8)
    title = f"{contest.workload.id}: {contest.workload.title}\n({contest.medium})"
    panel.set_title(title, fontsize=8)
    panel.tick_params(labelsize=7)
