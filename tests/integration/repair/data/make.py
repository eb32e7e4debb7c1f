"""Writes ometiff_without_settings.zip: interrupted OME-TIFF datasets whose OME-XML does not contain the settings.

Run with the last commit that wrote such files, from its ``src``: ``git worktree add ../earlier f43b885`` and
``PYTHONPATH=../earlier/src python tests/integration/repair/data/make.py``.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ome_writers import AcquisitionSettings, Dimension, create_stream

ARCHIVE = Path(__file__).with_name("ometiff_without_settings")
FRAMES = 5
DATASETS: dict[str, dict[str, Any]] = {
    "bounded": {"axes": [("t", 4), ("c", 2)]},
    "unbounded": {"axes": [("t", None), ("c", 2)], "compression": "zstd"},
    "set": {"axes": [("t", 4), ("p", 2)], "multi_file_metadata": "companion-file"},
}


def write(name: str, folder: str) -> None:
    """Write 5 of the frames with the values 1, 2, ..., edit the OME-XML, flush, and be killed."""
    case = dict(DATASETS[name])
    types = {"t": "time", "c": "channel", "p": "position"}
    axes = [
        Dimension(name=axis, type=types[axis], coords=[f"{axis}{i}" for i in range(count)])
        if axis in "cp"
        else Dimension(name=axis, type=types[axis], count=count)
        for axis, count in case.pop("axes")
    ]
    files = {key: case.pop(key) for key in ("multi_file_metadata",) if key in case}
    settings = AcquisitionSettings(
        root_path=Path(folder, f"{name}.ome.tiff"),
        dimensions=[*axes, Dimension(name="y", count=4), Dimension(name="x", count=6)],
        dtype="uint16",
        format={"name": "ome-tiff", **files},
        flush_interval=3600.0,
        **case,
    )
    stream = create_stream(settings)
    models = stream.get_metadata()
    edited = next(model for model in models.values() if model.images)
    edited.images[0].description = "mine & <yours>"
    stream.update_metadata(models)
    stream.set_global_metadata("lab", {"who": "me"})
    for number in range(FRAMES):
        frame = np.full((4, 6), number + 1, "uint16")
        stream.append(frame, frame_metadata={"serial": number})
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name in DATASETS:
            process = multiprocessing.get_context("spawn").Process(
                target=write, args=(name, folder)
            )
            process.start()
            process.join()
        for lock in Path(folder).rglob(".*.lock"):  # they identify a process of another machine
            lock.unlink()
        shutil.make_archive(str(ARCHIVE), "zip", folder)
