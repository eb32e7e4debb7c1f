"""Acquisitions that are killed and resumed: random cases, their frames, and comparisons with uninterrupted ones."""

from __future__ import annotations

import itertools
import json
import random
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ome_writers as omew
from support.preloaded import run_python

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from ome_writers.routing import Plan

_WRITER = """
import json, sys
from support.resumed import Case, write_until_killed
write_until_killed(Case(**json.load(sys.stdin)))
"""
HEIGHT, WIDTH = 12, 18
UNBOUNDED_FRAMES = 30


@dataclass
class Case:
    """An acquisition at `path`, and how a process that writes it is killed."""

    path: str
    settings: dict[str, Any]
    metadata: str = "all"  # which frames have metadata: all, some or none
    shuffled: bool = False  # whether frames are appended with an index, in random order
    kills: list[list[float]] = field(default_factory=list)  # frames to append, then seconds to wait
    kill: list[float] = field(default_factory=list)

    @property
    def acquisition(self) -> omew.AcquisitionSettings:
        return omew.AcquisitionSettings(root_path=self.path, **self.settings)

    @property
    def label(self) -> str:
        return json.dumps({**self.settings, "metadata": self.metadata, "shuffled": self.shuffled})


def random_case(seed: int, path: Path, formats: tuple[str, ...] = ("ome-zarr", "ome-tiff")) -> Case:
    """Return a case with any format, layout, order, compression, and levels."""
    rng = random.Random(seed)
    name = rng.choice(formats)
    tiff = name == "ome-tiff"
    axes = rng.choice(["t", "tz", "tc", "ptz", "tpc", "tcz", "zt", "ptcz"])
    rgb = "c" not in axes and rng.random() < 0.2
    counts = {"p": 2, "c": 2, "z": rng.choice([3, 4]), "t": rng.choice([4, 5, 7])}
    unbounded = axes[0] == "t" and rng.random() < 0.35
    sharded = not tiff and rng.random() < 0.5
    dimensions: list[dict[str, Any]] = []
    for axis in axes:
        dim: dict[str, Any] = {"name": axis, "count": counts[axis]}
        if axis == "p":
            dim = {"name": "p", "type": "position", "coords": ["a", "b"]}
        elif not tiff:
            dim["chunk_size"] = rng.choice([1, 1, 1, 2, 3])
            if sharded:
                dim["shard_size_chunks"] = rng.choice([1, 2, 3])
        if axis == axes[0] and unbounded:
            dim["count"] = None
        dimensions.append(dim)
    tiled = not tiff and rng.random() < 0.25
    for axis, extent in (("y", HEIGHT), ("x", WIDTH)):
        dim = {"name": axis, "count": extent, "type": "space"}
        if not tiff:
            dim["chunk_size"] = extent // 2 if tiled else extent
            if sharded:
                dim["shard_size_chunks"] = 2 if tiled and rng.random() < 0.5 else 1
        dimensions.append(dim)
    settings: dict[str, Any] = {
        "dimensions": dimensions,
        "dtype": "uint16",
        "rgb": rgb,
        "compression": rng.choice(
            ["none", "none", "deflate", "lzw"] if tiff else ["none", "none", "blosc-lz4", "zstd"]
        ),
        "flush_interval": rng.choice([0.005, 0.05, 3600.0]),
        "buffer_bytes": rng.choice([20_000, 256 * 2**20]),
    }
    if rng.random() < 0.3:
        axes_of_levels = ["z", "y", "x"] if "z" in axes and not tiff else ["y", "x"]
        settings["pyramid"] = {"smallest": 4, "axes": axes_of_levels}
    form: dict[str, Any] = {"name": name}
    if tiff:
        form["prefer_single_file"] = rng.choice(["always", "never", "auto"])
        form["multi_file_metadata"] = rng.choice(["redundant", "master-tiff", "companion-file"])
        form["checksum"] = seed % 2 == 0
    elif rng.random() < 0.2:
        form["backend"] = rng.choice(["tensorstore", "zarr-python"])
    settings["format"] = form
    frames = [rng.randint(0, 12) for _ in range(rng.choice([1, 1, 1, 2]))]
    return Case(
        str(path),
        settings,
        metadata=rng.choice(["all", "all", "some", "none"]),
        shuffled=rng.random() < 0.2,
        kills=[[n, rng.choice([0.0, 0.0, rng.random() * 0.02])] for n in frames],
    )


def frame_of(index: dict[str, int], *, rgb: bool) -> NDArray[np.uint16]:
    """Return the pixels of the frame at an acquisition index; of some indices they are all zero."""
    key = sum((i + 1) * 37**k for k, i in enumerate(index.values()))
    shape = (HEIGHT, WIDTH, 3) if rgb else (HEIGHT, WIDTH)
    if key % 11 == 0:
        return np.zeros(shape, "uint16")
    return np.random.default_rng(key).integers(0, 4000, shape, "uint16")


def metadata_of(case: Case, index: dict[str, int]) -> dict[str, Any] | None:
    number = sum(i * 100**k for k, i in enumerate(reversed(index.values())))
    if case.metadata == "none" or (case.metadata == "some" and number % 3):
        return None
    return {"delta_t": number / 4, "serial": number, "index": index}


def append_remaining(stream: omew.OMEStream, case: Case) -> Iterator[dict[str, int]]:
    """Append the frames that a stream lacks, and yield the index of each after it was appended."""
    rgb = bool(case.settings["rgb"])
    remaining = stream.remaining()
    if stream.plan.frames is None:
        number_of = stream.plan.router.frame_number
        remaining = itertools.takewhile(
            lambda index: (number_of(list(index.values())) or 0) < UNBOUNDED_FRAMES, remaining
        )
    indices = list(remaining)
    if case.shuffled:
        random.Random(5).shuffle(indices)
    for index in indices:
        stream.append(
            frame_of(index, rgb=rgb),
            index=index if case.shuffled else None,
            frame_metadata=metadata_of(case, index),
        )
        yield index


def write_until_killed(case: Case) -> None:
    """Continue an acquisition; kill this process after a number of frames and a time."""
    import os
    import threading

    frames, delay = case.kill
    killed = getattr(signal, "SIGKILL", signal.SIGTERM)
    stream = omew.create_stream(case.acquisition, resume=True)
    for number, _ in enumerate(append_remaining(stream, case)):
        if case.settings["flush_interval"] > 100 and number % 5 == 3:
            stream.flush()
        if number >= frames:
            if not delay:
                os.kill(os.getpid(), killed)
            threading.Timer(delay, os.kill, (os.getpid(), killed)).start()
            frames = 10**9
    stream.close()
    os.kill(os.getpid(), killed)


def kill_while_writing(case: Case, frames: float, delay: float) -> None:
    """Write in another process until it is killed."""
    arguments = {**vars(case), "kill": [frames, delay]}
    process = run_python(["-c", _WRITER], stdin=json.dumps(arguments))
    assert process.returncode in (-9, int(signal.SIGTERM)), process.stderr


def pixels(path: Path, level: int = 0) -> NDArray[Any]:
    return np.asarray(omew.open(path, level=level))


def frame_metadata(path: Path) -> list[dict[str, Any]]:
    """Return the frame metadata of all images, by storage index."""
    return sorted(omew.read_frame_metadata(path), key=lambda frame: json.dumps(frame))


def documents(path: Path, *, windows: bool) -> dict[str, Any]:
    """Return the metadata documents of a dataset by name, without identifiers, times and frame metadata."""
    found: dict[str, Any] = {}
    root = path if path.is_dir() else path.parent
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root).as_posix()
        if file.name == "zarr.json":
            found[name] = _plain(json.loads(file.read_bytes()), windows=windows)
        elif file.suffix == ".xml":
            found[name] = _plain_xml(file.read_text(encoding="utf-8"))
        elif file.suffix in (".tif", ".tiff", ".ome"):
            from ome_writers.formats.ometiff import read_ome_xml

            found[name] = _plain_xml(read_ome_xml(file).decode())
        elif not file.is_dir() and "/c/" not in f"/{name}":
            found[name] = None
    return found


_CHANGING = {"id", "started", "updated", "attempts", "root_path", "frame_metadata"}


def _plain(value: Any, *, windows: bool) -> Any:
    if isinstance(value, dict):
        omitted = _CHANGING if windows else _CHANGING | {"window"}
        return {k: _plain(v, windows=windows) for k, v in value.items() if k not in omitted}
    return [_plain(each, windows=windows) for each in value] if isinstance(value, list) else value


def _plain_xml(text: str) -> str:
    text = re.sub(r'<MapAnnotation ID="Annotation:frame.*?</MapAnnotation>', "", text)
    text = re.sub(r"<Plane .*?/>|</Plane>|<Plane .*?>", "", text)
    text = re.sub(r'<AnnotationRef ID="Annotation:frame[^>]*/>', "", text)
    text = re.sub(r',"attempts":\[.*?\]', "", text)
    text = re.sub(r'"(id|updated|root_path)":"[^"]*",?', "", text)
    text = re.sub("<AcquisitionDate>.*?</AcquisitionDate>", "", text)
    return re.sub(r"urn:uuid:[0-9a-f-]*", "", text)


def levels(path: Path) -> int:
    return len(omew.read(path).images[0].levels)


def stored_bytes(path: Path, remaining: list[dict[str, int]], plan: Plan) -> dict[str, bytes]:
    """Return the bytes of what must not change: chunks, shards and pixels of pages without remaining frames.

    By file, or by file, offset and size. Frames that were not flushed remain, and may be on disk.
    """
    if (path / "zarr.json").is_file():
        changing = {name for index in remaining for name in _chunk_files(plan, index)}
        arrays = [image.array.key for image in plan.images]
        found = {
            file.relative_to(path).as_posix(): file.read_bytes()
            for key in arrays
            for file in (path / key / "c").rglob("*")
            if file.is_file() and not file.name.endswith(".tmp")
        }
        rank = len(plan.images[0].array.index_shape)
        return {name: data for name, data in found.items() if _cell(name, rank) not in changing}
    import tifffile

    kept = _kept_planes(plan, remaining)
    found = {}
    for file in [path] if path.is_file() else sorted(path.glob("*.tif*")):
        data = file.read_bytes()
        with tifffile.TiffFile(file) as tiff:
            for page in tiff.pages:
                if page.asarray().tobytes() in kept:
                    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                        part = data[offset : offset + count]
                        found[f"{file.name} {offset} {count}"] = part
    return found


def _kept_planes(plan: Plan, remaining: list[dict[str, int]]) -> set[bytes]:
    """Return the pixels of the planes of frames that do not remain, but for those of zeros: no two others are equal."""
    rgb, planes = plan.settings.rgb, set()
    for number in range(UNBOUNDED_FRAMES if plan.frames is None else plan.frames):
        index = plan.router.indices(number)
        if index not in remaining and (frame := frame_of(index, rgb=rgb)).any():
            samples = np.moveaxis(frame, -1, 0) if rgb else frame
            planes |= {each.tobytes() for each in (frame, samples, *(samples if rgb else ()))}
    return planes


def bytes_now(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return what `stored_bytes` returned under these names, as it is now."""
    found = {}
    folder = path if path.is_dir() else path.parent
    for name in names:
        file, *extent = name.split(" ")
        data = (folder / file).read_bytes()
        offset, count = map(int, extent) if extent else (0, len(data))
        found[name] = data[offset : offset + count]
    return found


def _cell(name: str, rank: int) -> str:
    """Return the name of a chunk file or shard, without its coordinate along y and x."""
    array, _, coordinate = name.rpartition("/c/")
    return f"{array}/c/" + "/".join(coordinate.split("/")[:rank])


def _chunk_files(plan: Plan, index: dict[str, int]) -> Iterator[str]:
    number, stored = plan.router.address_of(list(index.values()))
    image = plan.images[number]
    outer = image.array.shards or image.array.chunks
    for sample in range(image.addressing.planes):
        plane = image.addressing.plane(stored, sample)
        at = "/".join(str(i // n) for i, n in zip(plane, outer, strict=False))
        yield f"{image.array.key}/c/{at}"
