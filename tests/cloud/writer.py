"""Child process of the trials: writes a dataset with a mirror. Arguments: path, URL, frames, seconds per frame."""

from __future__ import annotations

import sys
import time

import numpy as np

from ome_writers import Dimension, create_stream


def write(path: str, url: str, frames: int, seconds: float) -> None:
    dimensions = [
        Dimension(name="t", count=frames, type="time", chunk_size=1, shard_size_chunks=10),
        Dimension(name="y", count=256, chunk_size=128),
        Dimension(name="x", count=256, chunk_size=128),
    ]
    noise = np.random.default_rng(0).integers(0, 4096, (16, 256, 256), "uint16")
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", flush_interval=0.2, mirror=url
    ) as stream:
        for t in range(frames):
            stream.append(noise[t % 16], frame_metadata={"t": t})
            print(t, flush=True)
            time.sleep(seconds)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
