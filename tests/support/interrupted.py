"""Datasets whose writing process was killed, and checksums of files before and after."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.repair import Repair, repair
from support.preloaded import run_python

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers import AcquisitionSettings

_WRITER = """
import json, os, signal, sys
import numpy as np
from ome_writers import AcquisitionSettings, create_stream
settings, flushed, order, described, resume = json.load(sys.stdin)
# a writer of its own process would complete the dataset
settings_of_stream = AcquisitionSettings.model_validate(settings)
stream = create_stream(settings_of_stream, writer="thread", resume=resume)
shape = (4, 6, 3) if settings["rgb"] else (4, 6)
in_order = order == sorted(order)
for number, i in enumerate(order, 1):
    frame = np.full(shape, i + 1, "uint16")
    if settings["rgb"]:
        frame += np.arange(3, dtype="uint16") * 100
    index = None if in_order else stream.plan.router.indices(i)
    metadata = {"delta_t": i / 4, "serial": i} if i in described else None
    stream.append(frame, index=index, frame_metadata=metadata)
    if number == flushed:
        stream.flush()
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


def write_and_kill(
    settings: AcquisitionSettings,
    flushed: int,
    appended: int | Sequence[int],
    *,
    metadata: bool | Sequence[int] = True,
    resume: bool = False,
) -> Path:
    """Append 4 x 6 frames with the values 1, 2, ... in a process that kills itself; flush once. Return the dataset.

    `appended` are a number of frames, or their numbers in the order in which they are appended; `metadata` may be the
    numbers of the frames with metadata.
    """
    settings = settings.model_copy(update={"flush_interval": 3600.0})
    order = [*range(appended)] if isinstance(appended, int) else [*appended]
    described = (order if metadata else []) if isinstance(metadata, bool) else [*metadata]
    arguments = json.dumps([settings.model_dump(mode="json"), flushed, order, described, resume])
    process = run_python(["-c", _WRITER], stdin=arguments)
    # `os.kill` of Windows ends a process with the number of the signal as its exit code
    assert process.returncode in (-getattr(signal, "SIGKILL", 9), signal.SIGTERM), process.stderr
    return Path(settings.output_path)


def checksums(path: Path) -> dict[str, str]:
    """Return a checksum of each file below a folder, or of a file and those beside it."""
    folder = path if path.is_dir() else path.parent
    files = folder.rglob("*") if path.is_dir() else folder.iterdir()
    return {
        file.relative_to(folder).as_posix(): hashlib.md5(file.read_bytes()).hexdigest()
        for file in sorted(files)
        if file.is_file()
    }


def repair_and_check(path: Path) -> Repair:
    """Repair. A dry run before has the same findings and changes nothing; a second repair finds nothing."""
    before = checksums(path)
    planned = repair(path, dry_run=True)
    assert checksums(path) == before
    repaired = repair(path)
    assert repaired.findings == planned.findings
    assert not repaired.unsolved
    after = checksums(path)
    assert repair(path).findings == ()
    assert checksums(path) == after
    return repaired
