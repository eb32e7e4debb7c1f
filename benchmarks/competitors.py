"""Who competes: one row a program, with the module that drives it and the environment it needs."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks import democamera

if TYPE_CHECKING:
    from benchmarks.workload import Workload

Side = Literal["limit", "ours", "peer"]


@dataclass(frozen=True)
class Competitor:
    """One program that is measured.

    Parameters
    ----------
    name
        What the table and `--only` call it.
    module
        Module with `open_writer(workload, folder, variant)`.
    variant
        Which engine or way of it.
    side
        Peers run in the peers' environment, the others in this one.
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
    Competitor("limit-copying", "benchmarks.copying", None, "limit"),
    Competitor("limit-writing", "benchmarks.democamera", None, "limit"),
    *(Competitor(name, "benchmarks.ours", name, "ours", "zarr") for name in _ENGINES),
    Competitor("tifffile", "benchmarks.ours", "tifffile", "ours", "tiff"),
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


def chosen(only: str | None) -> list[Competitor]:
    """Return the competitors that `only` names: commas between names, patterns, `ours`, `peers`.

    Raises
    ------
    ValueError
        If a part of it names nobody.
    """
    if not only:
        return list(COMPETITORS)
    parts = [part.strip() for part in only.split(",") if part.strip()]
    for part in parts:
        if not any(_named(part, competitor) for competitor in COMPETITORS):
            known = " ".join(competitor.name for competitor in COMPETITORS)
            raise ValueError(f"Nobody is called {part!r}; there are {known}, ours and peers.")
    return [c for c in COMPETITORS if any(_named(part, c) for part in parts)]


def entered(competitor: Competitor, workload: Workload) -> bool:
    """Whether the competitor takes part at all; a refusal with a reason comes from itself."""
    if competitor.name == "limit-copying":
        return workload.limit in ("file-a-frame", "codec")
    if competitor.name == "limit-writing":
        return workload.measure == "camera"
    if competitor.side == "limit":
        return workload.limit != "none"
    if workload.ours_only and competitor.side == "peer":
        return False
    if competitor.name.startswith("peer-") and (workload.layout != "single" or workload.metadata):
        return False  # a bare library writes pixels of one array
    if workload.measure == "camera" and competitor.name not in democamera.NAMES:
        return False  # a bare library has no camera, and the suffix chooses one engine
    return competitor.format == workload.format


def _named(part: str, competitor: Competitor) -> bool:
    if part in _GROUPS:
        return competitor.side == _GROUPS[part]
    return fnmatch.fnmatchcase(competitor.name, part)
