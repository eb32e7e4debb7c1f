"""On import: loads all commands, and writes, reads and repairs a small dataset of each format.

For the server in `preloaded`: its forks find loaded what is imported when it is used first, and the plug-ins that were
looked up.
"""

from __future__ import annotations

import gc
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

import ome_writers
from ome_writers.toolkit import engine_rows, format_rows

with suppress(ImportError):  # tests run without the tools, too
    from ome_writers_tools.cli.program import COMMANDS, load_command

    for name in COMMANDS:
        load_command(name)
engine_rows()
with tempfile.TemporaryDirectory() as folder:
    for name in sorted({"ome-zarr", "ome-tiff"} & format_rows().keys()):
        path = Path(folder, f"run.{name.replace('-', '.')}")
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
gc.freeze()  # a collection of what is loaded takes 90 ms in each process
