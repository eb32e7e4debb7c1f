"""A format of another package: one folder and one row make it available to every function of the library."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Channel, Dimension, Position
from ome_writers.settings import engines
from ome_writers.testing import EngineContract
from ome_writers_tools.cli import main
from support.interrupted import repair_and_check, write_and_kill
from support.preloaded import run_python
from support.raw_planes import ROW, RawPlanesFormat

FRAMES = np.arange(1, 2 * 3 * 2 * 4 * 6 + 1, dtype="uint16").reshape(2, 3, 2, 4, 6)


@pytest.fixture(autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install the format as a package with an entry point, also for child processes."""
    site = tmp_path_factory.mktemp("site")
    info = site / "raw_planes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: raw-planes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ome_writers.formats]\nraw-planes = support.raw_planes:ROW\n"
    )
    monkeypatch.syspath_prepend(str(site))
    paths = [str(site), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setattr("support.interrupted.run_python", partial(run_python, new_interpreter=True))
    engines._installed_rows.cache_clear()
    yield
    engines._installed_rows.cache_clear()
    engines._temporary_patterns.cache_clear()  # computed from these rows


class TestRawPlanes(EngineContract):
    row = ROW.engines[0]


def settings(path: Path, **more: Any) -> AcquisitionSettings:
    """Return settings for two positions, two channels and three time points of 4 x 6 pixels."""
    dimensions = [
        Dimension(name="p", type="position", coords=[Position(name="a"), Position(name="b")]),
        Dimension(name="t", count=3),
        Dimension(name="c", coords=[Channel(name="DAPI"), Channel(name="FITC")]),
        Dimension(name="y", count=4, scale=0.5, unit="micrometer"),
        Dimension(name="x", count=6, scale=0.5, unit="micrometer"),
    ]
    return AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16", **more)


def write(path: Path, **more: Any) -> Path:
    with ome_writers.create_stream(settings(path, **more)) as stream:
        stream.set_global_metadata("notes", {"operator": "Ada"})
        for number, frame in enumerate(FRAMES.reshape(-1, 4, 6)):
            stream.append(frame, frame_metadata={"delta_t": number / 4})
    return Path(stream.settings.output_path)


@pytest.mark.parametrize(
    ("root_path", "value"),
    [
        ("run.planes", "auto"),
        ("run", "raw-planes"),
        ("run", "raw-files"),
        ("run", {"name": "raw-planes"}),
        ("run", RawPlanesFormat()),
    ],
)
def test_settings_accept_the_format(root_path: str, value: Any) -> None:
    """By suffix, name, engine, fields and object; assignment and JSON keep it."""
    made = AcquisitionSettings(root_path=root_path, format=value)
    assert isinstance(made.format, RawPlanesFormat)
    assert made.format.backend in ("auto", "raw-files")
    assert made.format.get_output_path(root_path) == "run.planes"
    assert AcquisitionSettings.model_validate_json(made.model_dump_json()) == made
    made.format = "ome-tiff"
    made.format = {"name": "raw-planes", "suffix": ""}
    assert made.format == RawPlanesFormat(suffix="")


def test_settings_are_validated_by_the_format() -> None:
    with pytest.raises(ValueError, match="must be 'raw-files' or 'auto', got 'direct'"):
        RawPlanesFormat(backend="direct")
    with pytest.raises(ValueError, match="'zstd' is not supported for raw planes"):
        AcquisitionSettings(root_path="run.planes", compression="zstd")
    with pytest.raises(ValueError, match="unknown field"):
        AcquisitionSettings(root_path="run", format={"name": "raw-planes", "version": "2"})


def test_stream_and_readers(tmp_path: Path) -> None:
    """Of `create_stream`, `open`, `read` and `read_frame_metadata`."""
    path = write(tmp_path / "run.planes")
    assert sorted(file.name for file in path.iterdir()) == [
        "dataset.json", "image_0.jsonl", "image_0.raw", "image_1.jsonl", "image_1.raw",
    ]  # fmt: skip
    view = ome_writers.open(path)
    assert view.dims == ("p", "t", "c", "y", "x")
    assert np.array_equal(view[...], FRAMES)
    spec = ome_writers.read(path)
    assert (spec.format, spec.version, spec.status) == ("raw-planes", "1.0", "complete")
    assert [channel.name for channel in spec.images[1].channels] == ["DAPI", "FITC"]
    assert spec.metadata == {"notes": {"operator": "Ada"}}
    frames = ome_writers.read_frame_metadata(path)
    assert [frame["delta_t"] for frame in frames] == [n / 4 for n in range(12)]


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a dataset, and of a directory with datasets of several formats."""
    path = write(tmp_path / "run.planes")
    assert main(["info", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["status"]) == ("raw planes 1.0", "complete")
    write(tmp_path / "other.ome.zarr")
    assert main(["info", str(tmp_path), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["datasets"]
    assert [each["format"] for each in listed] == ["OME-Zarr 0.5", "raw planes 1.0"]


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff", ".planes"])
def test_convert(tmp_path: Path, suffix: str) -> None:
    """From the other formats and to them, with names, pixel sizes and metadata."""
    if suffix == ".ome.tiff":
        pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
    source = write(tmp_path / f"source{suffix}")
    there = ome_writers.convert(source, tmp_path / "there.planes", verify=True).destination
    back = ome_writers.convert(there, tmp_path / f"back{suffix}", verify=True).destination
    assert np.array_equal(ome_writers.open(back)[...], FRAMES)
    for path in (there, back):
        spec = ome_writers.read(path)
        assert [image.name for image in spec.images] == ["a", "b"]
        assert spec.images[0].levels[0].scale[-1] == 0.5
        assert spec.metadata["notes"] == {"operator": "Ada"}
        frames = ome_writers.read_frame_metadata(path)
        assert [frame["delta_t"] for frame in frames] == [n / 4 for n in range(12)]


def test_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "run.planes")
    assert ome_writers.validate(path).valid
    (path / "dataset.json").write_text('{"settings": {}}')
    assert main(["validate", str(path), "--json"]) == 1
    checks = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["dataset.json"]["findings"]


def test_repair_after_a_kill(tmp_path: Path) -> None:
    path = write_and_kill(settings(tmp_path / "run.planes"), flushed=7, appended=7)
    assert ome_writers.read(path).status == "writing"
    assert not ome_writers.validate(path).valid
    repair_and_check(path)
    assert ome_writers.validate(path).valid
    assert ome_writers.read(path).status == "failed"
    found = ome_writers.open(path)[...][..., 0, 0].reshape(-1)
    assert found.tolist() == [1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0]


def test_overwrite_needs_proof_of_ownership(tmp_path: Path) -> None:
    """A dataset of this library is replaced; foreign files, and folders without proof, are kept."""
    path = write(tmp_path / "run.planes")
    write(path, overwrite=True)
    write_and_kill(settings(path, overwrite=True), flushed=1, appended=2)
    write(path, overwrite=True)
    (path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"not part of the dataset .*'notes.txt'"):
        write(path, overwrite=True)
    (path / "dataset.json").write_text('{"raw_planes": 1}')
    with pytest.raises(FileExistsError, match="is not a dataset that this library wrote"):
        write(path, overwrite=True)


def test_package_that_cannot_be_imported_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A defective package must not prevent an acquisition in another format."""
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ome_writers.formats]\nbroken = no_such_module:ROW\n")
    monkeypatch.syspath_prepend(str(info.parent))
    engines._installed_rows.cache_clear()
    with pytest.raises(ValueError, match="Unknown format 'broken'"):
        settings(tmp_path / "run", format="broken")
    assert "No module named 'no_such_module'). Update or remove the package broken" in caplog.text
    assert np.array_equal(ome_writers.open(write(tmp_path / "run.ome.zarr"))[...], FRAMES)
