"""No operation parses the same OME-XML twice; that of a large dataset takes seconds."""

from __future__ import annotations

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


@pytest.mark.parametrize("mode", ["redundant", "master-tiff", "companion-file", "one file"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_document_is_parsed_once(
    operation: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = (
        {"prefer_single_file": "always"} if mode == "one file" else {"multi_file_metadata": mode}
    )
    settings = AcquisitionSettings(
        root_path=tmp_path / "x.ome.tiff",
        dimensions=[
            Dimension(name="p", type="position", coords=["a", "b", "c"]),
            *(Dimension(name=name, count=8) for name in "tyx"),
        ],
        dtype="uint16",
        format={"name": "ome-tiff", **files},
    )
    with create_stream(settings) as stream:
        for number in range(24):
            stream.append(np.full((8, 8), number, "uint16"), frame_metadata={"delta_t": number})
    parsed: list[bytes] = []
    parse_xml = parsing.parse_xml

    def count(text: bytes, name: object) -> object:
        parsed.append(text)
        return parse_xml(text, name)

    monkeypatch.setattr(parsing, "parse_xml", count)
    OPERATIONS[operation](Path(settings.output_path))
    assert parsed
    assert len(parsed) == len(set(parsed))
