"""No operation parses the same OME-XML twice; that of a large dataset takes seconds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("tifffile", reason="tifffile reads the pixels")

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, create_stream
from ome_writers.formats.ome_xml import parsing
from ome_writers_tools.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS: dict[str, Callable[[Path], object]] = {
    "info": lambda path: main(["info", str(path)]),
    "validate": lambda path: main(["validate", str(path)]),
    "preview": lambda path: main(["preview", str(path), "-o", f"{path}.png"]),
    "convert": lambda path: ome_writers.convert(path, f"{path}.ome.zarr"),
    "read": ome_writers.read,
    "read_frame_metadata": ome_writers.read_frame_metadata,
    "open": lambda path: np.asarray(ome_writers.open(path)),
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Collect the documents that are parsed."""
    found: list[bytes] = []
    parse_xml = parsing.parse_xml

    def count(text: bytes, name: object) -> object:
        found.append(text)
        return parse_xml(text, name)

    monkeypatch.setattr(parsing, "parse_xml", count)
    return found


def _write(folder: Path, positions: int, **options: str) -> Path:
    settings = AcquisitionSettings(
        root_path=folder / "x.ome.tiff",
        dimensions=[
            Dimension(name="p", type="position", coords=[f"p{n}" for n in range(positions)]),
            *(Dimension(name=name, count=8) for name in "tyx"),
        ],
        dtype="uint16",
        format={"name": "ome-tiff", **options},
    )
    with create_stream(settings) as stream:
        for number in range(8 * positions):
            stream.append(np.full((8, 8), number, "uint16"), frame_metadata={"delta_t": number})
    return Path(settings.output_path)


@pytest.fixture(scope="module", params=["redundant", "master-tiff", "companion-file", "one file"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {"multi_file_metadata": request.param}
    if request.param == "one file":
        files = {"prefer_single_file": "always"}
    return _write(tmp_path_factory.mktemp("dataset"), 3, **files)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_document_is_parsed_once(
    operation: str, dataset: Path, tmp_path: Path, parsed: list[bytes]
) -> None:
    copy = shutil.copytree(dataset.parent, tmp_path / "copy")
    OPERATIONS[operation](copy / dataset.name)
    assert parsed
    assert len(parsed) == len(set(parsed))


@pytest.mark.parametrize("mode", ["redundant", "master-tiff", "companion-file"])
def test_documents_of_a_large_set_are_not_parsed_for_each_link(
    mode: str, tmp_path: Path, parsed: list[bytes]
) -> None:
    """More of them than are kept in memory."""
    path = _write(tmp_path, 20, multi_file_metadata=mode)
    parsed.clear()
    assert ome_writers.validate(path).valid
    assert max(map(parsed.count, parsed)) <= 4
