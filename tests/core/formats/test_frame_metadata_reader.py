"""`read_frame_metadata` of datasets in every format."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    InvalidFileError,
    MetadataError,
    OmeTiffFormat,
    UnsupportedError,
    create_stream,
    dims_from_standard_axes,
    read_frame_metadata,
)
from ome_writers.formats import frame_metadata
from ome_writers_tools.cli.description import describe
from support.acquisitions import LAYOUTS, acquisition
from support.links import KINDS, create_link

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME = np.zeros((4, 6), "uint16")


def metadata_of(number: int) -> dict[str, Any]:
    """Return the metadata of frame `number`."""
    return {"delta_t": number / 4, "position_x": 1.5, "more": {"n": [number]}, "label": "7"}


def run(settings: Any, frames: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Append frames; return the metadata read while the stream is open, and after `close`."""
    with create_stream(settings) as stream:
        for i in range(frames):
            stream.append(FRAME, frame_metadata=metadata_of(i))
        stream.flush()
        live = read_frame_metadata(stream.settings.output_path)
    return live, read_frame_metadata(settings.output_path)


LABELS = {
    "single": [""],
    "collection": ["left", "right/.."],
    "plate": ["A1/left", "A1/left_1", "B2/right"],
}


def expected(layout: str, frames: int) -> list[dict[str, Any]]:
    """Return the expected result: image by image, in order."""
    labels = LABELS[layout]
    count = len(labels)
    entries = []
    for number in range(frames):
        t, rest = divmod(number, 2 * count)
        p, c = divmod(rest, 2)
        index: dict[str, Any] = {"t": t, "c": c}
        entry = {"storage_index": [t, c], "index": index, **metadata_of(number)}
        if count > 1:
            entry["image"], index["p"] = p, labels[p]
        entries.append((p, entry))
    return [entry for _, entry in sorted(entries, key=lambda e: e[0])]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_read_frame_metadata_of_omezarr(layout: str, tmp_path: Path) -> None:
    """While writing and after `close`."""
    live, closed = run(acquisition(layout, tmp_path / "a.ome.zarr"), 5)
    assert live == closed == expected(layout, 5)


def test_read_frame_metadata_from_journal_above_embed_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ome_writers.formats.omezarr.metadata.EMBED_BYTES", 100)
    _, closed = run(acquisition("collection", tmp_path / "a.ome.zarr"), 9)
    assert closed == expected("collection", 9)
    assert (tmp_path / "a.ome.zarr" / "0" / frame_metadata.JOURNAL_NAME).exists()


def test_read_frame_metadata_of_one_image_group(tmp_path: Path) -> None:
    run(acquisition("collection", tmp_path / "a.ome.zarr"), 9)
    entries = expected("collection", 9)
    own = [{k: v for k, v in e.items() if k != "image"} for e in entries if e["image"] == 1]
    for entry in own:
        del entry["index"]["p"]
    assert read_frame_metadata(tmp_path / "a.ome.zarr" / "1") == own


@pytest.mark.parametrize("mode", ["redundant", "master-tiff", "companion-file"])
@pytest.mark.parametrize("layout", ["single", "collection"])
def test_read_frame_metadata_of_ometiff(layout: str, mode: str, tmp_path: Path) -> None:
    """In each mode of `multi_file_metadata`; images by number."""
    pytest.importorskip("tifffile")
    tiff = {"name": "ome-tiff", "multi_file_metadata": mode}
    live, closed = run(acquisition(layout, tmp_path / "a.ome.tiff", format=tiff), 5)
    wanted = expected(layout, 5)
    for entry in wanted:
        entry["storage_index"] = [0, *entry["storage_index"]]  # z does not exist
    assert live == closed == wanted


@pytest.mark.parametrize("layout", ["single", "collection"])
def test_read_frame_metadata_of_scratch_store(layout: str, tmp_path: Path) -> None:
    live, closed = run(acquisition(layout, tmp_path / "a", format="scratch"), 5)
    assert live == closed == expected(layout, 5)


def test_read_frame_metadata_is_empty_without_metadata(tmp_path: Path) -> None:
    settings = acquisition("single", tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        stream.append(FRAME)
    assert read_frame_metadata(settings.output_path) == []


@pytest.mark.parametrize("frame", [{"a": 1}, {"storage_index": [2**70, "x", None]}])
def test_frame_metadata_with_an_invalid_index_is_refused(
    frame: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "x.ome.zarr"
    create_stream(acquisition("collection", path)).close()
    node = path / "0" / "zarr.json"
    document = json.loads(node.read_text("utf-8"))
    document["attributes"]["ome_writers"]["frame_metadata"] = [frame]
    node.write_text(json.dumps(document), "utf-8")
    with pytest.raises(InvalidFileError, match="x.ome.zarr"):
        ome_writers.read_frame_metadata(path)


def test_read_frame_metadata_refuses_other_paths(tmp_path: Path) -> None:
    """A missing path, another folder, another file."""
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_frame_metadata(tmp_path / "none")
    with pytest.raises(UnsupportedError, match="contains neither an OME-Zarr"):
        read_frame_metadata(tmp_path)
    (tmp_path / "a.ome.tif").write_bytes(b"no TIFF at all......")
    with pytest.raises(UnsupportedError, match="neither an OME-TIFF"):
        read_frame_metadata(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("read", [read_frame_metadata, ome_writers.open, describe])
def test_ome_xml_with_doctype_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    """In a companion file and in a TIFF, by every reader."""
    settings = acquisition("collection", tmp_path / "a.ome.tif")
    settings.format = OmeTiffFormat(multi_file_metadata="companion-file")
    with create_stream(settings) as stream:
        stream.append(FRAME)
    (companion,) = Path(settings.output_path).glob("*.companion.ome")
    companion.write_bytes(b'<!DOCTYPE x [<!ENTITY y "z">]>' + companion.read_bytes())
    with pytest.raises(UnsupportedError, match="DOCTYPE"):
        read(Path(settings.output_path))


@pytest.mark.parametrize("series", ["../outside.zarr", "/etc", "a/../../outside.zarr", *KINDS, ""])
def test_series_outside_the_dataset_are_refused(series: str, tmp_path: Path) -> None:
    """Also behind a link."""
    settings = acquisition("single", tmp_path / "outside.zarr")
    with create_stream(settings) as stream:
        stream.append(FRAME, frame_metadata={"secret": 1})
    root = tmp_path / "root"
    (root / "OME").mkdir(parents=True)
    if series in KINDS:
        create_link(root / series, tmp_path / "outside.zarr", "refusal of linked series", series)
    for folder, ome in [(root, {"bioformats2raw.layout": 3}), (root / "OME", {"series": [series]})]:
        (folder / "zarr.json").write_text(json.dumps({"attributes": {"ome": ome}}))
    with pytest.raises(
        UnsupportedError, match="is not inside the dataset|leads out of the dataset"
    ):
        read_frame_metadata(root)


def _settings(path: Path, format: str, **more: Any) -> AcquisitionSettings:
    dimensions = more.pop("dimensions", dims_from_standard_axes({"t": 2, "y": 4, "x": 6}))
    return AcquisitionSettings(
        root_path=path, format=format, dimensions=dimensions, dtype="uint16", **more
    )


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff", "scratch"])
@pytest.mark.parametrize("levels", [2, 100, 127, 128, 150, 199, 200, 230, 253, 254])
def test_nested_metadata_is_refused_or_read_back(tmp_path: Path, format: str, levels: int) -> None:
    """In group metadata and in the OME-XML of a collection."""
    metadata = {"nested": _nested(levels)}
    settings = _settings(tmp_path / "x", format)
    # and the mapping itself; pydantic serializes fewer levels on Windows, where threads have small stacks
    accepted = levels < (128 if os.name != "nt" else 99)
    with create_stream(settings) as stream:
        if accepted:
            stream.append(FRAME, frame_metadata=metadata)
        else:
            with pytest.raises(MetadataError, match="128 levels|depth exceeded"):
                stream.append(FRAME, frame_metadata=metadata)
    found = read_frame_metadata(settings.output_path)
    assert [frame["nested"] for frame in found] == [metadata["nested"]] * accepted


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff", "scratch"])
@pytest.mark.parametrize("metadata", [{"n": 10**400}, {"delta_t": 10**400}, {"n": [-(10**5000)]}])
def test_numbers_beyond_floats_are_refused(
    tmp_path: Path, format: str, metadata: dict[str, Any]
) -> None:
    """Digits in strings are accepted."""
    settings = _settings(tmp_path / "x", format)
    with create_stream(settings) as stream:
        with pytest.raises(MetadataError, match="range of a float|integer string conversion"):
            stream.append(FRAME, frame_metadata=metadata)
        stream.append(FRAME, frame_metadata={"text": "9" * 400, "n": 2**70})
    (frame,) = read_frame_metadata(settings.output_path)
    assert (frame["text"], frame["n"]) == ("9" * 400, 2**70)


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff", "scratch"])
@pytest.mark.parametrize(
    "values", [{"image": "one"}, {"image": 0, "index": "mine"}, {"index": 1, "index_": 2, "t": 0.5}]
)
def test_keys_of_users_are_kept(tmp_path: Path, format: str, values: dict[str, Any]) -> None:
    """Also those that name the image and the index in other rows."""
    dimensions = dims_from_standard_axes({"p": ["a", "b"], "t": 1, "y": 4, "x": 6})
    settings = _settings(tmp_path / "x", format, dimensions=dimensions)
    with create_stream(settings) as stream:
        for _ in range(2):
            stream.append(FRAME, frame_metadata=values)
    key = next(k for k in ("index", "index_", "index__") if k not in values)
    images: list[dict[str, Any]] = [{"image": i} if "image" not in values else {} for i in (0, 1)]
    found = read_frame_metadata(settings.output_path)
    for row in found:
        del row["storage_index"]
    assert found == [
        {**values, key: {"p": name, "t": 0}, **image}
        for name, image in zip("ab", images, strict=True)
    ]


CASES: dict[str, list[Any]] = {
    "separate images": [
        Dimension(name="t", count=2),
        Dimension(name="angle", coords=[0, 120], unit="degree"),
        Dimension(name="c", coords=["DAPI"], type="channel"),
    ],
    "cameras": [
        Dimension(name="stage", type="position", coords=["a", "b"]),
        Dimension(name="c", coords=["DAPI", "FITC"], type="channel"),
        Dimension(name="cam", count=2, type="other"),
    ],
    "order": [
        Dimension(name="z", count=2, type="space"),
        Dimension(name="t", count=2),
    ],
}


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff", "scratch"])
@pytest.mark.parametrize("case", CASES)
def test_index_is_that_of_the_acquisition(tmp_path: Path, format: str, case: str) -> None:
    """Whatever is stored as images, and in whichever order axes are stored."""
    dimensions = [*CASES[case], *dims_from_standard_axes({"y": 4, "x": 6})]
    settings = _settings(tmp_path / "x", format, dimensions=dimensions)
    axes = dimensions[:-2]
    indices = list(np.ndindex(*(axis.count for axis in axes)))
    with create_stream(settings) as stream:
        for index in indices:
            stream.append(FRAME, frame_metadata={"indices": list(index)})
    rows = read_frame_metadata(settings.output_path)
    assert len(rows) == len(indices)
    for row in rows:
        wanted = dict(zip((axis.name for axis in axes), row["indices"], strict=True))
        if "stage" in wanted:
            wanted["p"] = "ab"[wanted.pop("stage")]
        assert row["index"] == wanted


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff", "scratch"])
def test_frame_table_is_the_same_in_every_format(tmp_path: Path, format: str) -> None:
    pandas = pytest.importorskip("pandas")
    dimensions = dims_from_standard_axes({"t": 1, "p": ["a", "b"], "y": 4, "x": 6})
    settings = _settings(tmp_path / "x", format, dimensions=dimensions)
    with create_stream(settings) as stream:
        stream.append(FRAME, frame_metadata={"laser": {"power": 0.5, "line": {"nm": 488}}})
        stream.append(FRAME, frame_metadata={"p": "mine", "tags": ["x"], "empty": {}})
    wanted = pandas.DataFrame(
        [
            {"t": 0, "index.p": "a", "laser.power": 0.5, "laser.line.nm": 488},
            {"t": 0, "index.p": "b", "p": "mine", "tags": ["x"], "empty": {}},
        ]
    )
    pandas.testing.assert_frame_equal(ome_writers.frame_table(settings.output_path), wanted)


@pytest.mark.parametrize("key", ["_pos", "_idx"])
def test_scratch_refuses_reserved_keys(tmp_path: Path, key: str) -> None:
    settings = _settings(tmp_path / "x", "scratch")
    with create_stream(settings) as stream:
        with pytest.raises(MetadataError, match=key):
            stream.append(FRAME, frame_metadata={key: 7})
        stream.append(FRAME, frame_metadata={"n": 1})
    assert [frame["n"] for frame in read_frame_metadata(settings.output_path)] == [1]
