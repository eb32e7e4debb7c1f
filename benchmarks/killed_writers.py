"""Kill writers and count the frames that can be read: ``python -m benchmarks.killed_writers``.

Each writer that is installed appends 70 of 100 planned frames, 50 per second, twice. In the first run, its frames are
read 2 s after the last one; then the process is killed, and they are read again. In the second run, the process is
killed as soon as the last frame was accepted. `ome-writers` is whichever version the environment contains.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PLANNED, APPENDED, SIZE, FRAMES_PER_S, PAUSE_S = 100, 70, 256, 50, 2.0
Frames = Iterable[np.ndarray]


def ome_writers(path: str, frames: Frames, **options: Any) -> None:
    from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes

    shards = {"t": 25} if path.endswith(".zarr") else None
    dimensions = dims_from_standard_axes({"t": PLANNED, "y": SIZE, "x": SIZE}, shard_shapes=shards)
    with create_stream(
        AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16"), **options
    ) as stream:
        for frame in frames:
            stream.append(frame)


def in_own_process(path: str, frames: Frames) -> None:
    ome_writers(path, frames, writer="process")


def acquire_zarr(path: str, frames: Frames) -> None:
    import acquire_zarr as aqz

    kinds = {
        "t": aqz.DimensionType.TIME,
        "y": aqz.DimensionType.SPACE,
        "x": aqz.DimensionType.SPACE,
    }
    dimensions = [
        aqz.Dimension(
            name=name,
            kind=kind,
            array_size_px=0 if name == "t" else SIZE,
            chunk_size_px=1 if name == "t" else SIZE,
            shard_size_chunks=25 if name == "t" else 1,
        )
        for name, kind in kinds.items()
    ]
    array = aqz.ArraySettings(dimensions=dimensions, data_type=np.uint16)
    stream = aqz.ZarrStream(aqz.StreamSettings(store_path=path, arrays=[array], overwrite=True))
    for frame in frames:
        stream.append(frame)


def ndtiff(path: str, frames: Frames) -> None:
    from ndstorage import NDTiffDataset

    dataset = NDTiffDataset(path, summary_metadata={}, writable=True)
    for number, frame in enumerate(frames):
        dataset.put_image({"time": number}, frame, {})


def iohub(path: str, frames: Frames) -> None:
    from iohub import open_ome_zarr

    with open_ome_zarr(
        path, layout="fov", mode="w-", channel_names=["0"], version="0.5"
    ) as position:
        array = position.create_zeros(
            "0", (PLANNED, 1, 1, SIZE, SIZE), np.uint16, chunks=(1, 1, 1, SIZE, SIZE)
        )
        for number, frame in enumerate(frames):
            array[number, 0, 0] = frame


def tifffile(path: str, frames: Frames) -> None:
    from tifffile import TiffWriter

    with TiffWriter(path, bigtiff=True, ome=True) as file:
        file.write(
            iter(frames),
            shape=(PLANNED, SIZE, SIZE),
            dtype="uint16",
            photometric="minisblack",
            metadata={"axes": "TYX"},
        )


def read_zarr(path: Path) -> np.ndarray:
    import zarr

    node = zarr.open(path, mode="r")
    return np.asarray(node if isinstance(node, zarr.Array) else node["0"])


def read_ndtiff(path: Path) -> np.ndarray:
    from ndstorage import Dataset

    dataset = Dataset(str(path))
    times = sorted(axes["time"] for axes in dataset.get_image_coordinates_list())
    return np.stack([dataset.read_image(time=time) for time in times])


def read_tiff(path: Path) -> np.ndarray:
    from tifffile import imread

    return imread(path)


class Competitor(NamedTuple):
    distribution: str
    write: Callable[..., None]
    read: Callable[[Path], np.ndarray]
    name: str
    own_process: bool = False  # a process of its own writes, and ends after the killed one


COMPETITORS = {
    "ome-writers, OME-Zarr": Competitor("ome-writers", ome_writers, read_zarr, "x.ome.zarr"),
    "ome-writers, OME-TIFF": Competitor("ome-writers", ome_writers, read_tiff, "x.ome.tiff"),
    'ome-writers, OME-Zarr, writer="process"': Competitor(
        "ome-writers", in_own_process, read_zarr, "x.ome.zarr", own_process=True
    ),
    'ome-writers, OME-TIFF, writer="process"': Competitor(
        "ome-writers", in_own_process, read_tiff, "x.ome.tiff", own_process=True
    ),
    "acquire-zarr": Competitor("acquire-zarr", acquire_zarr, read_zarr, "x.zarr"),
    "NDTiff (ndstorage)": Competitor("ndstorage", ndtiff, read_ndtiff, "x"),
    "iohub": Competitor("iohub", iohub, read_zarr, "x.ome.zarr"),
    "tifffile, OME-TIFF": Competitor("tifffile", tifffile, read_tiff, "x.ome.tiff"),
}


def paced_frames() -> Iterator[np.ndarray]:
    """Yield frames filled with 1, 2, ..., then wait to be killed."""
    for number in range(APPENDED):
        yield np.full((SIZE, SIZE), number + 1, np.uint16)
        time.sleep(1 / FRAMES_PER_S)
    print("appended", flush=True)
    time.sleep(600)


def readable(competitor: Competitor, path: Path) -> str:
    """Return how many of the appended frames are read with the right pixels, or the reader's error."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # ndstorage prints its progress
            stack = competitor.read(path).reshape(-1, SIZE, SIZE)
    except Exception as error:
        return f"not readable ({type(error).__name__}: {str(error).splitlines()[0][:60]})"
    expected = np.arange(1, len(stack) + 1)[:, None, None]
    return f"{int((stack == expected).all((1, 2)).sum())} of {APPENDED}"


def wait_until_closed(path: Path) -> None:
    """Return when the process that writes a dataset has closed it."""
    from ome_writers import read

    deadline = time.monotonic() + 120
    while read(path).status == "writing" and time.monotonic() < deadline:
        time.sleep(0.05)


def run(name: str, pause_s: float) -> tuple[str, str]:
    """Kill a writer so long after its last frame; return what is readable just before and after."""
    competitor = COMPETITORS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / competitor.name
        command = [sys.executable, "-m", "benchmarks.killed_writers", name, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause_s)
        live = readable(competitor, path) if pause_s else ""
        process.kill()
        process.wait()
        if competitor.own_process:
            wait_until_closed(path)
        return live, readable(competitor, path)


def main() -> None:
    """Run each writer, and print one row of a Markdown table."""
    print("| writer | version | readable 2 s later | killed then | killed at once |")
    print("|---|---|---|---|---|")
    for name, competitor in COMPETITORS.items():
        if not find_spec(competitor.distribution.replace("-", "_")):
            continue
        if competitor.own_process and version("ome-writers").startswith("0."):
            continue
        live, killed = run(name, PAUSE_S)
        row = (name, version(competitor.distribution), live, killed, run(name, 0)[1])
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        chosen = COMPETITORS[sys.argv[1]]
        chosen.write(os.fspath(sys.argv[2]), paced_frames())
    else:
        main()
