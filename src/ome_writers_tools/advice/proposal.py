"""Settings proposed for a camera and a measured disk, each with a reason in numbers. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ome_writers.toolkit import engines_of

if TYPE_CHECKING:
    from ome_writers_tools.advice.camera import Camera
    from ome_writers_tools.advice.measurements import Codec, DiskSpeed, Levels

_MIB = 1024**2
_SAFE_LOAD = 0.6  # of the disk's speed: disks slow down when they are full, warm or shared
_MAX_CHUNK_BYTES = 64 * _MIB  # larger chunks make viewers slow
_MIN_CHUNK_BYTES = _MIB // 4  # smaller chunks take longer to open than to read
_SHARD_BYTES = 512 * _MIB
_MAX_FILES = 10_000  # more make directories, copies and backups slow
_MAX_FILE_RATE_SHARE = 0.25  # of the disk's rate of new files: other processes create files too
_MIN_BUFFER_BYTES = 64 * _MIB
_DEFAULT_BUFFER_BYTES = 256 * _MIB

Load = Literal["easy", "tight", "too much"]


@dataclass(frozen=True)
class Advice:
    """Proposed settings with reasons."""

    load: Load  # whether the disk keeps up
    share: float  # used share of the disk's write speed; above 1 it does not keep up
    predicted: float  # bytes per second of pixels that can be written with these settings
    format: str
    engine: str
    compression: str
    # chunk size in frames and in pixels (y, x)
    chunk_frames: int
    tile: tuple[int, int]
    shard_chunks: int | None  # chunks per shard along the first axis; None without shards
    buffer_bytes: int
    reasons: dict[str, str]  # setting to a sentence with numbers


def predict(codec: Codec | None, disk: DiskSpeed, cores: int) -> float:
    """Return the bytes of pixels that `cores` compress and write per second.

    The cores compress and write; a disk that writes compressed bytes accepts `ratio` times as many pixels. The slower
    part determines the speed. If both are about as fast, each of them waits for the other now and then: measured
    (`python -m benchmarks --prediction`), the time is the root of the sum of the squares of both times.
    """
    if codec is None:
        return disk.bytes_per_second
    processor_seconds = 1 / codec.bytes_per_second + disk.processor_seconds / codec.ratio
    return 1 / math.hypot(processor_seconds / cores, 1 / (disk.bytes_per_second * codec.ratio))


def needs_compression(camera: Camera, disk: DiskSpeed, levels: Levels | None = None) -> bool:
    """Return whether the disk is too slow for uncompressed frames. Otherwise, `advise` does not propose codecs."""
    return _rate(camera, levels) / disk.bytes_per_second > _SAFE_LOAD


def advise(
    camera: Camera,
    disk: DiskSpeed,
    *,
    format: str = "ome-zarr",
    codecs: tuple[Codec, ...] = (),
    levels: Levels | None = None,
    cores: int = 1,
    memory: int = 4 * 1024**3,
) -> Advice:
    """Propose settings.

    `codecs` are proposed only if the disk is too slow without: see `needs_compression`. `levels` are written, too. One
    of the `cores` is reserved for the camera. `memory` is that of the machine, in bytes.
    """
    reasons: dict[str, str] = {}
    free_cores, reducing, rate = max(1, cores - 1), 0.0, _rate(camera, levels)
    if levels is not None:
        reducing = camera.rate / levels.bytes_per_second
        reasons["pyramid"] = _levels_reason(camera, levels, free_cores)
    compression, written = _compression(rate, disk, codecs, free_cores - reducing, reasons)
    engine = engines_of(format)[0]
    chunk_frames, tile = _chunks(camera, reasons) if engine.sharding else _pages(camera, reasons)
    shard_chunks = None
    if engine.sharding:
        shard_chunks = _shards(camera, disk, chunk_frames, tile, reasons)
    buffer_bytes = _buffer(camera, memory, reasons)
    share = written / disk.bytes_per_second
    chosen = next((codec for codec in codecs if codec.name == compression), None)
    predicted = predict(chosen, disk, cores)
    if levels is None:
        reasons["speed"] = (
            f"about {_size(predicted)}/s at most: {predicted / camera.frame_bytes:.0f} frames/s"
        )
    load: Load = "easy" if share <= _SAFE_LOAD else "tight" if share <= 1 else "too much"
    if reducing > free_cores:
        load = "too much"
    if camera.seconds and written * camera.seconds > disk.free:
        load = "too much"
        reasons["space"] = (
            f"{_size(written * camera.seconds)} needed, {_size(disk.free)} free: "
            f"the disk is full after {disk.free / written:.0f} s"
        )
    return Advice(
        load,
        share,
        predicted,
        format,
        engine.name,
        compression,
        chunk_frames,
        tile,
        shard_chunks,
        buffer_bytes,
        reasons,
    )


def _rate(camera: Camera, levels: Levels | None) -> float:
    """Return the uncompressed bytes per second of frames and their levels."""
    return camera.rate * (1 if levels is None else 1 + levels.size)


def _compression(
    rate: float,
    disk: DiskSpeed,
    codecs: tuple[Codec, ...],
    cores: float,
    reasons: dict[str, str],
) -> tuple[str, float]:
    """Return the compression of `rate` bytes per second, and the compressed bytes per second."""
    plain = rate / disk.bytes_per_second
    if plain <= _SAFE_LOAD:
        reasons["compression"] = (
            f"none: {_size(rate)}/s is {plain:.0%} of the disk's write speed, "
            f"{_size(disk.bytes_per_second)}/s"
        )
        return "none", rate
    able = [c for c in codecs if c.bytes_per_second * cores >= rate and c.ratio > 1.05]
    if not able:
        reasons["compression"] = (
            f"none: {_size(rate)}/s is {plain:.0%} of the disk's write speed, but no "
            f"compression keeps up on {max(0, cores):.2g} core(s)"
            + "".join(f"; {c.name}: {_size(c.bytes_per_second)}/s per core" for c in codecs)
        )
        return "none", rate
    best = max(able, key=lambda codec: codec.ratio)
    written = rate / best.ratio
    reasons["compression"] = (
        f"{best.name}: {written / disk.bytes_per_second:.0%} of the disk's write speed instead of {plain:.0%}; "
        f"a camera-like frame is compressed {best.ratio:.1f} times, at "
        f"{_size(best.bytes_per_second)}/s per core"
    )
    return best.name, written


def _levels_reason(camera: Camera, levels: Levels, cores: int) -> str:
    needed = camera.rate / levels.bytes_per_second
    reason = (
        f"{levels.method}: {levels.size:.0%} more bytes ({_size(levels.size * camera.rate)}/s), and {needed:.2f} of "
        f"{cores} free core(s): one reduces {_size(levels.bytes_per_second)}/s; no memory besides the buffer"
    )
    if needed > cores:
        reason += ". Too slow: add the levels afterwards with `ome-writers pyramid`"
    return reason


def _pages(camera: Camera, reasons: dict[str, str]) -> tuple[int, tuple[int, int]]:
    reasons["chunks"] = "one TIFF page per frame"
    return 1, (camera.height, camera.width)


def _chunks(camera: Camera, reasons: dict[str, str]) -> tuple[int, tuple[int, int]]:
    """Return the chunk size in frames and in pixels (y, x)."""
    size, frame = camera.frame_bytes, (camera.height, camera.width)
    if size > _MAX_CHUNK_BYTES:
        parts = math.ceil(math.sqrt(size / _MAX_CHUNK_BYTES))
        tile = math.ceil(frame[0] / parts), math.ceil(frame[1] / parts)
        reasons["chunks"] = (
            f"{tile[0]} x {tile[1]} pixels: a frame has {_size(size)}, and chunks above "
            f"{_size(_MAX_CHUNK_BYTES)} make viewers slow"
        )
        return 1, tile
    if size < _MIN_CHUNK_BYTES:
        frames = math.ceil(_MIN_CHUNK_BYTES / size)
        reasons["chunks"] = (
            f"{frames} frames: a frame has {_size(size)}, and chunks below {_size(_MIN_CHUNK_BYTES)} "
            "take longer to open than to read"
        )
        return frames, frame
    reasons["chunks"] = f"one frame ({_size(size)})"
    return 1, frame


def _shards(
    camera: Camera,
    disk: DiskSpeed,
    chunk_frames: int,
    tile: tuple[int, int],
    reasons: dict[str, str],
) -> int | None:
    """Return the chunks per shard; None if each chunk can be a file."""
    tiles = math.ceil(camera.height / tile[0]) * math.ceil(camera.width / tile[1])
    files = camera.fps / chunk_frames * tiles
    total = None if camera.seconds is None else math.ceil(files * camera.seconds)
    max_files = disk.files_per_second
    if files <= _MAX_FILE_RATE_SHARE * max_files and total is not None and total <= _MAX_FILES:
        reasons["shards"] = (
            f"none: {files:.0f} files/s, of {max_files:.0f} that this disk can create; {total} in total"
        )
        return None
    chunk = chunk_frames * tile[0] * tile[1] * camera.frame_bytes // (camera.height * camera.width)
    count = max(2, _SHARD_BYTES // (chunk * tiles))
    if camera.frames is not None:
        count = max(2, min(count, math.ceil(camera.frames / chunk_frames)))
    number = f"{total} files in total" if total else f"{files * 3600:.0f} files per hour"
    reasons["shards"] = (
        f"{count} chunks per shard ({_size(count * chunk * tiles)}): one file per chunk would need {files:.0f} "
        f"files/s, of {max_files:.0f} that this disk can create; {number}"
    )
    return count


def _buffer(camera: Camera, memory: int, reasons: dict[str, str]) -> int:
    """Return two seconds of the camera in bytes, at most a quarter of the machine's memory."""
    wanted = max(_DEFAULT_BUFFER_BYTES, 2 * camera.rate)
    size = max(_MIN_BUFFER_BYTES, int(min(wanted, memory / 4)) // _MIB * _MIB)
    reasons["buffer"] = f"{_size(size)}: covers a stall of the disk of {size / camera.rate:.1f} s"
    return size


def _size(count: float) -> str:
    """Format a number of bytes in decimal units."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"
