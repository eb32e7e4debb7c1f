"""Group metadata of an OME-Zarr, rendered from plan and outcome."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import ome_types
import pytest

from ome_writers import (
    Channel,
    Dimension,
    MetadataError,
    Plate,
    Position,
    create_stream,
    dims_from_standard_axes,
    read,
    read_frame_metadata,
    validate,
)
from ome_writers.formats import DatasetMetadata, Journal, Outcome, create_metadata, lay_out
from ome_writers.formats.frame_metadata import EMBED_BYTES
from ome_writers.routing import Plan, resolve
from support.acquisitions import IMAGES, LAYOUTS, acquisition, contents

GOLDEN = Path(__file__).parents[1] / "golden" / "zarr"


def opened(layout: str, **more: Any) -> tuple[Plan, DatasetMetadata]:
    """Return a plan and its new metadata."""
    plan = resolve(acquisition(layout, **more))
    return plan, create_metadata(*lay_out(plan))


def attributes(documents: DatasetMetadata, group: str = "") -> dict[str, Any]:
    """Return the current attributes of a group."""
    rendered = contents(documents.render())
    found: dict[str, Any] = rendered[f"{group}/zarr.json".lstrip("/")]["attributes"]
    return found


def journal_of(plan: Plan, root: Path, lines: dict[int, int]) -> Journal:
    """Return a journal on disk; `lines` maps image number to number of frames."""
    plan, layout = lay_out(plan)
    for key in layout.journals:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(root, layout.journals, durable=False)
    for image, count in lines.items():
        for i in range(count):
            journal.record(image, (i // 2, i % 2), journal.encode({"delta_t": i / 2, "note": "n"}))
    journal.write(journal.pop_pending())
    return journal


def done(plan: Plan, **more: Any) -> Outcome:
    """Return the outcome of a complete acquisition."""
    facts: dict[str, Any] = {"status": "complete", "frames_written": plan.frames or 0, **more}
    return Outcome(**{"shapes": tuple(i.array.shape for i in plan.images), **facts})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_metadata_matches_the_golden_files(layout: str, tmp_path: Path) -> None:
    """OME_WRITERS_GOLDEN=write replaces the golden files."""
    plan, documents = opened(layout)
    begun = contents(documents.render())
    journal = journal_of(plan, tmp_path, {0: 2})
    windows = {(0, 0): (3.0, 250.0), (0, 1): (0.0, 9.0)}
    documents.finish(done(plan, windows=windows), journal)
    rendered_json = {"while writing": begun, "after close": contents(documents.render())}
    for rendered in rendered_json.values():
        rendered.pop("OME/METADATA.ome.xml", None)  # has tests of its own
        for document in rendered.values():
            ours = document["attributes"].get("ome_writers", {})
            ours.pop("version", None)
            ours.pop("id", None)
            ours.pop("started", None)
            ours.pop("settings", None)
    file = GOLDEN / f"{layout}.json"
    if os.environ.get("OME_WRITERS_GOLDEN") == "write":
        file.write_text(json.dumps(rendered_json, indent=1) + "\n", encoding="utf-8")
    assert rendered_json == json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_render_yields_only_changes(layout: str) -> None:
    """Global metadata changes the root group, and the OME-XML of a collection."""
    _, documents = opened(layout)
    assert contents(documents.render())
    assert contents(documents.render()) == {}
    documents.set_global_metadata("lab", {"shelf": 7})
    assert set(contents(documents.render())) - {"OME/METADATA.ome.xml"} == {"zarr.json"}


def test_root_has_status_frames_and_settings(tmp_path: Path) -> None:
    plan, documents = opened("collection")
    ours = attributes(documents)["ome_writers"]
    assert (ours["status"], ours["frames"]) == ("writing", {"expected": 12, "written": 0})
    assert type(plan.settings).model_validate(ours["settings"]) == plan.settings
    documents.finish(
        done(plan, status="cancelled", frames_written=5), journal_of(plan, tmp_path, {})
    )
    ours = attributes(documents)["ome_writers"]
    assert (ours["status"], ours["frames"]) == ("cancelled", {"expected": 12, "written": 5})


def test_small_frame_metadata_is_embedded(tmp_path: Path) -> None:
    """Up to 1 MiB per image; the later entry of an index is used, and the journal is obsolete."""
    plan, documents = opened("collection")
    journal = journal_of(plan, tmp_path, {1: 3})
    journal.record(1, (0, 1), journal.encode({"delta_t": 9.0}))
    journal.write(journal.pop_pending())
    documents.finish(done(plan), journal)
    assert documents.embedded_journals() == (1,)
    assert documents.get_metadata()["1"]["ome_writers"]["frame_metadata"] == [
        {"storage_index": [0, 0], "delta_t": 0.0, "note": "n"},
        {"storage_index": [0, 1], "delta_t": 9.0},
        {"storage_index": [1, 0], "delta_t": 1.0, "note": "n"},
    ]
    assert "frame_metadata" not in documents.get_metadata()["0"].get("ome_writers", {})


def test_large_frame_metadata_stays_in_the_journal(tmp_path: Path) -> None:
    plan, documents = opened("single")
    journal = journal_of(plan, tmp_path, {0: 5})
    journal.record(0, (2, 1), journal.encode({"note": "n" * EMBED_BYTES}))
    journal.write(journal.pop_pending())
    documents.finish(done(plan), journal)
    assert documents.embedded_journals() == ()
    pointer = documents.get_metadata()["."]["ome_writers"]["frame_metadata"]
    assert pointer == {"journal": "frame_metadata.jsonl", "count": 6}


def test_missing_journal_does_not_prevent_final_metadata(tmp_path: Path) -> None:
    plan, documents = opened("single")
    journal = journal_of(plan, tmp_path, {0: 2})
    (tmp_path / "frame_metadata.jsonl").write_bytes(b"not json\n")
    documents.finish(done(plan, status="failed"), journal)
    assert attributes(documents)["ome_writers"]["status"] == "failed"
    assert documents.embedded_journals() == ()


@pytest.mark.parametrize(
    ("dtype", "whole", "seen", "expected"),
    [
        ("uint8", (0, 255), (3.0, 90.0), (3, 90)),
        ("int16", (-32768, 32767), (-5.0, 90.0), (-5, 90)),
        ("float32", (0, 1), (-0.25, 7.5), (-0.25, 7.5)),
        ("bool", (0, 1), (0.0, 1.0), (0, 1)),
        ("uint16", (0, 65535), (7.0, 7.0), (7, 8)),
        ("complex64", (0, 1), (0.5, 2.0), (0.5, 2.0)),
    ],
)
def test_display_window_becomes_the_range_of_the_data(
    dtype: str, whole: Any, seen: Any, expected: Any, tmp_path: Path
) -> None:
    """Initially the range of an integer dtype, which min and max keep; never empty."""
    plan, documents = opened("single", dtype=dtype)
    low, high = whole
    window = attributes(documents)["ome"]["omero"]["channels"][0]["window"]
    assert window == {"min": low, "max": high, "start": low, "end": high}
    documents.finish(done(plan, windows={(0, 0): seen}), journal_of(plan, tmp_path, {}))
    start, end = expected
    low, high = whole if np.dtype(dtype).kind in "iub" else expected
    window = attributes(documents)["ome"]["omero"]["channels"][0]["window"]
    assert window == {"min": low, "max": high, "start": start, "end": end}


def test_channel_window_of_settings_stays(tmp_path: Path) -> None:
    channel = Dimension(name="c", coords=[Channel(name="a", window=(100, 200))])
    dims = [channel, *acquisition("single").dimensions[-2:]]
    plan, documents = opened("single", dimensions=dims)
    documents.finish(done(plan, windows={(0, 0): (50, 150)}), journal_of(plan, tmp_path, {}))
    window = attributes(documents)["ome"]["omero"]["channels"][0]["window"]
    assert window == {"min": 0, "max": 65535, "start": 100, "end": 200}


def test_omero_channels_match_a_trimmed_array(tmp_path: Path) -> None:
    dims = acquisition("single").dimensions
    plan, documents = opened("single", dimensions=[dims[1], dims[0], *dims[2:]])
    documents.finish(done(plan, shapes=((3, 1, 4, 6),)), journal_of(plan, tmp_path, {}))
    assert [c["label"] for c in attributes(documents)["ome"]["omero"]["channels"]] == ["DAPI"]


def test_stage_position_is_converted_to_the_unit_of_the_axis() -> None:
    space = [
        Dimension(name="z", count=2, unit="nanometer", scale=5.0, translation=7.0),
        Dimension(name="y", count=4, unit="millimeter"),
        Dimension(name="x", count=6),
    ]
    place = Dimension(name="p", coords=[Position(name="a", x_coord=1.0, y_coord=2.0, z_coord=3.0)])
    _, documents = opened("single", dimensions=[place, *space])
    dataset = attributes(documents, "0")["ome"]["multiscales"][0]["datasets"][0]
    scale, translation = dataset["coordinateTransformations"]
    assert scale["scale"] == [5.0, 1.0, 1.0]
    assert translation["translation"] == pytest.approx([3007.0, 0.002, 1.0])


def test_client_edits_survive_close(tmp_path: Path) -> None:
    """Colours, names and additional keys; generated values are updated around them."""
    plan, documents = opened("single")
    metadata = documents.get_metadata()
    metadata["."]["ome"]["omero"]["channels"][1]["color"] = "00FF00"
    metadata["."]["ome"]["multiscales"][0]["name"] = "mine"
    metadata["."]["client"] = {"array": np.arange(2)}
    documents.update_metadata(metadata)
    documents.finish(done(plan, windows={(0, 1): (5, 6)}), journal_of(plan, tmp_path, {0: 1}))
    current = attributes(documents)
    assert current["ome"]["multiscales"][0]["name"] == "mine"
    assert current["ome"]["omero"]["channels"][1]["color"] == "00FF00"
    assert current["ome"]["omero"]["channels"][1]["window"]["end"] == 6
    assert current["client"] == {"array": [0, 1]}
    assert current["ome_writers"]["frame_metadata"][0]["delta_t"] == 0.0


def test_value_attached_to_every_image_is_converted_once() -> None:
    """pymmcore-plus 0.18 attaches one summary to each image; 24 conversions delayed the first frame by 0.2 s."""

    class Summary(dict[str, Any]):
        conversions = 0

        def items(self) -> Any:
            Summary.conversions += 1
            return super().items()

    summary = Summary(a=np.arange(2))
    _, documents = opened("collection")
    metadata = documents.get_metadata()
    assert len(metadata) > 1
    for path, group in metadata.items():
        group["client"] = {"summary": summary, "path": path}
    documents.update_metadata(metadata)
    assert Summary.conversions == 1
    updated = documents.get_metadata()
    assert [group["client"] for group in updated.values()] == [
        {"summary": {"a": [0, 1]}, "path": path} for path in metadata
    ]
    next(iter(updated.values()))["client"]["summary"].clear()
    assert documents.get_metadata() != updated


def test_client_cannot_change_status_and_settings() -> None:
    _, documents = opened("single")
    before = attributes(documents)["ome_writers"]
    documents.update_metadata({".": {"ome": {}, "ome_writers": {"status": "complete", "more": 1}}})
    assert attributes(documents)["ome_writers"] == {**before, "more": 1}
    documents.update_metadata({".": {"ome": {}}})
    assert attributes(documents)["ome_writers"]["settings"] == before["settings"]


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ({"9": {}}, KeyError, "Unknown path: '9'"),
        ([], TypeError, "Expected dict"),
        ({".": 3}, TypeError, "Expected dict"),
        ({".": {"a": b"x"}}, MetadataError, "key 'a'"),
    ],
)
def test_refused_metadata_changes_nothing(metadata: Any, error: type, message: str) -> None:
    _, documents = opened("collection")
    list(documents.render())
    before = copy.deepcopy(documents.get_metadata())
    with pytest.raises(error, match=message):
        documents.update_metadata({"0": {"ome": {}}, **metadata} if metadata else metadata)
    assert documents.get_metadata() == before
    assert contents(documents.render()) == {}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_get_metadata_returns_copies_by_image_group(layout: str) -> None:
    _, documents = opened(layout)
    metadata = documents.get_metadata()
    assert list(metadata) == [image or "." for image in IMAGES[layout]]
    next(iter(metadata.values()))["ome"].clear()
    assert next(iter(documents.get_metadata().values()))["ome"]


@pytest.mark.parametrize("namespace", ["", "ome", "ome_writers"])
def test_reserved_namespaces_are_refused(namespace: str) -> None:
    _, documents = opened("single")
    with pytest.raises(ValueError, match="namespace"):
        documents.set_global_metadata(namespace, {})


def test_ome_xml_keeps_planes_after_the_journal_is_removed(tmp_path: Path) -> None:
    """Global metadata set after `close` renders the OME-XML again."""
    plan, documents = opened("collection")
    journal = journal_of(plan, tmp_path, {0: 2})
    documents.finish(done(plan), journal)
    for image in documents.embedded_journals():
        journal.discard(image)
    list(documents.render())
    documents.set_global_metadata("lab", {"shelf": 7})
    xml = contents(documents.render())["OME/METADATA.ome.xml"]
    assert xml.count("<Plane ") == 2
    assert 'Namespace="lab"' in xml


@pytest.mark.parametrize("omero", [None, "x", {"channels": None}, {"channels": ["a", 1]}])
def test_close_keeps_malformed_omero_of_a_client(omero: Any, tmp_path: Path) -> None:
    plan, documents = opened("single")
    metadata = documents.get_metadata()
    metadata["."]["ome"]["omero"] = omero
    documents.update_metadata(metadata)
    documents.finish(done(plan), journal_of(plan, tmp_path, {0: 1}))
    current = attributes(documents)
    assert current["ome"]["omero"] == omero
    assert current["ome_writers"]["status"] == "complete"


@pytest.mark.parametrize(
    ("unit", "expected"), [("inch", 1 / 25_400), ("kilometer", 1e-9), ("foot", 1 / 304_800)]
)
def test_stage_position_in_every_unit_of_length(unit: str, expected: float) -> None:
    place = Dimension(name="p", coords=[Position(name="a", x_coord=1.0)])
    space = [Dimension(name="y", count=4), Dimension(name="x", count=6, unit=unit)]
    _, documents = opened("single", dimensions=[place, *space])
    dataset = attributes(documents, "0")["ome"]["multiscales"][0]["datasets"][0]
    assert dataset["coordinateTransformations"][1]["translation"] == pytest.approx([0, expected])


@pytest.mark.parametrize(
    ("frames", "value", "planes"), [(4, 10, 4), (4, 600_000, 0), (40, 120_000, 0)]
)
def test_ome_xml_leaves_out_large_frame_metadata(
    tmp_path: Path, frames: int, value: int, planes: int
) -> None:
    """Above 1 MiB per image, or 4 MiB in total; it describes all images, and the values are read from elsewhere."""
    count = max(2, frames // 8)
    dimensions = dims_from_standard_axes({"p": count, "t": frames // count, "y": 4, "x": 4})
    path = tmp_path / "a.ome.zarr"
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint8") as stream:
        for number in range(frames):
            stream.append(
                np.zeros((4, 4), "uint8"), frame_metadata={"value": "x" * value, "n": number}
            )
    xml = (path / "OME" / "METADATA.ome.xml").read_text()
    ome = ome_types.from_xml(xml)
    assert [len(image.pixels.planes) for image in ome.images] == [planes // count] * count
    assert len(xml) < 100_000
    assert [row["n"] for row in read_frame_metadata(path)] == list(range(frames))
    assert validate(path).valid


@pytest.mark.parametrize(
    ("order", "warned"),
    [("ome", ""), ("acquisition", "stores the axes as z, t, c, y, x."), ([*"tczyx"], "")],
)
def test_order_of_axes_that_ngff_does_not_allow_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, order: Any, warned: str
) -> None:
    dimensions = dims_from_standard_axes({"z": 2, "t": 2, "c": 2, "y": 4, "x": 4})
    path = tmp_path / "a.ome.zarr"
    create_stream(root_path=path, dimensions=dimensions, dtype="uint8", storage_order=order).close()
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [warned in message for message in messages] == [True] * bool(warned)
    assert validate(path).valid != bool(warned)


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_plate_with_wells_outside_of_the_plan_is_read_back(tmp_path: Path, suffix: str) -> None:
    wells = [("A", "1"), ("H", "12")]
    coords = [Position(name="f0", plate_row=row, plate_column=column) for row, column in wells]
    dimensions = [
        Dimension(name="p", type="position", coords=list(coords)),
        *dims_from_standard_axes({"y": 4, "x": 4}),
    ]
    path = tmp_path / f"a{suffix}"
    fields: Any = {"root_path": path, "dimensions": dimensions, "dtype": "uint8"}
    plate = Plate(name="cells", row_names=["A", "B"], column_names=["1", "2"])
    with pytest.warns(UserWarning, match="not in the plate definition"):
        stream = create_stream(**fields, plate=plate)
    stream.close()
    found = read(path).plate
    assert found == Plate(name="cells", row_names=["A", "B", "H"], column_names=["1", "2", "12"])
