"""`python -m benchmarks.mirror`: M1, a mirror to an S3 server on this machine while W2 runs at 50 frames per second.

Compares the latency of `append` with that of the stream without a mirror, and with `ome-writers upload --follow` in
another process; and the time until the copy is complete with one PUT per file by the same client, afterwards.
Starts SeaweedFS (``tests/cloud``) unless AWS_ENDPOINT_URL is set; at the lowest priority, because the server of a real
mirror does not run on the machine of the camera. The rounds alternate.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.camera import Camera
from benchmarks.workloads import LARGE

_WORKERS = 4
_FOLLOW = """
import pathlib, sys, time
from ome_writers.cli import main
while not pathlib.Path(sys.argv[1], "zarr.json").exists():
    time.sleep(0.02)
main(["upload", *sys.argv[1:], "--follow"])
"""


def record(path: Path, frames: int, fps: float, mirror: str | None) -> dict[str, float]:
    """Record W2 and return percentiles of the time of `append` in microseconds, and the seconds until close returns."""
    from ome_writers import Dimension, create_stream

    camera = Camera(LARGE)
    dimensions = [
        Dimension(name="t", count=frames, type="time", chunk_size=1, shard_size_chunks=25),
        Dimension(name="y", count=LARGE.height),
        Dimension(name="x", count=LARGE.width),
    ]
    latencies = np.zeros(frames)
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", mirror=mirror
    ) as stream:
        began = time.perf_counter()
        for t in range(frames):
            frame = camera.frames[t % len(camera.frames)]
            time.sleep(max(0.0, began + t / fps - time.perf_counter()))
            start = time.perf_counter()
            stream.append(frame)
            latencies[t] = time.perf_counter() - start
    seconds = time.perf_counter() - began
    p50, p99, longest = (np.percentile(latencies, (50, 99, 100)) * 1e6).round().tolist()
    return {"p50_us": p50, "p99_us": p99, "max_us": longest, "seconds": seconds}


def plain_upload(path: Path, url: str) -> float:
    """Put every file with one request each; return the seconds."""
    import obstore
    from obstore.store import from_url

    store = from_url(url, client_options={"allow_http": True, "timeout": "300s"})
    files = [file for file in path.rglob("*") if file.is_file()]

    def put(file: Path) -> None:
        key = file.relative_to(path).as_posix()
        obstore.put(store, key, file.read_bytes(), use_multipart=False)

    began = time.perf_counter()
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(put, files))
    return time.perf_counter() - began


def measure(folder: Path, prefix: str, variant: str, frames: int, fps: float) -> dict[str, float]:
    """Run one variant once: ``alone``, ``mirror``, ``process`` or ``plain`` (an upload after the recording)."""
    path, url = folder / f"{variant}.ome.zarr", f"s3://bucket/{prefix}/{variant}"
    if variant != "process":
        result = record(path, frames, fps, url if variant == "mirror" else None)
    else:
        uploader = subprocess.Popen([sys.executable, "-c", _FOLLOW, str(path), url])
        began = time.perf_counter()
        result = record(path, frames, fps, None)
        uploader.wait()
        result["seconds"] = time.perf_counter() - began
    if variant == "plain":
        result["seconds"] = plain_upload(path, url)
    shutil.rmtree(path)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--fps", type=float, default=50.0)
    parser.add_argument("--disk", type=Path, help="folder on the disk to write to")
    options = parser.parse_args()
    variants = ("alone", "mirror", "process", "plain")
    results: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    with tempfile.TemporaryDirectory(dir=options.disk) as folder:
        server = None if "AWS_ENDPOINT_URL" in os.environ else _start_server(Path(folder))
        try:
            for number in range(options.rounds):
                for variant in variants:
                    found = measure(
                        Path(folder), f"m1-{number}", variant, options.frames, options.fps
                    )
                    results[variant].append(found)
                    print(f"round {number}, {variant}: {found}", flush=True)
        finally:
            if server is not None:
                server.kill()
    size = options.frames * LARGE.height * LARGE.width * 2 / 1e6
    print(f"{options.frames} frames of 2048x2048 at {options.fps:g}/s, {options.rounds} rounds")
    for variant in variants:
        row = {k: statistics.median(r[k] for r in results[variant]) for k in results[variant][0]}
        p99 = [round(r["p99_us"]) for r in results[variant]]
        print(
            f"{variant:8} append p50 {row['p50_us']:7.0f} p99 {row['p99_us']:7.0f} max {row['max_us']:7.0f} us, "
            f"{row['seconds']:6.2f} s, {size / row['seconds']:5.0f} MB/s; p99 of each round: {p99}"
        )


def _start_server(folder: Path) -> Any:
    from cloud.object_servers import KEY_ID, SECRET, SeaweedFS

    (folder / "server").mkdir()
    server = SeaweedFS(folder / "server", nice=19)
    os.environ.update(
        AWS_ENDPOINT_URL=server.endpoint,
        AWS_ACCESS_KEY_ID=KEY_ID,
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_REGION="us-east-1",
    )
    return server


if __name__ == "__main__":
    main()
