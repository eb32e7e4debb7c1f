"""`python -m benchmarks --prediction`: the speed that `ome-writers advise` predicts, and that `bench` measures.

For each compression that `advise` may propose, and without, in alternating rounds on the same disk: `measure_disk` and
`measure_codecs`, then a stream of the engine `direct` with ``durability="disk"``: the disk is measured with its fsync.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ome_writers_tools.advice import (
    Camera,
    measure_codecs,
    measure_disk,
    measure_engine,
    predict,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 if a prediction differs by more than 10 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks --prediction", description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="of a frame along y and x")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args(arguments)
    from ome_writers.codecs import COMPRESSIONS

    camera = Camera(options.size, options.size)
    names = ["none", *(row.name for row in COMPRESSIONS.values() if row.proposed and row.zarr)]
    predicted: dict[str, list[float]] = {name: [] for name in names}
    measured: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.rounds):
        disk = measure_disk(options.dir, options.seconds)
        codecs = {codec.name: codec for codec in measure_codecs(camera, names)}
        for name in names:
            predicted[name].append(predict(codecs.get(name), disk, os.cpu_count() or 1))
            speed = measure_engine(
                "direct",
                camera,
                options.dir,
                seconds=options.seconds,
                compression=name,
                durability="disk",
            )
            measured[name].append(speed.bytes_per_second)
    differs = False
    for name in names:
        ratios = [m / p for m, p in zip(measured[name], predicted[name], strict=True)]
        ratio = statistics.median(ratios)
        differs |= abs(ratio - 1) > 0.1
        print(
            f"{name}: predicted {statistics.median(predicted[name]) / 1e6:.0f} MB/s, measured "
            f"{statistics.median(measured[name]) / 1e6:.0f} MB/s, {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )
    return int(differs)
