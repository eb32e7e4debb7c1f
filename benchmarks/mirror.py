"""`python -m benchmarks.mirror`: M1, a mirror to an S3 server on this machine while W2 runs at 50 frames per second.

Compares the latency of `append` with that of the stream without a mirror, with a mirror that removes what it has sent
(``evict``), and with `ome-writers upload --follow` in another process; and the time until the copy is complete with one
PUT per file by the same client, afterwards. The limit is that of another process at the lowest priority that only puts
each finished shard: server and camera share the processors and the disk. Starts SeaweedFS (``tests/cloud``) unless
AWS_ENDPOINT_URL is set; at the lowest priority, because the server of a real mirror does not run on the machine of the
camera. The order of the runs alternates; percentiles are those of all rounds together.
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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.camera import Camera
from benchmarks.workloads import LARGE
from ome_writers import Dimension, Mirror, create_stream

_WORKERS = 4
_SHARD = 25  # frames
_VARIANTS = ("alone", "mirror", "evict", "limit", "process", "plain")
_FOLLOW = """
import pathlib, sys, time
from ome_writers_tools.cli import main
while not pathlib.Path(sys.argv[1], "zarr.json").exists():
    time.sleep(0.02)
main(["upload", *sys.argv[1:], "--follow"])
"""

# The least that any mirror must do during the recording: one request for each finished shard, in another process.
_SEND_SHARDS = """
import os, pathlib, sys, time
os.nice(19)
import obstore
from obstore.store import from_url
store = from_url(sys.argv[2], client_options={"allow_http": True, "timeout": "300s"})
folder, shards, shard_bytes = pathlib.Path(sys.argv[1], "0", "c"), int(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True)
for number in range(shards):
    file = folder / str(number) / "0" / "0"
    while not file.exists() or file.stat().st_size <= shard_bytes:  # the index follows the last chunk
        time.sleep(0.02)
    obstore.put(store, f"{number}", file.read_bytes(), use_multipart=False)
"""


class Result(NamedTuple):
    """One run: the time of each `append` in microseconds, and the seconds that are compared."""

    append_us: NDArray[np.float64]
    seconds: float


def record(path: Path, frames: int, fps: float, mirror: str | Mirror | None) -> Result:
    """Record W2; `seconds` end when close returns."""
    camera = Camera(LARGE)
    dimensions = [
        Dimension(name="t", count=frames, type="time", chunk_size=1, shard_size_chunks=_SHARD),
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
    return Result(latencies * 1e6, time.perf_counter() - began)


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


def measure(folder: Path, prefix: str, variant: str, frames: int, fps: float) -> Result:
    """Run one of `_VARIANTS` once; ``plain`` is an upload afterwards."""
    path, url = folder / f"{variant}.ome.zarr", f"s3://bucket/{prefix}/{variant}"
    if variant == "limit":
        shards = (str(frames // _SHARD), str(_SHARD * LARGE.height * LARGE.width * 2))
        sender = subprocess.Popen(
            [sys.executable, "-c", _SEND_SHARDS, str(path), url, *shards], stdout=subprocess.PIPE
        )
        assert sender.stdout is not None
        sender.stdout.readline()
        began = time.perf_counter()
        result = record(path, frames, fps, None)
        if sender.wait():
            raise RuntimeError(f"the process that sends shards has ended with {sender.returncode}")
        result = result._replace(seconds=time.perf_counter() - began)
    elif variant != "process":
        mirrors: dict[str, str | Mirror] = {"mirror": url, "evict": Mirror(url, evict=True)}
        result = record(path, frames, fps, mirrors.get(variant))
    else:
        uploader = subprocess.Popen([sys.executable, "-c", _FOLLOW, str(path), url])
        began = time.perf_counter()
        result = record(path, frames, fps, None)
        uploader.wait()
        result = result._replace(seconds=time.perf_counter() - began)
    if variant == "plain":
        result = result._replace(seconds=plain_upload(path, url))
    shutil.rmtree(path)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--fps", type=float, default=50.0)
    parser.add_argument("--variants", nargs="+", choices=_VARIANTS, default=_VARIANTS)
    parser.add_argument(
        "--disk",
        type=lambda p: Path(p).resolve(),
        help="folder for the dataset and the server's copy",
    )
    options = parser.parse_args()
    variants: tuple[str, ...] = tuple(options.variants)
    results: dict[str, list[Result]] = {variant: [] for variant in variants}
    with tempfile.TemporaryDirectory(dir=options.disk) as folder:
        server = None if "AWS_ENDPOINT_URL" in os.environ else _start_server(Path(folder))
        try:
            for number in range(options.rounds):
                for variant in variants[:: -1 if number % 2 else 1]:
                    found = measure(
                        Path(folder), f"m1-{number}", variant, options.frames, options.fps
                    )
                    results[variant].append(found)
                    p99 = np.percentile(found.append_us, 99)
                    print(
                        f"round {number}, {variant}: append p99 {p99:.0f} us, {found.seconds:.2f} s",
                        flush=True,
                    )
        finally:
            if server is not None:
                server.kill()
    size = options.frames * LARGE.height * LARGE.width * 2 / 1e6
    print(f"{options.frames} frames of 2048x2048 at {options.fps:g}/s, {options.rounds} rounds")
    base = np.percentile(np.concatenate([r.append_us for r in results[variants[0]]]), 99)
    for variant in variants:
        latencies = np.concatenate([result.append_us for result in results[variant]])
        p50, p99, longest = np.percentile(latencies, (50, 99, 100))
        seconds = statistics.median(result.seconds for result in results[variant])
        print(
            f"{variant:8} append p50 {p50:7.0f} p99 {p99:7.0f} max {longest:7.0f} us of all rounds, "
            f"p99 {p99 / base:4.2f} of {variants[0]}, {seconds:6.2f} s, {size / seconds:5.0f} MB/s"
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
