"""From a camera and a disk to settings, each with its reason in numbers. No I/O: arithmetic on what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ome_writers.advice.camera import Camera
    from ome_writers.advice.disk import DiskSpeed

__all__ = ["Advice", "Codec", "Load", "advise"]

MIB = 1024**2
SAFE = 0.6  # of the disk's speed: disks slow down when they are full, warm or shared
LARGE = 64 * MIB  # a chunk that a viewer still fetches in one go
SMALL = MIB // 4  # a chunk below that costs more in being opened than in being read
SHARD = 512 * MIB
FILES = 10_000  # what a folder, a copy or a backup still takes well
FILE_SHARE = 0.25  # of the files that the disk can make: the rest of the machine makes files, too

Load = Literal["easy", "tight", "too much"]


@dataclass(frozen=True)
class Codec:
    """A compression as it was measured on one core with a camera-like frame.

    Attributes
    ----------
    name
        As in the settings.
    bytes_per_second
        Of pixels that go in.
    ratio
        Bytes in to bytes out.
    """

    name: str
    bytes_per_second: float
    ratio: float


@dataclass(frozen=True)
class Advice:
    """Settings, and why.

    Attributes
    ----------
    load
        Whether the disk keeps up with what is proposed.
    share
        Of the disk's speed that is used; above 1 it cannot keep up.
    format, engine
        Names as in the settings.
    compression
        As in the settings.
    chunk_frames, tile
        Frames a chunk; pixels (y, x) a chunk.
    shard_chunks
        Chunks a shard along the first axis; None without shards.
    buffer_bytes
        As in the settings.
    reasons
        What is proposed to why, in a sentence with numbers.
    """

    load: Load
    share: float
    format: str
    engine: str
    compression: str
    chunk_frames: int
    tile: tuple[int, int]
    shard_chunks: int | None
    buffer_bytes: int
    reasons: dict[str, str]


def advise(
    camera: Camera,
    disk: DiskSpeed,
    *,
    format: Literal["ome-zarr", "ome-tiff"] = "ome-zarr",
    codecs: tuple[Codec, ...] = (),
    cores: int = 1,
    memory: int = 4 * 1024**3,
) -> Advice:
    """Propose settings.

    Parameters
    ----------
    camera, disk
        What is to be written, and what writes it.
    format
        What to write.
    codecs
        Compressions that were measured; none of them is proposed when there is no need.
    cores
        Cores that may compress; one is left to the camera.
    memory
        Bytes that the machine has.
    """
    reasons: dict[str, str] = {}
    compression, written = _compression(camera, disk, codecs, max(1, cores - 1), reasons)
    chunk_frames, tile = _chunks(camera, format, reasons)
    shard_chunks = None
    if format == "ome-zarr":
        shard_chunks = _shards(camera, disk, chunk_frames, tile, reasons)
    buffer_bytes = _buffer(camera, memory, reasons)
    share = written / disk.bytes_per_second
    load: Load = "easy" if share <= SAFE else "tight" if share <= 1 else "too much"
    if camera.seconds and written * camera.seconds > disk.free:
        load = "too much"
        reasons["space"] = (
            f"{_size(written * camera.seconds)} are to be written, and {_size(disk.free)} are free: "
            f"the disk is full after {disk.free / written:.0f} s"
        )
    engine = "direct" if format == "ome-zarr" else "tifffile"
    return Advice(
        load,
        share,
        format,
        engine,
        compression,
        chunk_frames,
        tile,
        shard_chunks,
        buffer_bytes,
        reasons,
    )


def _compression(
    camera: Camera,
    disk: DiskSpeed,
    codecs: tuple[Codec, ...],
    cores: int,
    reasons: dict[str, str],
) -> tuple[str, float]:
    """Return a compression and the bytes a second that are left: none where the disk is fast enough."""
    plain = camera.rate / disk.bytes_per_second
    if plain <= SAFE:
        reasons["compression"] = (
            f"none: {_size(camera.rate)}/s are {plain:.0%} of the {_size(disk.bytes_per_second)}/s "
            "that this disk takes, so no core need be spent"
        )
        return "none", camera.rate
    able = [c for c in codecs if c.bytes_per_second * cores >= camera.rate and c.ratio > 1.05]
    if not able:
        reasons["compression"] = (
            f"none: {_size(camera.rate)}/s are {plain:.0%} of what this disk takes, but no "
            f"compression keeps up on {cores} core(s)"
            + "".join(f"; {c.name} does {_size(c.bytes_per_second)}/s a core" for c in codecs)
        )
        return "none", camera.rate
    best = max(able, key=lambda codec: codec.ratio)
    written = camera.rate / best.ratio
    reasons["compression"] = (
        f"{best.name}: uncompressed, {_size(camera.rate)}/s would be {plain:.0%} of what this disk "
        f"takes; a camera-like frame shrinks {best.ratio:.1f} times at "
        f"{_size(best.bytes_per_second)}/s a core, which leaves "
        f"{written / disk.bytes_per_second:.0%}"
    )
    return best.name, written


def _chunks(camera: Camera, format: str, reasons: dict[str, str]) -> tuple[int, tuple[int, int]]:
    """Return frames a chunk and pixels (y, x) a chunk."""
    size, frame = camera.frame_bytes, (camera.height, camera.width)
    if format == "ome-tiff":
        reasons["chunks"] = "a page of a TIFF is one frame"
        return 1, frame
    if size > LARGE:
        parts = math.ceil(math.sqrt(size / LARGE))
        tile = math.ceil(frame[0] / parts), math.ceil(frame[1] / parts)
        reasons["chunks"] = (
            f"{tile[0]} x {tile[1]} pixels: a whole frame is {_size(size)}, more than a viewer "
            f"should fetch at once ({_size(LARGE)})"
        )
        return 1, tile
    if size < SMALL:
        frames = math.ceil(SMALL / size)
        reasons["chunks"] = (
            f"{frames} frames: one is {_size(size)}, and pieces below {_size(SMALL)} cost more to "
            "open than to read"
        )
        return frames, frame
    reasons["chunks"] = f"one frame ({_size(size)}): it is read back in one piece"
    return 1, frame


def _shards(
    camera: Camera,
    disk: DiskSpeed,
    chunk_frames: int,
    tile: tuple[int, int],
    reasons: dict[str, str],
) -> int | None:
    """Return chunks a shard; None where each chunk may be a file."""
    tiles = math.ceil(camera.height / tile[0]) * math.ceil(camera.width / tile[1])
    files = camera.fps / chunk_frames * tiles
    total = None if camera.seconds is None else math.ceil(files * camera.seconds)
    can = disk.files_per_second
    if files <= FILE_SHARE * can and total is not None and total <= FILES:
        reasons["shards"] = (
            f"none: {files:.0f} files/s of the {can:.0f} that this disk makes, {total} in all"
        )
        return None
    chunk = chunk_frames * tile[0] * tile[1] * camera.frame_bytes // (camera.height * camera.width)
    count = max(2, SHARD // (chunk * tiles))
    if camera.frames is not None:
        count = max(2, min(count, math.ceil(camera.frames / chunk_frames)))
    many = f"{total} files in all" if total else f"{files * 3600:.0f} files an hour"
    reasons["shards"] = (
        f"{count} chunks a file ({_size(count * chunk * tiles)}): one file a chunk would be {files:.0f} "
        f"files/s of the {can:.0f} that this disk makes, {many}"
    )
    return count


def _buffer(camera: Camera, memory: int, reasons: dict[str, str]) -> int:
    """Return how much may wait in memory: two seconds of the camera, at most a quarter of the machine's memory."""
    wanted = max(256 * MIB, 2 * camera.rate)
    granted = max(64 * MIB, int(min(wanted, memory / 4)) // MIB * MIB)
    reasons["buffer"] = (
        f"{_size(granted)}: a disk that stops for {granted / camera.rate:.1f} s costs no frame"
    )
    return granted


def _size(count: float) -> str:
    """Say a number of bytes: 512 MB is 512 * 10**6."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"
