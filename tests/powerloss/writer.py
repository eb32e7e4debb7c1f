"""The process whose disk is recorded: ``writer.py LAYOUT OUTPUT MARKS``.

After each `create_stream`, `flush` and `close`, it writes the number of guaranteed frames to `MARKS`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from ome_writers import create_stream, resume
from powerloss.layouts import LAYOUTS, metadata


def main(name: str, output: str, marks: str) -> None:
    """Append the frames of a layout."""
    layout = LAYOUTS[name]
    marked = os.open(marks, os.O_WRONLY)
    stream = create_stream(layout.settings(Path(output)))
    os.write(marked, b"0")
    for number in range(layout.frames):
        if number in layout.resumed:
            path = stream.settings.output_path
            stream.close()
            os.write(marked, b"%d" % number)
            stream = resume(path)
            os.write(marked, b"%d" % number)
        frames = [number, number // 2] if layout.again and number % 3 == 2 else [number]
        for each in frames:
            index = {"t": each} if layout.again else None
            stream.append(layout.frame(each), index=index, frame_metadata=metadata(each))
        if number % layout.every == layout.every - 1:
            stream.flush()
            os.write(marked, b"%d" % (number + 1))
    stream.close()
    os.write(marked, b"%d closed" % layout.frames)


if __name__ == "__main__":
    main(*sys.argv[1:])
