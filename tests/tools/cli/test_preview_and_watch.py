"""``ome-writers preview`` and ``ome-writers watch``."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ome_writers import Dimension, create_stream, read
from ome_writers_tools.cli import main
from ome_writers_tools.cli.dataset_sheet import pixel_size, sufficient_level
from support.acquisitions import acquisition
from support.links import create_link
from support.waiting import WAIT_S

if TYPE_CHECKING:
    from pathlib import Path

PNG = b"\x89PNG\r\n"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """An OME-Zarr of six frames."""
    path = tmp_path / "a.ome.zarr"
    with create_stream(acquisition("single", path)) as stream:
        for number in range(6):
            stream.append(np.full((4, 6), number, "uint16"))
    return path


def test_preview_default_path_is_beside_dataset(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", str(dataset)]) == 0
    picture = dataset.with_name("a.png")
    assert capsys.readouterr().out == f"{picture}\n"
    assert picture.read_bytes().startswith(PNG)


def test_preview_json(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = dataset.with_name("sheet.png")
    assert main(["preview", str(dataset), "-o", str(picture), "--rows", "1", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == {"path": str(dataset), "picture": str(picture), "rows": 1, "columns": 3}
    assert picture.read_bytes().startswith(PNG)


def test_preview_replaces_only_with_overwrite(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = dataset.with_name("a.png")
    picture.write_bytes(b"mine")
    assert main(["preview", str(dataset)]) == 1
    streams = capsys.readouterr()
    assert str(picture) in streams.err
    assert "--overwrite" in streams.err
    assert streams.out == ""
    assert picture.read_bytes() == b"mine"
    assert main(["preview", str(dataset), "--overwrite"]) == 0
    assert picture.read_bytes().startswith(PNG)


def test_preview_does_not_follow_symlinks(dataset: Path) -> None:
    """A link at the output path is refused; ``--overwrite`` replaces the link, not its target."""
    picture, target = dataset.with_name("a.png"), dataset.with_name("notes.txt")
    target.write_bytes(b"mine")
    create_link(picture, target, "preview does not follow links")
    assert main(["preview", str(dataset)]) == 1
    assert main(["preview", str(dataset), "--overwrite"]) == 0
    assert target.read_bytes() == b"mine"
    assert picture.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "0"], "'0' is not an integer from 1 to"),
        (["-o", "sheet.jpg"], "sheet.jpg does not end in .png"),
    ],
)
def test_preview_usage_errors(
    dataset: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(dataset.parent.iterdir())
    assert main(["preview", str(dataset), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert set(dataset.parent.iterdir()) == before


def test_watch_ends_with_writer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.ome.zarr"
    status = []
    with create_stream(acquisition("single", path)) as stream:
        watching = threading.Thread(
            target=lambda: status.append(main(["watch", str(path), "--interval", "0.01", "--json"]))
        )
        watching.start()
        for number in range(6):
            stream.append(np.full((4, 6), number, "uint16"))
        assert watching.is_alive()
    watching.join(WAIT_S)
    assert status == [0]
    content = json.loads(capsys.readouterr().out)
    assert (content["status"], content["frames_written"]) == ("complete", 6)


def test_watch_prints_complete_dataset_once(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", str(dataset)]) == 0
    title, fields = capsys.readouterr().out.splitlines()
    assert title == str(dataset)
    assert "status complete" in fields
    assert "frames 6" in fields


def test_watch_missing_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path / "none.ome.zarr")]) == 1
    streams = capsys.readouterr()
    assert "does not exist" in streams.err
    assert not streams.out


def test_preview_reads_the_smallest_sufficient_level(tmp_path: Path) -> None:
    """Pictures have up to 256 pixels: level 1 of 600 x 400 is read, with its pixel size."""
    path = tmp_path / "run.ome.zarr"
    dimensions = [
        Dimension(name="y", count=400, scale=0.5, unit="micrometer"),
        Dimension(name="x", count=600, scale=0.5, unit="micrometer"),
    ]
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", pyramid={"levels": 3}
    ) as stream:
        stream.append(np.arange(240_000, dtype="uint16").reshape(400, 600))
    spec = read(path)
    level = sufficient_level(spec)
    assert (level, spec.images[0].levels[level].shape) == (1, (200, 300))
    assert pixel_size(spec, level) == (1.0, "micrometer")
    assert main(["preview", str(path)]) == 0
    assert (tmp_path / "run.png").exists()
