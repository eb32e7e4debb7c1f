"""The process that is killed: appends frames and tells when each was accepted.

``writer.py ENGINE FORM COMPRESSION OUTPUT JOURNAL SEED``
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from faults.rounds import FLUSH_INTERVAL, FORMS, HEIGHT, WIDTH, frame, metadata
from ome_writers import AcquisitionSettings, Dimension, OMEStream, create_stream


def settings(engine: str, form_name: str, compression: str, output: str) -> AcquisitionSettings:
    """Return the settings of a form."""
    form = FORMS[form_name]
    dimensions = []
    for axis, (count, chunk, chunks) in form.axes.items():
        if axis == "p":
            dimensions.append(Dimension(name="p", type="position", count=count))
            continue
        shard = chunks if form.sharded else None
        dimensions.append(
            Dimension(name=axis, count=count or None, chunk_size=chunk, shard_size_chunks=shard)
        )
    for axis, size, cut, chunks in zip(
        "yx", (HEIGHT, WIDTH), form.cut, form.cut_shard, strict=True
    ):
        shard = chunks if form.sharded else None
        dimensions.append(Dimension(name=axis, count=size, chunk_size=cut, shard_size_chunks=shard))
    return AcquisitionSettings(
        root_path=output,
        dimensions=tuple(dimensions),
        dtype="uint16",
        format=engine,
        compression=compression,
        buffer_bytes=form.memory * HEIGHT * WIDTH * 2,
        flush_interval=FLUSH_INTERVAL,
    )


def time_flushes(stream: OMEStream, told: int) -> None:
    """Tell when each flush of the stream's clock begins and ends, and the last, which is its `close`."""

    def timed(flush: Callable[..., None]) -> Callable[..., None]:
        name = flush.__name__.encode()

        def call(**facts: bool) -> None:
            os.write(told, b"begin %r %s\n" % (time.monotonic(), name))
            flush(**facts)
            os.write(told, b"end %r %s\n" % (time.monotonic(), name))

        return call

    stream._tick = timed(stream._tick)  # type: ignore[method-assign]  # looked up each time
    stream._close = timed(stream._close)  # type: ignore[method-assign]  # looked up when it is called


def main(engine: str, form: str, compression: str, output: str, journal: str, seed: str) -> None:
    """Append frames until the settings' end, or until 500 where they have none."""
    draw = random.Random(int(seed) + 1)
    pause = draw.choice([0.0, 0.001, 0.002, 0.004])
    # One write a line reaches the kernel whole, which a kill of this process does not undo.
    accepted = os.open(journal, os.O_WRONLY | os.O_APPEND)
    with create_stream(settings(engine, form, compression, output)) as stream:
        time_flushes(stream, accepted)
        for number in range(stream.plan.frames or 500):
            stream.append(frame(number), frame_metadata=metadata(number))
            os.write(accepted, b"%r\n" % time.monotonic())
            time.sleep(pause)


if __name__ == "__main__":
    main(*sys.argv[1:])
