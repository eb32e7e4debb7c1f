"""OME-TIFFs whose writer was killed, and what repair makes of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tifffile", reason="it judges what repair has made")

import tifffile
from ome_types import from_tiff

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OutputLockedError,
    UnsupportedError,
    convert,
    create_stream,
    read_frame_metadata,
    validate,
)
from ome_writers import open as open_view
from ome_writers.cli.description import describe
from ome_writers.repair import Repair, repair
from ome_writers.storage.lock_file import lock_content, lock_path

CHILD = """
import json, os, signal, sys
import numpy as np
from ome_writers import AcquisitionSettings, create_stream
settings, flushed, appended, metadata = json.load(sys.stdin)
stream = create_stream(AcquisitionSettings.model_validate(settings))
shape = (4, 6, 3) if settings["rgb"] else (4, 6)
for i in range(appended):
    facts = {"delta_t": i / 4, "serial": i} if metadata else None
    frame = np.full(shape, i + 1, "uint16")
    if settings["rgb"]:
        frame += np.arange(3, dtype="uint16") * 100
    stream.append(frame, frame_metadata=facts)
    if i + 1 == flushed:
        stream.flush()
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""
FRAME = (4, 6)
GOLDEN = Path(__file__).parents[2] / "golden" / "ometiff"
# tifffile's own, of sets
pytestmark = pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")


def settings(path: Path, axes: dict[str, int], **more: Any) -> AcquisitionSettings:
    """Return settings; an axis of 0 has no end."""
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


def killed(
    asked: AcquisitionSettings, flushed: int, appended: int, *, metadata: bool = True
) -> Path:
    """Write frames in a process that kills itself; return the dataset it leaves."""
    told = json.dumps([asked.model_dump(mode="json"), flushed, appended, metadata])
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=told, text=True, capture_output=True, timeout=120
    )
    assert done.returncode in (-getattr(signal, "SIGKILL", 9), 1, 15), done.stderr
    return Path(asked.output_path)


def around(path: Path) -> dict[str, str]:
    """Return a checksum of the file and all beside it, or of all in the folder."""
    files = sorted((path if path.is_dir() else path.parent).iterdir())
    return {f.name: hashlib.md5(f.read_bytes()).hexdigest() for f in files if f.is_file()}


def repaired(path: Path) -> Repair:
    """Repair, after a dry run that changes nothing and says the same, and before one that finds nothing."""
    before = around(path)
    planned = repair(path, dry_run=True)
    assert around(path) == before
    made = repair(path)
    assert [f.what for f in made.findings] == [f.what for f in planned.findings]
    after = around(path)
    assert not repair(path).findings
    assert around(path) == after
    return made


def images(path: Path) -> list[np.ndarray]:
    """Return the pixels of each image as tifffile reads them; of a set, what the pages of each file are."""
    if path.is_file():
        with tifffile.TiffFile(path) as tiff:
            return [series.asarray() for series in tiff.series]
    found = []
    for file in sorted(path.glob("*.ome.tiff")):
        with tifffile.TiffFile(file) as tiff:
            found.append(np.stack([page.asarray() for page in tiff.pages]))
            if len(tiff.series) > 1:  # it knows of the others
                series = tiff.series[len(found) - 1].asarray()
                np.testing.assert_array_equal(series.reshape(found[-1].shape), found[-1])
    return found


FORMS: dict[str, dict[str, Any]] = {
    "bounded": {"axes": {"t": 10, "c": 2}, "reached": (6, 2)},
    "compressed": {"axes": {"t": 10, "c": 2}, "reached": (6, 2), "compression": "deflate"},
    "unbounded": {"axes": {"t": 0, "c": 2}, "reached": (6, 2)},
    "unbounded, compressed": {
        "axes": {"t": 0, "z": 2}, "reached": (6, 2), "compression": "zstd",
    },
    "unbounded, stored inside": {
        "axes": {"t": 0, "c": 2}, "reached": (6, 2), "order": ["c", "t"],
    },
    "one axis": {"axes": {"t": 50}, "reached": (11,)},
    "channels first": {"axes": {"c": 3, "t": 9}, "reached": (2, 9)},
    "kept": {"axes": {"t": 10, "c": 2}, "reached": (10, 2), "on_incomplete": "keep"},
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("metadata", [True, False])
def test_a_killed_file_becomes_tidy(name: str, metadata: bool, tmp_path: Path) -> None:
    """What was flushed stays with its metadata, what was never reached goes, and the dataset is valid."""
    form = dict(FORMS[name])
    axes, reached = form.pop("axes"), form.pop("reached")
    path = killed(settings(tmp_path, axes, **form), 11, 11, metadata=metadata)
    journalled = read_frame_metadata(path)
    assert repaired(path).findings
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
        place = tuple(index[axis] for axis in order)
        assert expected[place] == frame["serial"] + 1, letters
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
def test_a_killed_set_becomes_tidy(mode: str, axes: dict[str, int], tmp_path: Path) -> None:
    """All files of a set say the same of what was reached at each position."""
    asked = settings(tmp_path, axes, format={"multi_file_metadata": mode})
    path = killed(asked, 5, 5)
    assert repaired(path).findings
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
    """Pages in the middle of a file are left out together with what is said of them."""
    asked = settings(
        tmp_path, axes, format={"prefer_single_file": "always"}, compression=compression
    )
    path = killed(asked, 5, 5)
    assert repaired(path).findings
    found = [image.reshape(-1, *FRAME)[:, 0, 0].tolist() for image in images(path)]
    assert found == [[1, 4], [2, 5], [3]]
    known = read_frame_metadata(path)
    assert [(f["image"], f["serial"]) for f in known] == [(0, 0), (0, 3), (1, 1), (1, 4), (2, 2)]
    checked = validate(path)
    assert checked.valid, checked.findings


COLOURS: dict[str, dict[str, Any]] = {
    "bounded": {"axes": {"t": 10}, "reached": [7]},
    "compressed, stored inside": {
        "axes": {"c": 2, "t": 5}, "order": ["t", "c"], "compression": "zstd", "reached": [10],
    },
    "unbounded": {"axes": {"t": 0}, "reached": [7]},
    "set": {"axes": {"t": 5, "p": 2}, "reached": [4, 3]},
    "one file": {
        "axes": {"t": 5, "p": 2}, "reached": [4, 3], "format": {"prefer_single_file": "always"},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_kept(name: str, tmp_path: Path) -> None:
    """Frames of three colours, with the channel that they are, survive a kill and `repair`; places stay right."""
    form = dict(COLOURS[name])
    axes, reached = form.pop("axes"), form.pop("reached")
    path = killed(settings(tmp_path, axes, rgb=True, **form), 7, 7)
    for tidy in (False, True):
        if tidy:
            assert repaired(path).findings
        view = np.asarray(open_view(path))
        assert view.shape[-3:] == (*FRAME, 3)
        planes = view.reshape(-1, *FRAME, 3)
        there = planes[planes[:, 0, 0, 0] > 0]
        assert sorted(there[:, 0, 0, 0].tolist()) == list(range(1, 8))
        colours = there - there[..., :1]
        np.testing.assert_array_equal(colours, np.broadcast_to([0, 100, 200], there.shape))
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


def test_a_file_killed_after_its_last_frame_is_complete(tmp_path: Path) -> None:
    """When every frame is there, nothing is cut and the status is complete."""
    path = killed(settings(tmp_path, {"t": 3, "c": 2}), 6, 6, metadata=False)
    repaired(path)
    with tifffile.TiffFile(path) as tiff:
        assert '"status":"complete"' in (tiff.ome_metadata or "")
        assert '"frames_written":6,' in (tiff.ome_metadata or "")
        assert tiff.series[0].shape == (3, 2, *FRAME)


@pytest.mark.parametrize("metadata", [True, False])
def test_a_file_killed_before_its_first_frame(tmp_path: Path, metadata: bool) -> None:
    """One plane of zeros is left, and it is said that no frame came; one frame that came is counted."""
    path = killed(settings(tmp_path, {"t": 3, "c": 2}), 0, 0)
    repaired(path)
    with tifffile.TiffFile(path) as tiff:
        assert '"frames_written":0,' in (tiff.ome_metadata or "")
        assert not tiff.asarray().any()
    folder = tmp_path / "one"
    folder.mkdir()
    path = killed(settings(folder, {}), 1, 1, metadata=metadata)
    repaired(path)
    with tifffile.TiffFile(path) as tiff:
        assert '"status":"complete"' in (tiff.ome_metadata or "")
        assert tiff.asarray().max() == 1
    assert validate(path).valid


def test_channels_that_were_never_reached_go(tmp_path: Path) -> None:
    """When the slowest axis are the channels, those that have no plane are no longer described."""
    path = killed(settings(tmp_path, {"c": 3, "t": 4}), 5, 5)
    repaired(path)
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata or ""
    assert 'Name="c1"' in text
    assert 'Name="c2"' not in text
    assert validate(path).valid


def test_what_clients_wrote_stays(tmp_path: Path) -> None:
    """Global metadata and edited documents are those that the client has written."""
    asked = settings(tmp_path, {"t": 10}).model_copy(update={"flush_interval": 3600.0})
    stream = create_stream(asked)
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
    repaired(left / "x.ome.tiff")
    with tifffile.TiffFile(left / "x.ome.tiff") as tiff:
        text = tiff.ome_metadata or ""
        assert tiff.series[0].shape == (4, *FRAME)
    assert "mine &amp; &lt;yours&gt;" in text
    assert '<M K="status">writing</M><M K="who">me</M>' in text
    assert '"status":"failed"' in text
    assert [f["serial"] for f in read_frame_metadata(left / "x.ome.tiff")] == [0, 1, 2, 3]
    assert validate(left / "x.ome.tiff").valid


def test_a_closed_file_is_left_alone(tmp_path: Path) -> None:
    """In a dataset that was closed there is nothing to repair."""
    asked = settings(tmp_path, {"t": 4, "p": 2})
    with create_stream(asked) as stream:
        stream.append(np.zeros(FRAME, np.uint16), frame_metadata={"a": 1})
    before = around(Path(asked.output_path))
    assert not repair(asked.output_path).findings
    assert around(Path(asked.output_path)) == before


def test_a_living_writer_is_not_disturbed(tmp_path: Path) -> None:
    """While a process that lives holds the lock, repair refuses."""
    path = killed(settings(tmp_path, {"t": 4}), 2, 2)
    lock_path(path, folder=False).write_bytes(lock_content())
    with pytest.raises(OutputLockedError, match="is being written by process"):
        repair(path)


def test_what_is_not_ours_is_refused(tmp_path: Path) -> None:
    """TIFFs of others, links, and single files of a set are left as they are, with a reason."""
    other = tmp_path / "other.ome.tiff"
    tifffile.imwrite(other, np.zeros((5, 8, 8), np.uint8), ome=True)
    with pytest.raises(UnsupportedError, match="does not record how it was written"):
        repair(other)
    path = killed(settings(tmp_path, {"t": 4, "p": 2}), 2, 2)
    (path / ".ome-writers.lock").unlink()
    with pytest.raises(UnsupportedError, match="repair the folder"):
        repair(path / "x_p000.ome.tiff")
    (tmp_path / "link.ome.tiff").symlink_to(path / "x_p000.ome.tiff")
    with pytest.raises(PermissionError, match="is a symbolic link"):
        repair(tmp_path / "link.ome.tiff")


@pytest.mark.parametrize("line", [0, 2, 5])
@pytest.mark.parametrize("torn", [b"\0\0\0\0\n", b'{"storage_index":[1,0\n', b"[1]\n"])
def test_a_line_that_nobody_can_read_costs_no_other(tmp_path: Path, line: int, torn: bytes) -> None:
    """What power loss makes of a line of the journal is left out; the metadata of all other frames are there."""
    path = killed(settings(tmp_path, {"t": 10}), 6, 6)
    journal = path.with_name(f".{path.name}.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[line] = torn
    journal.write_bytes(b"".join(lines))
    repaired(path)
    told = [frame["serial"] for frame in read_frame_metadata(path)]
    assert told == [number for number in range(6) if number != line]
    assert validate(path).valid


def test_facts_in_a_map_annotation_are_read(tmp_path: Path) -> None:
    """A file of a pre-release, with facts in a MapAnnotation and a killed writer, is repaired and converted."""
    path = tmp_path / "map_annotation.ome.tiff"
    shutil.copy(GOLDEN / path.name, path)
    shutil.copy(GOLDEN / "map_annotation.jsonl", tmp_path / f".{path.name}.jsonl")
    assert describe(path).status == "writing"
    repaired(path)
    described = describe(path)
    assert (described.status, described.frames_written, described.frames_expected) == (
        "failed",
        3,
        4,
    )
    assert [frame["serial"] for frame in read_frame_metadata(path)] == [0, 1, 2]
    model = from_tiff(path)
    notes = model.structured_annotations.map_annotations
    assert [(note.namespace, dict(note.value)) for note in notes] == [
        ("lab", {"who": '"me"'}),
        *(("ome_writers/frame_metadata", {"serial": str(i)}) for i in range(3)),
    ]
    done = convert(path, tmp_path / "copy.ome.zarr")
    assert done.frames == 3
    attributes = json.loads((tmp_path / "copy.ome.zarr" / "zarr.json").read_text())["attributes"]
    assert attributes["lab"] == {"who": "me"}
