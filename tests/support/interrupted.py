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
    from ome_writers import AcquisitionSettings

_WRITER = """
import json, os, signal, sys
import numpy as np
from ome_writers import AcquisitionSettings, create_stream
settings, flushed, appended, metadata = json.load(sys.stdin)
# a writer of its own process would complete the dataset
stream = create_stream(AcquisitionSettings.model_validate(settings), writer="thread")
shape = (4, 6, 3) if settings["rgb"] else (4, 6)
for i in range(appended):
    frame = np.full(shape, i + 1, "uint16")
    if settings["rgb"]:
        frame += np.arange(3, dtype="uint16") * 100
    stream.append(frame, frame_metadata={"delta_t": i / 4, "serial": i} if metadata else None)
    if i + 1 == flushed:
        stream.flush()
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


def write_and_kill(
    settings: AcquisitionSettings, flushed: int, appended: int, *, metadata: bool = True
) -> Path:
    """Append 4 x 6 frames with the values 1, 2, ... in a process that kills itself; flush once. Return the dataset."""
    settings = settings.model_copy(update={"flush_interval": 3600.0})
    arguments = json.dumps([settings.model_dump(mode="json"), flushed, appended, metadata])
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
