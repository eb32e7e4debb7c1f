"""`python -m benchmarks.serving`: the latency of `append` while clients of `ome-writers serve` read the dataset.

Frames of 512 x 512 pixels at 100 per second, in shards. In turn without clients, with 32 viewers that request metadata
and the newest chunk five times per second each, and with 48 clients that request a whole shard and read 4 KiB of it ten
times per second. The clients have the lowest priority, because they run on other computers or in a browser; the server
is a process on the computer of the camera. Percentiles are those of all rounds together.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

CASES = ("without clients", "32 viewers", "48 slow clients")
_CHUNK_BYTES = 512 * 512 * 2


def request(kind: str, url: str) -> None:
    """Be the clients until this process is ended."""
    os.nice(19)
    parts = urlsplit(url)
    one, count = (view, 32) if kind == "viewers" else (dawdle, 48)
    for _ in range(count):
        threading.Thread(
            target=one, args=(parts.hostname, parts.port, parts.path), daemon=True
        ).start()
    print("started", flush=True)
    sys.stdin.read()


def view(host: str, port: int, path: str) -> None:
    connection = HTTPConnection(host, port, timeout=20)
    while True:
        for target, wanted in (
            ("zarr.json", ""),
            ("0/zarr.json", ""),
            ("0/c/0/0/0", f"-{_CHUNK_BYTES}"),
        ):
            headers = {"Range": f"bytes={wanted}"} if wanted else {}
            connection.request("GET", f"{path}/{target}", headers=headers)
            connection.getresponse().read()
        time.sleep(0.2)


def dawdle(host: str, port: int, path: str) -> None:
    while True:
        with socket.create_connection((host, port)) as client:
            client.sendall(f"GET {path}/0/c/0/0/0 HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            while client.recv(4096):
                time.sleep(0.1)


def measure(case: str, folder: Path, frames: int) -> list[float]:
    """Return the duration of each `append` in seconds."""
    path = folder / "run.ome.zarr"
    writer = [sys.executable, "-m", "benchmarks.visible", "--process", "write", "ome-zarr"]
    processes = [
        subprocess.Popen(
            [*writer, str(path), f"--frames={frames}"], stdout=subprocess.PIPE, text=True
        )
    ]
    try:
        while not (path / "0" / "zarr.json").exists():
            time.sleep(0.05)
        if case != CASES[0]:
            serve = [sys.executable, "-m", "ome_writers", "serve", str(path)]
            processes.append(
                subprocess.Popen(
                    serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            )
            url = [processes[-1].stdout.readline() for _ in range(2)][-1].split()[0]  # type: ignore[union-attr]
            kind = "viewers" if "viewers" in case else "slow"
            clients = [sys.executable, "-m", "benchmarks.serving", "--clients", kind, url]
            pipe = subprocess.PIPE
            processes.append(subprocess.Popen(clients, stdin=pipe, stdout=pipe, text=True))
            processes[-1].stdout.readline()  # type: ignore[union-attr]
        (folder / "ready").touch()
        durations: list[float] = json.loads(processes[0].communicate()[0])["durations"]
        return durations
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--clients", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.clients:
        request(*options.clients)
        return 0
    found: dict[str, list[float]] = {case: [] for case in CASES}
    for number in range(options.rounds):
        for case in CASES if number % 2 == 0 else reversed(CASES):
            with tempfile.TemporaryDirectory(dir=options.dir) as folder:
                found[case] += measure(case, Path(folder), options.frames)
    print(f"append in ms, {options.rounds} rounds of {options.frames} frames at 100/s")
    alone = np.percentile(found[CASES[0]], [50, 99, 99.9]) * 1e3
    for case, durations in found.items():
        late = np.percentile(durations, [50, 99, 99.9]) * 1e3
        text = ", ".join(
            f"{name} {value:.2f} ({value / base:.2f}x)"
            for name, value, base in zip(("p50", "p99", "p99.9"), late, alone, strict=True)
        )
        print(f"{case:>16}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
