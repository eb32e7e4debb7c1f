"""The competitors: one row per program, with the module that drives it and its environment."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks import demo_camera

if TYPE_CHECKING:
    from benchmarks.workload import Workload

Side = Literal["limit", "ours", "peer"]


@dataclass(frozen=True)
class Competitor:
    """One program that is measured.

    Parameters
    ----------
    name
        Name in the table and in `--only`.
    module
        Module with `open_writer(workload, folder, variant)`.
    variant
        Engine or mode of the module.
    side
        Peers run in the peers' environment, the others in the current one.
    """

    name: str
    module: str
    variant: str | None
    side: Side
    format: Literal["zarr", "tiff"] | None = None


_ENGINES = ("direct", "tensorstore", "acquire-zarr", "zarrs-python", "zarr-python")
_PUBLIC = "benchmarks.peers.ome_writers_public"

COMPETITORS: tuple[Competitor, ...] = (
    Competitor("limit", "benchmarks.limits", None, "limit"),
    Competitor("limit-copying", "benchmarks.copying_limits", None, "limit"),
    Competitor("limit-writing", "benchmarks.demo_camera", None, "limit"),
    *(Competitor(name, "benchmarks.current", name, "ours", "zarr") for name in _ENGINES),
    Competitor("tifffile", "benchmarks.current", "tifffile", "ours", "tiff"),
    Competitor("peer-tensorstore", "benchmarks.peers.tensorstore", None, "peer", "zarr"),
    Competitor("peer-acquire-zarr", "benchmarks.peers.acquire", None, "peer", "zarr"),
    Competitor("peer-zarrs", "benchmarks.peers.zarr_python", "zarrs", "peer", "zarr"),
    Competitor("peer-zarr-python", "benchmarks.peers.zarr_python", None, "peer", "zarr"),
    Competitor("peer-tifffile", "benchmarks.peers.tiff", None, "peer", "tiff"),
    Competitor("peer-tifffile-memmap", "benchmarks.peers.tiff", "memmap", "peer", "tiff"),
    Competitor("peer-tifffile-plain", "benchmarks.peers.tiff", "plain", "peer", "tiff"),
    *(Competitor(f"0.3.2-{name}", _PUBLIC, name, "peer", "zarr") for name in _ENGINES[1:]),
    Competitor("0.3.2-tensorstore-copied", _PUBLIC, "tensorstore-copied", "peer", "zarr"),
    Competitor("0.3.2-tifffile", _PUBLIC, "tifffile", "peer", "tiff"),
)

_GROUPS = {"ours": "ours", "peers": "peer", "limits": "limit"}


def select(only: str | None) -> list[Competitor]:
    """Return the competitors for comma-separated names, patterns and groups (`ours`, `peers`, `limits`).

    Raises
    ------
    ValueError
        If a name matches no competitor.
    """
    if not only:
        return list(COMPETITORS)
    parts = [part.strip() for part in only.split(",") if part.strip()]
    for part in parts:
        if not any(_matches(part, competitor) for competitor in COMPETITORS):
            known = " ".join(competitor.name for competitor in COMPETITORS)
            raise ValueError(
                f"--only: no competitor matches {part!r}. Choose from ours, peers, limits, {known}."
            )
    return [c for c in COMPETITORS if any(_matches(part, c) for part in parts)]


def supports(competitor: Competitor, workload: Workload) -> bool:
    """Whether the competitor takes part; its module may still raise RefusedError with a reason."""
    if competitor.name == "limit-copying":
        return workload.limit in ("file-per-frame", "codec")
    if competitor.name == "limit-writing":
        return workload.measure == "camera"
    if competitor.side == "limit":
        return workload.limit != "none"
    if workload.ours_only and competitor.side == "peer":
        return False
    if workload.measure == "add-levels":
        return competitor.name == "direct"
    if workload.pyramid and competitor.side == "peer":
        return competitor.name == "peer-acquire-zarr" and workload.format == "zarr"
    if competitor.name.startswith("peer-") and (workload.layout != "single" or workload.metadata):
        return False  # a library alone writes the pixels of one array
    if workload.measure == "camera" and competitor.name not in demo_camera.NAMES:
        return False  # a library alone has no camera, and the suffix selects one engine
    return competitor.format == workload.format


def _matches(part: str, competitor: Competitor) -> bool:
    if part in _GROUPS:
        return competitor.side == _GROUPS[part]
    return fnmatch.fnmatchcase(competitor.name, part)
