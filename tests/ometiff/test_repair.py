"""Repair of OME-TIFF files and sets whose writer was killed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.links import create_link

pytest.importorskip("tifffile", reason="tifffile reads the repaired files")

import tifffile

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OutputLockedError,
    UnsupportedError,
    create_stream,
    read,
    read_frame_metadata,
    validate,
)
from ome_writers import open as open_view
from ome_writers.repair import repair
from ome_writers.storage.lock_file import lock_content, lock_path
from ome_writers_tools.cli.description import describe
from support.interrupted import checksums, repair_and_check, write_and_kill

FRAME = (4, 6)
GOLDEN = Path(__file__).parents[1] / "golden" / "ometiff"
# tifffile warns when it reads the other files of a set
pytestmark = pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")


def settings(path: Path, axes: dict[str, int], **more: Any) -> AcquisitionSettings:
    """Return settings; an axis of extent 0 is unbounded."""
    names = {"p": "position", "c": "channel", "t": "time", "z": "space"}
    dimensions = [
        Dimension(name=a, type=names[a], coords=[f"{a}{i}" for i in range(n)])
        if a in "pc"
        else Dimension(name=a, type=names[a], count=n or None)
        for a, n in axes.items()
    ]
    size = [Dimension(name=n, count=c) for n, c in zip("yx", FRAME, strict=True)]
    order = more.pop("order", None)
    return AcquisitionSettings(
        root_path=path / "x.ome.tiff",
        dimensions=[*dimensions, *size],
        dtype="uint16",
        flush_interval=3600.0,
        storage_order=[*order, "y", "x"] if order else "ome",
        format={"name": "ome-tiff", **more.pop("format", {})},
        **more,
    )


def images(path: Path) -> list[np.ndarray]:
    """Read the pixels of each image with tifffile; of a set, all pages of each file."""
    if path.is_file():
        with tifffile.TiffFile(path) as tiff:
            return [series.asarray() for series in tiff.series]
    found = []
    for file in sorted(path.glob("*.ome.tiff")):
        with tifffile.TiffFile(file) as tiff:
            found.append(np.stack([page.asarray() for page in tiff.pages]))
            if len(tiff.series) > 1:  # the OME-XML describes all files
                series = tiff.series[len(found) - 1].asarray()
                np.testing.assert_array_equal(series.reshape(found[-1].shape), found[-1])
    return found


CASES: dict[str, dict[str, Any]] = {
    "bounded": {"axes": {"t": 10, "c": 2}, "reached": (6, 2)},
    "compressed": {"axes": {"t": 10, "c": 2}, "reached": (6, 2), "compression": "deflate"},
    "unbounded": {"axes": {"t": 0, "c": 2}, "reached": (6, 2)},
    "unbounded, compressed": {
        "axes": {"t": 0, "z": 2}, "reached": (6, 2), "compression": "zstd",
    },
    "unbounded, not slowest": {
        "axes": {"t": 0, "c": 2}, "reached": (6, 2), "order": ["c", "t"],
    },
    "one axis": {"axes": {"t": 50}, "reached": (11,)},
    "channels first": {"axes": {"c": 3, "t": 9}, "reached": (2, 9)},
    "kept": {"axes": {"t": 10, "c": 2}, "reached": (10, 2), "on_incomplete": "keep"},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("metadata", [True, False])
def test_flushed_frames_of_single_file_are_recovered(
    name: str, metadata: bool, tmp_path: Path
) -> None:
    case = dict(CASES[name])
    axes, reached = case.pop("axes"), case.pop("reached")
    path = write_and_kill(settings(tmp_path, axes, **case), 11, 11, metadata=metadata)
    journalled = read_frame_metadata(path)
    assert repair_and_check(path).findings
    expected = np.zeros(reached, np.uint16)
    expected.flat[:11] = np.arange(1, 12)
    (found,) = images(path)
    np.testing.assert_array_equal(found[..., 0, 0], expected)
    known = read_frame_metadata(path)
    assert known == journalled
    assert sorted(f["serial"] for f in known) == (list(range(11)) if metadata else [])
    with tifffile.TiffFile(path) as tiff:
        order = tiff.series[0].axes[:-2]
        assert '"status":"failed"' in (tiff.ome_metadata or "")
        assert len(tiff.pages) == expected.size
    letters = dict(zip(axes, "tc" if "c" in axes else "tz", strict=False))
    for frame in known:
        index = dict(zip(_order(path), frame["storage_index"], strict=True))
        assert expected[tuple(index[axis] for axis in order)] == frame["serial"] + 1, letters
    checked = validate(path)
    assert checked.valid, checked.findings
    assert path.stat().st_size < 60_000
    assert {f.name for f in tmp_path.iterdir()} == {path.name}


def _order(path: Path) -> str:
    """Return T, C and Z in the order of the file, slowest first."""
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata or ""
    return text.partition('DimensionOrder="')[2][:5][:1:-1]


@pytest.mark.parametrize("mode", ["redundant", "master-tiff", "companion-file"])
@pytest.mark.parametrize("axes", [{"t": 10, "p": 3}, {"t": 0, "p": 3}, {"p": 3, "t": 4}])
def test_flushed_frames_of_set_are_recovered(
    mode: str, axes: dict[str, int], tmp_path: Path
) -> None:
    written_with = settings(tmp_path, axes, format={"multi_file_metadata": mode})
    path = write_and_kill(written_with, 5, 5)
    assert repair_and_check(path).findings
    found = [image.reshape(-1, *FRAME)[:, 0, 0].tolist() for image in images(path)]
    reached = [[1, 4], [2, 5], [3]]
    if list(axes) == ["p", "t"]:
        reached = [[1, 2, 3, 4], [5], [0]]
    assert found == reached
    known = {(f["image"], f["storage_index"][-1]): f["serial"] for f in read_frame_metadata(path)}
    assert sorted(known.values()) == list(range(5))
    for (image, at), serial in known.items():
        assert reached[image][at] == serial + 1
    checked = validate(path)
    assert checked.valid, checked.findings
    assert all(f.suffix in (".tiff", ".ome") for f in path.iterdir())


@pytest.mark.parametrize("axes", [{"t": 10, "p": 3}, {"t": 0, "p": 3}])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_several_images_of_one_file(axes: dict[str, int], compression: str, tmp_path: Path) -> None:
    """IFDs in the middle of the chain are removed and the TiffData renumbered."""
    written_with = settings(
        tmp_path, axes, format={"prefer_single_file": "always"}, compression=compression
    )
    path = write_and_kill(written_with, 5, 5)
    assert repair_and_check(path).findings
    found = [image.reshape(-1, *FRAME)[:, 0, 0].tolist() for image in images(path)]
    assert found == [[1, 4], [2, 5], [3]]
    known = read_frame_metadata(path)
    assert [(f["image"], f["serial"]) for f in known] == [(0, 0), (0, 3), (1, 1), (1, 4), (2, 2)]
    checked = validate(path)
    assert checked.valid, checked.findings


COLOURS: dict[str, dict[str, Any]] = {
    "bounded": {"axes": {"t": 10}, "reached": [7]},
    "compressed, not slowest": {
        "axes": {"c": 2, "t": 5}, "order": ["t", "c"], "compression": "zstd", "reached": [10],
    },
    "unbounded": {"axes": {"t": 0}, "reached": [7]},
    "set": {"axes": {"t": 5, "p": 2}, "reached": [4, 3]},
    "one file": {
        "axes": {"t": 5, "p": 2}, "reached": [4, 3], "format": {"prefer_single_file": "always"},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", COLOURS)
def test_rgb_frames_are_recovered(name: str, tmp_path: Path) -> None:
    case = dict(COLOURS[name])
    axes, reached = case.pop("axes"), case.pop("reached")
    path = write_and_kill(settings(tmp_path, axes, rgb=True, **case), 7, 7)
    for repaired in (False, True):
        if repaired:
            assert repair_and_check(path).findings
        view = np.asarray(open_view(path))
        assert view.shape[-3:] == (*FRAME, 3)
        planes = view.reshape(-1, *FRAME, 3)
        written = planes[planes[:, 0, 0, 0] > 0]
        assert sorted(written[:, 0, 0, 0].tolist()) == list(range(1, 8))
        colours = written - written[..., :1]
        np.testing.assert_array_equal(colours, np.broadcast_to([0, 100, 200], written.shape))
        assert not planes[planes[:, 0, 0, 0] == 0].any()
        assert sorted(f["serial"] for f in read_frame_metadata(path)) == list(range(7))
    checked = validate(path)
    assert checked.valid, checked.findings
    files = [path] if path.is_file() else sorted(path.glob("*.ome.tiff"))
    found = []
    for file in files:
        with tifffile.TiffFile(file) as tiff:
            found.append(len(tiff.pages))
            assert all(page.aspage().photometric == 2 for page in tiff.pages)
    assert found == (reached if path.is_dir() else [sum(reached)])


def test_status_is_complete_if_every_frame_was_written(tmp_path: Path) -> None:
    path = write_and_kill(settings(tmp_path, {"t": 3, "c": 2}), 6, 6, metadata=False)
    repair_and_check(path)
    with tifffile.TiffFile(path) as tiff:
        assert '"status":"complete"' in (tiff.ome_metadata or "")
        assert '"frames_written":6,' in (tiff.ome_metadata or "")
        assert tiff.series[0].shape == (3, 2, *FRAME)


@pytest.mark.parametrize("metadata", [True, False])
def test_file_without_frames_keeps_one_empty_plane(tmp_path: Path, metadata: bool) -> None:
    """A file with a single frame is told apart from it by the number of frames written."""
    path = write_and_kill(settings(tmp_path, {"t": 3, "c": 2}), 0, 0)
    repair_and_check(path)
    with tifffile.TiffFile(path) as tiff:
        assert '"frames_written":0,' in (tiff.ome_metadata or "")
        assert not tiff.asarray().any()
    folder = tmp_path / "one"
    folder.mkdir()
    path = write_and_kill(settings(folder, {}), 1, 1, metadata=metadata)
    repair_and_check(path)
    with tifffile.TiffFile(path) as tiff:
        assert '"status":"complete"' in (tiff.ome_metadata or "")
        assert tiff.asarray().max() == 1
    assert validate(path).valid


@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("frames", [0, 1])
def test_single_page_with_moved_ome_xml(tmp_path: Path, frames: int, compression: str) -> None:
    """The OME-XML no longer precedes the pixels, so that its offset does not tell a blank page."""
    live, killed = tmp_path / "live", tmp_path / "killed"
    with create_stream(settings(live, {}, compression=compression)) as stream:
        stream.set_global_metadata("lab", {"notes": "x" * 2000})
        for _ in range(frames):
            stream.append(np.ones(FRAME, np.uint16))
        stream.flush()
        shutil.copytree(live, killed, ignore=shutil.ignore_patterns("*.lock"))
    repair_and_check(killed / "x.ome.tiff")
    assert read(killed / "x.ome.tiff").frames_written == frames
    assert tifffile.imread(killed / "x.ome.tiff").max() == frames


def test_unwritten_channels_are_removed_from_ome_xml(tmp_path: Path) -> None:
    """The channel axis is the slowest."""
    path = write_and_kill(settings(tmp_path, {"c": 3, "t": 4}), 5, 5)
    repair_and_check(path)
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata or ""
    assert 'Name="c1"' in text
    assert 'Name="c2"' not in text
    assert validate(path).valid


def test_metadata_of_clients_are_kept(tmp_path: Path) -> None:
    written_with = settings(tmp_path, {"t": 10}).model_copy(update={"flush_interval": 3600.0})
    stream = create_stream(written_with)
    models = stream.get_metadata()
    models[0].images[0].description = "mine & <yours>"
    stream.update_metadata(models)
    stream.set_global_metadata("lab", {"status": "writing", "who": "me"})
    for number in range(4):
        stream.append(np.full(FRAME, number + 1, np.uint16), frame_metadata={"serial": number})
    stream.flush()
    left = tmp_path / "left"
    left.mkdir()
    for file in tmp_path.iterdir():
        if file.is_file() and not file.name.endswith(".lock"):
            (left / file.name).write_bytes(file.read_bytes())
    stream.close()
    repair_and_check(left / "x.ome.tiff")
    with tifffile.TiffFile(left / "x.ome.tiff") as tiff:
        text = tiff.ome_metadata or ""
        assert tiff.series[0].shape == (4, *FRAME)
    assert "mine &amp; &lt;yours&gt;" in text
    assert '<M K="status">"writing"</M><M K="who">"me"</M>' in text
    assert '"status":"failed"' in text
    assert [f["serial"] for f in read_frame_metadata(left / "x.ome.tiff")] == [0, 1, 2, 3]
    assert validate(left / "x.ome.tiff").valid


def test_closed_set_has_no_findings(tmp_path: Path) -> None:
    written_with = settings(tmp_path, {"t": 4, "p": 2})
    with create_stream(written_with) as stream:
        stream.append(np.zeros(FRAME, np.uint16), frame_metadata={"a": 1})
    before = checksums(Path(written_with.output_path))
    assert not repair(written_with.output_path).findings
    assert checksums(Path(written_with.output_path)) == before


def test_file_locked_by_running_process_is_refused(tmp_path: Path) -> None:
    path = write_and_kill(settings(tmp_path, {"t": 4}), 2, 2)
    lock_path(path, folder=False).write_bytes(lock_content())
    with pytest.raises(OutputLockedError, match="is being written by process"):
        repair(path)


def test_files_of_other_writers_and_members_of_sets_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.ome.tiff"
    tifffile.imwrite(other, np.zeros((5, 8, 8), np.uint8), ome=True)
    with pytest.raises(UnsupportedError, match="does not contain the status"):
        repair(other)
    path = write_and_kill(settings(tmp_path, {"t": 4, "p": 2}), 2, 2)
    (path / ".ome-writers.lock").unlink()
    with pytest.raises(UnsupportedError, match="repair the folder .* instead"):
        repair(path / "x_p000.ome.tiff")


def test_links_are_refused(tmp_path: Path) -> None:
    path = write_and_kill(settings(tmp_path, {"t": 4}), 2, 2)
    create_link(tmp_path / "link.ome.tiff", path, "refusal to repair through a link")
    with pytest.raises(PermissionError, match="through a link"):
        repair(tmp_path / "link.ome.tiff")


@pytest.mark.parametrize("line", [0, 2, 5])
@pytest.mark.parametrize("torn", [b"\0\0\0\0\n", b'{"storage_index":[1,0\n', b"[1]\n"])
def test_torn_journal_line_is_skipped(tmp_path: Path, line: int, torn: bytes) -> None:
    """Power loss may tear any line; the metadata of all other frames are recovered."""
    path = write_and_kill(settings(tmp_path, {"t": 10}), 6, 6)
    journal = path.with_name(f".{path.name}.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[line] = torn
    journal.write_bytes(b"".join(lines))
    repair_and_check(path)
    serials = [frame["serial"] for frame in read_frame_metadata(path)]
    assert serials == [number for number in range(6) if number != line]
    assert validate(path).valid


def test_file_without_settings_is_refused_and_readable(tmp_path: Path) -> None:
    """A version before 1.0 wrote it."""
    path = tmp_path / "map_annotation.ome.tiff"
    shutil.copy(GOLDEN / path.name, path)
    shutil.copy(GOLDEN / "map_annotation.jsonl", tmp_path / f".{path.name}.jsonl")
    assert describe(path).status == "writing"
    before = path.read_bytes()
    with pytest.raises(UnsupportedError, match="another version of this library, whose settings"):
        repair(path)
    assert path.read_bytes() == before
    assert [frame["serial"] for frame in read_frame_metadata(path)] == [0, 1, 2]
    assert open_view(path)[2].any()
    assert read(path).metadata["lab"] == {"who": "me"}


@pytest.mark.parametrize("sizes", [b'SizeT="9"', b'SizeY="7"'])
def test_file_that_another_program_has_rewritten_is_refused(tmp_path: Path, sizes: bytes) -> None:
    path = write_and_kill(settings(tmp_path, {"t": 4}), 2, 2)
    content = path.read_bytes()
    name = sizes.partition(b'"')[0]
    changed = re.sub(name + rb'"\d"', sizes, content, count=1)
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(UnsupportedError, match="differ from the settings .* Nothing was changed"):
        repair(path)
    assert path.read_bytes() == changed
