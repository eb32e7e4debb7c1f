"""All engines write the same metadata."""

from __future__ import annotations

import json
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines.cases import Case, covering, frame, pairwise
from engines.test_engines import ZARR, by_name
from ome_writers import create_stream
from ome_writers.routing import resolve
from ome_writers.storage import unsupported_reasons
from support.dataset_readers import read_images

if TYPE_CHECKING:
    from collections.abc import Sequence

FACTORS: dict[str, Sequence[str]] = {
    "layout": ("single", "collection", "plate"),
    "order": ("tpcz", "ptcz", "tzcp"),
    "dtype": ("uint8", "uint16", "float64"),
    "compression": ("none", "blosc-zstd", "blosc-lz4", "zstd"),
    "chunks": ("frames", "halves", "shards over t", "deep shards"),
    "ending": ("complete", "skipped", "unbounded", "cancelled", "kept"),
}
CASES = pairwise(FACTORS)
CHOSEN = covering(CASES, FACTORS)
ENDINGS = [
    ("single", "unbounded"),
    ("single", "cancelled"),
    ("collection", "complete"),
    ("collection", "kept"),
    ("plate", "skipped"),
    ("plate", "cancelled"),
]


def written(row: Any, case: Case, folder: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Write a case with an engine; return every metadata file by path, and the pixels that other readers see."""
    settings = case.settings(folder, row.name, row.format)
    with create_stream(settings) as stream:
        stream.set_global_metadata("lab", {"room": 3})
        for number, index in enumerate(case.indices()):
            if index is None:
                stream.skip()
            else:
                stream.append(frame(number, case.dtype), frame_metadata={"number": number})
    root = Path(settings.output_path)
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".json":
            found[name] = json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".xml", ".jsonl"):
            text = path.read_text(encoding="utf-8")
            found[name] = re.sub("<AcquisitionDate>.*?</AcquisitionDate>", "", text)
    attributes = found["zarr.json"]["attributes"]["ome_writers"]
    del attributes["id"], attributes["started"], attributes["updated"]  # a random id, and times
    del (
        attributes["settings"]["format"],
        attributes["settings"]["root_path"],
    )  # engine and directory
    return found, read_images(stream.plan)


@cache
def written_by_first_engine(case: Case) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return the output of the first engine for a case."""
    with tempfile.TemporaryDirectory() as folder:
        return written(ZARR[0], case, Path(folder))


def without_shards(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata with shards of one chunk, the only ones that acquire-zarr supports, replaced by that chunk."""
    for entry in metadata.values():
        if isinstance(entry, dict) and entry.get("node_type") == "array":
            (shard,) = entry["codecs"]
            inside = shard["configuration"]
            assert entry["chunk_grid"]["configuration"]["chunk_shape"] == inside["chunk_shape"]
            entry["codecs"] = inside["codecs"]
    return metadata


@pytest.mark.parametrize(
    ("row", "case"),
    [
        pytest.param(
            *(row, case),
            id=f"{case}-{by_name(row)}",
            # each choice, with every second engine
            marks=() if case in CHOSEN[number % 2 :: 2] else pytest.mark.sweep,
        )
        for number, row in enumerate(ZARR[1:])
        for case in CASES
    ],
)
def test_engines_write_equal_metadata_and_pixels(row: Any, case: Case, tmp_path: Path) -> None:
    """Metadata, including the codecs, and pixels equal those of the first engine."""
    if reasons := unsupported_reasons(row, resolve(case.settings(tmp_path, row.name, row.format))):
        pytest.skip(f"metadata equal those of the first engine: {row.name}: {reasons[0]}")
    metadata, pixels = written_by_first_engine(case)
    others, seen = written(row, case, tmp_path)
    if row.name == "acquire-zarr" and "shards" not in case.chunks:
        others = without_shards(others)
    assert others == metadata
    assert all(np.array_equal(a, b) for a, b in zip(pixels, seen, strict=True))


# the image of a grid cell is named name_row_column
@pytest.mark.filterwarnings("error:The FieldOfView.path:UserWarning")
@pytest.mark.parametrize(
    ("row", "layout", "ending"),
    [
        pytest.param(
            *(row, layout, ending),
            id=f"{layout}-{ending}-{by_name(row)}",
            # all endings of the first engine, and two of each other, which writes the same metadata
            marks=() if first == 0 or (first + number) % 3 == 0 else pytest.mark.sweep,
        )
        for first, row in enumerate(ZARR)
        for number, (layout, ending) in enumerate(ENDINGS)
    ],
)
def test_validators_accept_metadata(row: Any, layout: str, ending: str, tmp_path: Path) -> None:
    """Yaozarrs and ome-zarr-models accept the metadata of each engine, however the run ended."""
    yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")
    models = pytest.importorskip("ome_zarr_models", reason="a validator of OME-Zarr")
    zarr = pytest.importorskip("zarr", reason="ome-zarr-models opens with it; it needs Python 3.11")

    case = Case(layout=layout, chunks="shards over t", ending=ending)
    written(row, case, tmp_path)
    root = tmp_path / "out.ome.zarr"
    yaozarrs.validate_zarr_store(str(root))
    # ome-zarr-models 1.7 has no model for collections of 0.5, so its images are validated
    for image in {"single": ".", "collection": "01", "plate": "."}[layout]:
        group = zarr.open_group(str(root / image), mode="r")
        assert models.open_ome_zarr(group, version="0.5") is not None
