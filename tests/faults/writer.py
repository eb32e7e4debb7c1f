"""The process that is killed: appends frames and logs when each was accepted.

``writer.py ENGINE LAYOUT COMPRESSION OUTPUT JOURNAL SEED``
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from faults.kill_rounds import FLUSH_INTERVAL, HEIGHT, LAYOUTS, WIDTH, frame, metadata
from ome_writers import AcquisitionSettings, Dimension, OMEStream, create_stream


def settings(engine: str, layout_name: str, compression: str, output: str) -> AcquisitionSettings:
    """Return the settings of a layout."""
    layout = LAYOUTS[layout_name]
    dimensions = []
    for axis, (count, chunk, chunks) in layout.axes.items():
        if axis == "p":
            dimensions.append(Dimension(name="p", type="position", count=count))
            continue
        shard = chunks if layout.sharded else None
        dimensions.append(
            Dimension(name=axis, count=count or None, chunk_size=chunk, shard_size_chunks=shard)
        )
    for axis, size, yx_chunk, chunks in zip(
        "yx", (HEIGHT, WIDTH), layout.yx_chunk, layout.yx_shard, strict=True
    ):
        shard = chunks if layout.sharded else None
        dimensions.append(
            Dimension(name=axis, count=size, chunk_size=yx_chunk, shard_size_chunks=shard)
        )
    return AcquisitionSettings(
        root_path=output,
        dimensions=tuple(dimensions),
        dtype="uint16",
        format=engine,
        compression=compression,
        buffer_bytes=layout.memory * HEIGHT * WIDTH * 2,
        flush_interval=FLUSH_INTERVAL,
        pyramid=layout.pyramid,
    )


def time_flushes(stream: OMEStream, journal: int) -> None:
    """Log the beginning and end of each flush by the timer, and of `close`."""

    def timed(flush: Callable[..., None]) -> Callable[..., None]:
        name = flush.__name__.encode()

        def call(**arguments: bool) -> None:
            os.write(journal, b"begin %r %s\n" % (time.monotonic(), name))
            flush(**arguments)
            os.write(journal, b"end %r %s\n" % (time.monotonic(), name))

        return call

    stream._flush = timed(stream._flush)  # type: ignore[method-assign]  # looked up at each call
    stream._close = timed(stream._close)  # type: ignore[method-assign]  # looked up at each call


def main(engine: str, layout: str, compression: str, output: str, journal: str, seed: str) -> None:
    """Append all frames of the settings, or 500 if they are unbounded."""
    draw = random.Random(int(seed) + 1)
    pause = draw.choice([0.0, 0.001, 0.002, 0.004])
    # One write per line: it reaches the kernel completely and survives a kill of this process.
    accepted = os.open(journal, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
    with create_stream(settings(engine, layout, compression, output)) as stream:
        time_flushes(stream, accepted)
        for number in range(stream.plan.frames or 500):
            stream.append(frame(number), frame_metadata=metadata(number))
            os.write(accepted, b"%r\n" % time.monotonic())
            time.sleep(pause)


if __name__ == "__main__":
    main(*sys.argv[1:])
