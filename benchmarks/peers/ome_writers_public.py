"""The public ome-writers 0.3.2, one variant a backend; this project keeps its interface.

Its tensorstore backend keeps references to the frames that it is given, and so stores whatever a buffer that
is used again holds last. The variants ``NAME-copied`` are that backend as one
has to use it: each frame is copied for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.ours import open_writer as _open_writer

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.contract import Writer
    from benchmarks.workload import Workload

_COPIED = "-copied"


def open_writer(workload: Workload, folder: Path, variant: str) -> Writer:
    """Return a stream of the `ome_writers` that the peers' environment has installed."""
    if not variant.endswith(_COPIED):
        return _open_writer(workload, folder, variant)
    writer = _open_writer(workload, folder, variant[: -len(_COPIED)])

    def append(frame: NDArray[np.uint16], *record: Any) -> None:
        writer.append(frame.copy(), *record)

    return replace(writer, append=append)
