"""The process whose disk is recorded: ``writer.py FORM OUTPUT MARKS``.

To `MARKS` it writes how many frames `flush` or `close` has promised, whenever one of them, or `create_stream`, returns.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from ome_writers import create_stream
from powerloss.forms import FORMS, metadata


def main(name: str, output: str, marks: str) -> None:
    """Append the frames of a form."""
    form = FORMS[name]
    marked = os.open(marks, os.O_WRONLY)
    stream = create_stream(form.settings(Path(output)))
    os.write(marked, b"0")
    for number in range(form.frames):
        frames = [number, number // 2] if form.again and number % 3 == 2 else [number]
        for each in frames:
            index = {"t": each} if form.again else None
            stream.append(form.frame(each), index=index, frame_metadata=metadata(each))
        if number % form.every == form.every - 1:
            stream.flush()
            os.write(marked, b"%d" % (number + 1))
    stream.close()
    os.write(marked, b"%d closed" % form.frames)


if __name__ == "__main__":
    main(*sys.argv[1:])
