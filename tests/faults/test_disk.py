"""A disk that is full, read-only or removed: the error lists the missing frames, the others read back.

`WriteError.frames` lists each frame that does not read back bit for bit, and only accepted frames. It may also list
frames of a chunk that an earlier flush had saved.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from faults.datasets import ENGINE_NAMES, FRAMES, LAYOUTS, missing, mounted, noise, run, stream
from ome_writers import OMEStream, WriteError
from ome_writers.storage import ENGINES

pytest.importorskip("zarr", reason="zarr-python reads the result")
pytest.importorskip("tensorstore", reason="tensorstore reads the result")
pytestmark = pytest.mark.timeout(600)

ALL_ENGINE_NAMES = [
    name
    for name, row in ENGINES.items()
    if row.format == "ome-zarr" and row.missing_requirement() is None
]
ACQUIRE = ENGINES["acquire-zarr"]


def append_until_error(writing: OMEStream, start: int = 0) -> tuple[int, WriteError]:
    """Append frames in a `with` block; return the number of accepted frames, and the error of the block."""
    accepted = start
    with pytest.raises(WriteError) as caught, writing:
        for number in range(start, FRAMES):
            writing.append(noise(number), frame_metadata={"serial": number})
            accepted += 1
            if number % 25 == 0:
                time.sleep(0.02)
    return accepted, caught.value


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_full_disk_raises_write_error(tmp_path: Path, engine: str, layout: str) -> None:
    """`WriteError` lists the missing frames; the others read back."""
    with mounted(tmp_path / "small", "-o", "size=6m") as folder:
        path = folder / "run.ome.zarr"
        writing = stream(path, engine, **LAYOUTS[layout])
        accepted, error = append_until_error(writing)
        lost = missing(path, accepted)
        assert lost, "the disk was not full"
        assert lost <= set(error.frames) <= set(range(accepted)), sorted(lost - set(error.frames))
        assert accepted - len(error.frames) >= 20
        cause = error.__cause__
        if engine == "direct":
            assert isinstance(cause, OSError)
            assert cause.errno == errno.ENOSPC
        with pytest.raises(WriteError):
            writing.close()


@pytest.mark.parametrize("engine", ALL_ENGINE_NAMES)
def test_frames_beyond_an_unwritable_shape_are_listed(tmp_path: Path, engine: str) -> None:
    """If the array metadata of an unbounded run cannot be replaced, the frames beyond its shape are listed."""
    path = tmp_path / "run.ome.zarr"
    writing = stream(path, engine, frames=None, flush_interval=3600.0)
    for number in range(3):
        writing.append(noise(number))
    writing.flush()
    metadata = path / "0" / "zarr.json"
    metadata.rename(path / "saved")
    (metadata / "in the way").mkdir(parents=True)
    for number in range(3, 8):
        writing.append(noise(number))
    with pytest.raises(WriteError) as caught:
        writing.close()
    shutil.rmtree(metadata)
    (path / "saved").rename(metadata)
    assert missing(path, 8) <= set(caught.value.frames) <= set(range(8))
    assert 7 in caught.value.frames


@pytest.mark.skipif(
    ACQUIRE.missing_requirement() is not None, reason="acquire-zarr is not installed"
)
@pytest.mark.parametrize("shard", [1, 4, 8])
def test_acquire_zarr_lists_frames_of_torn_shards(tmp_path: Path, shard: int) -> None:
    """Chunks that a full disk stored partially are listed, although space was freed before their index was written."""
    with mounted(tmp_path / "small", "-o", "size=6m") as folder:
        path = folder / "run.ome.zarr"
        writing = stream(path, "acquire-zarr", frames=150, shard=shard, flush_interval=3600.0)
        (folder / "others").write_bytes(b"1" * 4 * 2**20)
        accepted, frames = 0, set()
        try:
            for number in range(150):
                writing.append(noise(number))
                accepted += 1
                time.sleep(0.005)
                if not shutil.disk_usage(folder).free and (folder / "others").exists():
                    time.sleep(0.1)
                    (folder / "others").unlink()
            writing.close()
        except WriteError:
            with pytest.raises(WriteError) as caught:
                writing.close()
            frames = set(caught.value.frames)
        assert not (folder / "others").exists(), "the disk was not full"
        assert missing(path, accepted) <= frames


FEW_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from ome_writers import Position, UnsupportedError
path, count = Path(sys.argv[1]), int(sys.argv[2])
wanted = settings(path, "acquire-zarr", frames=3)
wanted.dimensions = [Dimension(name="p", coords=[str(n) for n in range(count)]), *wanted.dimensions]
try:
    writing = create_stream(wanted)
except UnsupportedError as error:
    assert not path.exists()
    print("refused", error)
else:
    with writing:
        for number in range(3 * count):
            writing.append(noise(number))
    import zarr
    for number in range(3 * count):
        array = zarr.open_array(path / str(number // 3) / "0", mode="r")
        assert np.array_equal(array[number % 3], noise(number)), number
"""


@pytest.mark.skipif(
    ACQUIRE.missing_requirement() is not None, reason="acquire-zarr is not installed"
)
@pytest.mark.skipif(
    os.name == "nt", reason="a limit of open files: Windows has none that a process can set"
)
@pytest.mark.parametrize("positions", [20, 200])
def test_acquire_zarr_checks_file_descriptor_limit(tmp_path: Path, positions: int) -> None:
    """With 64 descriptors, 20 positions are written, and 200 are refused before anything is written."""
    done = run(FEW_FILES, tmp_path / "run.ome.zarr", positions)
    assert ("may open 64" in done.stdout) == (positions == 200), done.stdout


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_read_only_directory_refuses_the_start(tmp_path: Path, engine: str) -> None:
    """An error is raised, and the directory stays empty."""
    with mounted(tmp_path / "fixed", "-o", "size=6m,ro") as folder:
        with pytest.raises(OSError, match="(?i)read-only"):
            stream(folder / "run.ome.zarr", engine)
        assert not any(folder.iterdir())


@pytest.mark.parametrize("suffix", ["zarr", "tiff"])
def test_full_disk_keeps_global_metadata_until_close(tmp_path: Path, suffix: str) -> None:
    """`WriteError` names the file; `close` writes the metadata when there is space again."""
    with mounted(tmp_path / "small", "-o", "size=1m") as folder:
        path = folder / f"run.ome.{suffix}"
        writing = stream(path, "direct" if suffix == "zarr" else "tifffile", frames=2)
        writing.append(noise(0))
        writing.flush()
        rest = shutil.disk_usage(folder).free
        (folder / "rest").write_bytes(bytes(rest))
        with pytest.raises(
            WriteError, match=r"metadata of .*run\.ome\..* could not be written.*28"
        ):
            writing.set_global_metadata("lab", {"notes": "x" * 100_000})
        (folder / "rest").unlink()
        writing.close()
        metadata_file = path / "zarr.json" if suffix == "zarr" else path
        assert b"x" * 100_000 in metadata_file.read_bytes()


def test_write_error_recommends_repair(tmp_path: Path) -> None:
    """If a frame is lost and a metadata file could not be written either, the error recommends `repair`, too."""
    path = tmp_path / "run.ome.zarr"
    writing = stream(path, "tensorstore", frames=None, flush_interval=3600.0)
    writing.append(noise(0))
    writing.flush()
    (path / "0" / "c" / "2").write_text("in the way of frame 2")
    (path / "0" / "zarr.json").rename(path / "moved")
    (path / "0" / "zarr.json" / "in the way").mkdir(parents=True)
    for number in (1, 2):
        writing.append(noise(number))
    report = "not on disk: .* then run `ome-writers repair` and acquire again"
    with pytest.raises(WriteError, match=report) as caught:
        writing.close()
    assert 2 in caught.value.frames


@pytest.mark.parametrize(
    "engine",
    [pytest.param(n, marks=[pytest.mark.short] if n == "direct" else []) for n in ENGINE_NAMES],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_removed_output_raises_write_error(tmp_path: Path, engine: str, layout: str) -> None:
    """`WriteError` lists every accepted frame."""
    path = tmp_path / "run.ome.zarr"
    writing = stream(path, engine, **LAYOUTS[layout])
    for number in range(50):
        writing.append(noise(number), frame_metadata={"serial": number})
    writing.flush()
    while path.exists():  # the flush timer may create files again in the meantime
        shutil.rmtree(path, ignore_errors=True)
    accepted, error = append_until_error(writing, 50)
    assert error.frames == tuple(range(accepted))
