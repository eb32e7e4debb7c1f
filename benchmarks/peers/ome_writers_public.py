"""ome-writers 0.3.2, one variant per backend, with the same interface as this project.

Its tensorstore backend keeps references to the frames, so that it stores later content of a reused buffer. In the
variants ``NAME-copied`` each frame is copied before `append`, as that backend requires.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.current import open_writer as _open_writer

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.workload import Workload
    from benchmarks.writer import Writer

_COPIED = "-copied"


def open_writer(workload: Workload, folder: Path, variant: str) -> Writer:
    """Return a stream of the `ome_writers` in the peers' environment."""
    if not variant.endswith(_COPIED):
        return _open_writer(workload, folder, variant)
    writer = _open_writer(workload, folder, variant[: -len(_COPIED)])

    def append(frame: NDArray[np.uint16], *record: Any) -> None:
        writer.append(frame.copy(), *record)

    return replace(writer, append=append)
