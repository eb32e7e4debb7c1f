"""The process that is killed: appends frames to an OME-TIFF and logs when each was accepted.

``tiff_writer.py LAYOUT OUTPUT JOURNAL SEED``
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from faults.kill_rounds import FLUSH_INTERVAL, frame, metadata
from faults.tiff_layouts import LAYOUTS
from faults.writer import time_flushes
from ome_writers import create_stream


def main(layout: str, output: str, journal: str, seed: str) -> None:
    """Append all frames of the settings, or 500 if they are unbounded."""
    pause = random.Random(int(seed) + 1).choice([0.0, 0.001, 0.002, 0.004])
    # One write per line: it reaches the kernel completely and survives a kill of this process.
    accepted = os.open(journal, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
    with create_stream(LAYOUTS[layout].settings(Path(output), FLUSH_INTERVAL)) as stream:
        time_flushes(stream, accepted)
        for number in range(stream.plan.frames or 500):
            stream.append(frame(number), frame_metadata=metadata(number))
            os.write(accepted, b"%r\n" % time.monotonic())
            time.sleep(pause)


if __name__ == "__main__":
    main(*sys.argv[1:])
