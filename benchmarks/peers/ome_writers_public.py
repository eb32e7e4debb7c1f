"""The public ome-writers 0.3.2, one variant a backend; this project keeps its interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.ours import open_writer as _open_writer

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contract import Writer
    from benchmarks.workload import Workload


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return a stream of the `ome_writers` that the peers' environment has installed."""
    return _open_writer(workload, folder, variant)
