"""Writes, reads, and repairs a small dataset of each format, on import: for the server in `preloaded`.

Its forks then find loaded what is imported when it is used first, and the plug-ins that were looked up.
"""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import numpy as np

import ome_writers
from ome_writers.toolkit import engine_rows, format_rows

engine_rows()
format_rows()
with tempfile.TemporaryDirectory() as folder:
    for suffix in (".ome.zarr", ".ome.tiff"):
        path = Path(folder, f"run{suffix}")
        settings = ome_writers.AcquisitionSettings(
            root_path=path,
            dimensions=ome_writers.dims_from_standard_axes({"t": None, "c": 2, "y": 4, "x": 6}),
            dtype="uint16",
        )
        with ome_writers.create_stream(settings, writer="thread") as stream:
            for number in range(4):
                stream.append(
                    np.full((4, 6), number, "uint16"), frame_metadata={"delta_t": float(number)}
                )
            stream.flush()
        assert ome_writers.open(path)[1, 1].all()
        assert not ome_writers.repair(path).findings
gc.freeze()
