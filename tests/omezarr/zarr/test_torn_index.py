"""The index of a shard after power loss: torn between sectors, or not yet at the new end of the file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension
from ome_writers.dataset import LevelSpec
from ome_writers.formats.omezarr.shard_recovery import ShardRecovery
from ome_writers.routing import resolve
from ome_writers.storage.disk import Disk
from ome_writers.storage.zarr import Codec, Grid, Shard, ShardShape

CHUNKS = 100
FRAME = (5, 7)  # whose stored sizes are not multiples of 16
SECTOR = 512


def array(compression: str) -> LevelSpec:
    """Return the plan of an array with one shard."""
    settings = AcquisitionSettings(
        root_path="x",
        dimensions=[
            Dimension(name="t", count=CHUNKS, chunk_size=1, shard_size_chunks=CHUNKS),
            Dimension(name="y", count=FRAME[0]),
            Dimension(name="x", count=FRAME[1]),
        ],
        dtype="uint8",
        format="direct",
        compression=compression,
    )
    return resolve(settings).images[0].array


def frame(number: int) -> np.ndarray:
    """Return the frame of this number."""
    return np.random.default_rng(number).integers(1, 256, FRAME, dtype=np.uint8)


class Written:
    """A shard with durable files, to which chunks are added."""

    def __init__(self, folder: Path, compression: str) -> None:
        plan = array(compression)
        self.path = folder / "0"
        self.files = ShardRecovery(plan)
        self.codec = Codec(compression, plan.numpy_dtype)
        grid = Grid(plan)
        shape = ShardShape(
            CHUNKS, self.codec.max_encoded_bytes(grid.chunk_bytes), in_place=self.codec.identity
        )
        self.disk = Disk(durable=True)
        self.shard = Shard(self.path, shape, CHUNKS, self.disk)

    def add(self, numbers: range, *, final: bool = True) -> None:
        stored = [bytes(self.codec.encode(frame(n))) for n in numbers]
        sizes = np.array([len(s) for s in stored], np.int64)
        self.shard.write_chunks(np.array(numbers), sizes, stored, final=final)

    def readable(self) -> list[int]:
        """Return the chunks that the index of the file leads to; all of them must be right."""
        index = self.files.read_index(self.path, (0, 0, 0))
        assert index is not None
        found = np.flatnonzero(index.entries[:, 0] != np.uint64(2**64 - 1)).tolist()
        content = self.path.read_bytes()
        for number in found:
            offset, size = index.entries[number].tolist()
            pixels = self.files.encoding.decode(content[offset : offset + size])
            assert pixels is not None
            assert np.array_equal(pixels[0], frame(number))
        return found


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_torn_index_is_recovered(tmp_path: Path, compression: str) -> None:
    """With any combination of old and new sectors, all chunks of the old index are found, and no wrong ones."""
    written = Written(tmp_path, compression)
    written.add(range(40))
    written.shard.flush()
    old = written.path.read_bytes()
    written.add(range(40, 90))
    written.shard.flush()
    new = written.path.read_bytes()
    assert len(new) == len(old)
    begin = len(new) - (16 * CHUNKS + 4)
    data = new[:begin]
    sectors = sorted({begin, *range(-(-begin // SECTOR) * SECTOR, len(new), SECTOR), len(new)})
    for chosen in range(2 ** (len(sectors) - 1)):
        torn = bytearray(data)
        for bit, (first, last) in enumerate(itertools.pairwise(sectors)):
            torn += (new if chosen >> bit & 1 else old)[first:last]
        written.path.write_bytes(torn)
        assert set(range(40)) <= set(written.readable()) <= set(range(90))
        assert len(list(written.files.recover_shard((0, 0, 0), written.path, dry_run=False))) <= 1
        assert set(range(40)) <= set(written.readable())
        assert not list(written.files.recover_shard((0, 0, 0), written.path, dry_run=False))


def test_moving_index_is_recovered_from_its_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(tmp_path, "zstd")
    written.add(range(40))
    written.shard.flush()
    before = len(written.path.read_bytes())
    states: list[tuple[bytes, bytes]] = []
    write = Shard._write_index

    def crashing(shard: Shard, fd: int) -> None:
        beside = written.path.with_name(".0.tmp")
        states.append((written.path.read_bytes(), beside.read_bytes()))
        write(shard, fd)

    monkeypatch.setattr(Shard, "_write_index", crashing)
    while not states:
        written.add(
            range(40, 41), final=False
        )  # each time to another place, at last behind the index
    assert not written.path.with_name(".0.tmp").exists()
    grown = len(written.path.read_bytes())
    assert grown > before
    content, copy = states[0]
    for size in (before, grown, (before + grown) // 2):  # as far as the file has grown
        written.path.write_bytes(content.ljust(size, b"\0"))
        written.path.with_name(".0.tmp").write_bytes(copy)
        assert written.readable() == list(range(40))
        list(written.files.recover_shard((0, 0, 0), written.path, dry_run=False))
        written.path.with_name(".0.tmp").unlink()
        assert written.readable() == list(range(40))


def test_flipped_bit_of_an_index_is_corrected(tmp_path: Path) -> None:
    written = Written(tmp_path, "zstd")
    written.add(range(CHUNKS))
    written.shard.finish()
    content = written.path.read_bytes()
    for bit in np.random.default_rng(0).integers(8 * (16 * CHUNKS + 4), size=40).tolist():
        flipped = bytearray(content)
        flipped[-1 - bit // 8] ^= 1 << bit % 8
        written.path.write_bytes(flipped)
        (found,) = written.files.recover_shard((0, 0, 0), written.path, dry_run=False)
        assert found.solved
        assert written.path.read_bytes() == content
