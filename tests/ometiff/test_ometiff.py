"""OME-XML of an OME-TIFF: single file, set, and companion file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import ome_types.model as ome
import pytest
import tifffile

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OmeTiffFormat,
    create_stream,
    dims_from_standard_axes,
)
from ome_writers.formats import lay_out
from ome_writers.formats.ometiff.metadata import TiffMetadata
from ome_writers.repair import repair
from ome_writers.routing import resolve
from support.ometiff import SETS, Case

if TYPE_CHECKING:
    from pathlib import Path

    from ome_types.model import OME


def documents(path: Path) -> dict[str, str]:
    """Return the OME-XML of each file of an output."""
    found = {}
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.suffix == ".ome":
            found[file.name] = file.read_text(encoding="utf-8")
        else:
            with tifffile.TiffFile(file) as tiff:
                found[file.name] = tiff.pages.first.description
    return found


def models(path: Path) -> dict[str, OME]:
    """Return the validated model of each document."""
    for xml in documents(path).values():
        ome_types_validate(xml)
    return {name: ome.OME.from_xml(xml) for name, xml in documents(path).items()}


def ome_types_validate(xml: str) -> None:
    from ome_types import validate_xml

    validate_xml(xml)


def pairs(model: OME, namespace: str) -> list[dict[str, str]]:
    """Return the content of all annotations of a namespace."""
    annotations = model.structured_annotations
    found = annotations.map_annotations if annotations else []
    return [dict(a.value) for a in found if a.namespace == namespace]


def acquisition_info(model: OME) -> dict[str, Any]:
    notes = model.structured_annotations.comment_annotations
    return json.loads(next(note.value for note in notes if note.namespace == "ome_writers"))


def test_map_annotations_belong_to_frames_and_users(tmp_path: Path) -> None:
    """`map_annotations[i]` belongs to frame i; the acquisition annotation is a CommentAnnotation."""
    with create_stream(Case("a", "t", (3,)).settings(tmp_path)) as stream:
        for number in range(3):
            frame = np.zeros(stream.plan.images[0].frame_shape, stream.settings.dtype)
            stream.append(frame, frame_metadata={"serial": number})
    (model,) = models(tmp_path / "a.ome.tiff").values()
    notes = model.structured_annotations.map_annotations
    assert [dict(note.value) for note in notes] == [{"serial": str(i)} for i in range(3)]
    assert (acquisition_info(model)["status"], acquisition_info(model)["frames_written"]) == (
        "complete",
        3,
    )


@pytest.mark.parametrize(
    ("root", "format_", "output", "files"),
    [
        ("a.ome.tiff", {}, "a", ["a_p000.ome.tiff", "a_p001.ome.tiff"]),
        ("a.ome.tif", {"suffix": ".ome.tif"}, "a", ["a_p000.ome.tif", "a_p001.ome.tif"]),
        ("a.tif", {"suffix": ".tif"}, "a", ["a_p000.ome.tif", "a_p001.ome.tif"]),
        ("a", {}, "a", ["a_p000.ome.tiff", "a_p001.ome.tiff"]),
        ("a.ome.tiff", {"suffix": ""}, "a.ome.tiff", ["a_p000.ome.tiff", "a_p001.ome.tiff"]),
        ("a.ome.tiff", {"prefer_single_file": True}, "a.ome.tiff", ["a.ome.tiff"] * 2),
    ],
)
def test_file_names(root: str, format_: dict[str, Any], output: str, files: list[str]) -> None:
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[
            Dimension(name="p", count=2, type="position"),
            Dimension(name="y", count=1),
            Dimension(name="x", count=1),
        ],
        dtype="uint8",
        format=OmeTiffFormat(**format_),
    )
    plan, layout = lay_out(resolve(settings))
    assert layout.output.name == output
    assert [image.array.key for image in plan.images] == files


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("companion.ome", "a.companion.ome"),
        ("b.companion.ome", "b.companion.ome"),
        ("b.ome", "b.companion.ome"),
        ("b", "b.companion.ome"),
    ],
)
def test_companion_file_ends_with_companion_ome(tmp_path: Path, given: str, written: str) -> None:
    format_ = {"multi_file_metadata": "companion-file", "companion_file": given}
    settings = Case("a", "p", (2,), format=format_).settings(tmp_path)
    create_stream(settings).close()
    assert (tmp_path / "a" / written).is_file()


@pytest.mark.parametrize("mode", SETS)
def test_multi_file_metadata_modes(tmp_path: Path, mode: str) -> None:
    """BinaryOnly documents refer to the complete one by name and UUID."""
    Case("a", "pt", (3, 2), format={"multi_file_metadata": mode}).write(tmp_path)
    found = models(tmp_path / "a")
    whole = {name: model for name, model in found.items() if model.images}
    names = [f"a_p00{i}.ome.tiff" for i in range(3)]
    expected = {"redundant": names, "master-tiff": names[:1], "companion-file": ["a.companion.ome"]}
    assert list(whole) == expected[mode]
    for model in whole.values():
        assert [len(image.pixels.planes) for image in model.images] == [2, 2, 2]
        links = [image.pixels.tiff_data_blocks[0].uuid for image in model.images]
        assert [link.file_name for link in links] == names
        assert [link.value for link in links] == [found[name].uuid for name in names]
    for name, model in found.items():
        if name not in whole:
            target, pointed = next(iter(whole.items()))
            assert model.binary_only.metadata_file == target
            assert model.binary_only.uuid == pointed.uuid


@pytest.mark.parametrize("mode", SETS)
def test_ome_xml_in_a_tiff_begins_with_a_warning(tmp_path: Path, mode: str) -> None:
    """As the specification recommends; also after an edit. Not so a companion file."""
    warning = "<!-- Warning: this comment is an OME-XML metadata block, which contains crucial dim"
    case = Case("a", "pt", (2, 2), format={"multi_file_metadata": mode})

    def check() -> None:
        found = documents(tmp_path / "a") | documents(tmp_path / "a.ome.tiff")
        assert len(found) == 3 + (mode == "companion-file")
        for name, xml in found.items():
            assert xml.splitlines()[1].startswith(warning) == name.endswith(".tiff")
            assert xml.count(warning) == name.endswith(".tiff")

    create_stream(case.settings(tmp_path)).close()
    check()
    ome_writers.edit(tmp_path / "a", names={0: "edited"})
    check()
    assert not repair(tmp_path / "a").findings


@pytest.mark.parametrize(
    ("axes", "counts", "given", "complete", "warned"),
    [
        ("pt", (12, 20), "auto", 12, ""),
        ("pt", (100, 20), "auto", 1, ""),
        ("tp", (None, 30), "auto", 1, ""),
        ("pt", (100, 20), "redundant", 100, "takes about 152 MB"),
        ("pt", (100, 20), "companion-file", 1, ""),
    ],
)
def test_large_sets_have_one_copy_of_the_ome_xml(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    axes: str,
    counts: tuple[int, ...],
    given: str,
    complete: int,
    warned: str,
) -> None:
    """In every file it would grow with the square of the number of positions; an explicit setting is obeyed."""
    settings = Case("a", axes, counts, format={"multi_file_metadata": given}).settings(tmp_path)
    create_stream(settings).close()
    whole = [name for name, xml in documents(tmp_path / "a").items() if "<Image " in xml]
    assert len(whole) == complete
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [warned in message for message in messages] == [True] * bool(warned)
    with tifffile.TiffFile(tmp_path / "a.ome.tiff") as shown:
        assert len(shown.series) == counts[axes.index("p")]


@pytest.mark.parametrize("layout", [*SETS, "always"])
def test_edit_metadata_before_and_after_close(tmp_path: Path, layout: str) -> None:
    """Sizes and planes stay correct."""
    format_ = (
        {"prefer_single_file": layout} if layout == "always" else {"multi_file_metadata": layout}
    )
    case = Case("a", "tp", (4, 3), frames=7, format=format_)
    stream = create_stream(case.settings(tmp_path))
    metadata = stream.get_metadata()
    first = min(metadata) if layout != "always" else 0
    assert list(metadata) == {"always": [0], "companion-file": [-1, 0, 1, 2]}.get(layout, [0, 1, 2])
    for model in metadata.values():
        for image in model.images:
            image.description = "edited"
    metadata[first].images[1].pixels.size_t = 77
    stream.update_metadata(metadata)
    stream.set_global_metadata("during", {"a": 1})
    for number in range(case.total):
        stream.append(case.pixels(number), frame_metadata=case.facts(number))
    stream.close()
    metadata = stream.get_metadata()
    for model in metadata.values():
        if not model.structured_annotations:
            model.structured_annotations = ome.StructuredAnnotations()
        annotation = ome.MapAnnotation(namespace="after", value={"b": "2"})
        model.structured_annotations.map_annotations.append(annotation)
    stream.update_metadata(metadata)
    stream.set_global_metadata("during", {"a": 3})
    stream.set_global_metadata("after", {"b": [4]})
    written = tmp_path / ("a.ome.tiff" if layout == "always" else "a")
    whole = [model for model in models(written).values() if model.images]
    assert whole
    for model in whole:
        assert [image.description for image in model.images] == ["edited"] * 3
        assert [image.pixels.size_t for image in model.images] == [3, 2, 2]
        assert [len(image.pixels.planes) for image in model.images] == [3, 2, 2]
        assert pairs(model, "during") == [{"a": "3"}]
        assert pairs(model, "after") == [{"b": "[4]"}]
        assert acquisition_info(model)["status"] == "cancelled"
        ids = [a.id for a in model.structured_annotations.map_annotations]
        assert len(set(ids)) == len(ids)


def test_metadata_updated_long_after_close_leaves_the_pages_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages of a cancelled single file are linked anew, next to a description whose space is used again."""
    monkeypatch.setattr("ome_writers.storage.tiff.allocator._REUSE_GRACE_S", -1)
    case = Case("a", "tp", (4, 3), frames=7, format={"prefer_single_file": "always"})
    stream = create_stream(case.settings(tmp_path))
    for number in range(case.total):
        stream.append(case.pixels(number), frame_metadata=case.facts(number))
    stream.close()
    with tifffile.TiffFile(tmp_path / "a.ome.tiff") as tiff:
        before = [page.asarray() for page in tiff.pages]
    for length in (10, 300, 2, 1000, 50):
        stream.set_global_metadata("after", {"note": "x" * length})
        with tifffile.TiffFile(tmp_path / "a.ome.tiff") as tiff:
            assert np.array_equal([page.asarray() for page in tiff.pages], before)
            assert "x" * length in tiff.pages.first.description
    assert ome_writers.validate(tmp_path / "a.ome.tiff").valid


def test_update_metadata_refuses_other_types(tmp_path: Path) -> None:
    """The metadata stays unchanged."""
    stream = create_stream(Case("a", "t", (1,)).settings(tmp_path))
    before = documents(tmp_path / "a.ome.tiff")
    model = stream.get_metadata()[0]
    with pytest.raises(TypeError, match=r"Expected dict\[int, ome_types.model.OME\], got OME"):
        stream.update_metadata(model)
    with pytest.raises(
        TypeError, match=r"Expected dict\[int, ome_types.model.OME\], got the key '0'"
    ):
        stream.update_metadata({"0": model})
    with pytest.raises(TypeError, match=r"Expected ome_types.model.OME for position 0, got dict"):
        stream.update_metadata({0: {}})
    with pytest.raises(KeyError, match=r"Unknown position: 7. Positions are \[0\]"):
        stream.update_metadata({7: model})
    with pytest.raises(ValueError, match="The namespace 'ome' is reserved by ome-writers"):
        stream.set_global_metadata("ome", {})
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        stream.set_global_metadata("mine", {"a": object()})
    assert documents(tmp_path / "a.ome.tiff") == before
    stream.close()


def test_get_metadata_returns_a_copy(tmp_path: Path) -> None:
    stream = create_stream(Case("a", "t", (1,)).settings(tmp_path))
    stream.get_metadata()[0].images[0].name = "changed"
    assert stream.get_metadata()[0].images[0].name == "a"
    stream.close()


def test_growing_file_document_matches_its_pages(tmp_path: Path) -> None:
    """After each flush."""
    case = Case("a", "tc", (None, 2))
    with create_stream(case.settings(tmp_path)) as stream:
        for number in range(6):
            stream.append(case.pixels(number))
            stream.flush()
            with tifffile.TiffFile(tmp_path / "a.ome.tiff") as tiff:
                reached = number // 2 + 1
                assert len(tiff.pages) == 2 * reached
                assert len(tiff.series[0].pages) == 2 * reached


def test_images_of_different_length_grow_in_one_file(tmp_path: Path) -> None:
    """The document refers to the right IFDs before and after `close`."""
    case = Case("a", "tp", (None, 2), format={"prefer_single_file": "always"})
    right: list[list[int]] = [[0], []]
    with create_stream(case.settings(tmp_path)) as stream:
        for t in range(3):
            right[1].append(int(case.pixels(t)[0, 0]))
            stream.append(case.pixels(t), index={"t": t, "p": 1})
        for finish in (stream.flush, stream.close):
            finish()
            with tifffile.TiffFile(tmp_path / "a.ome.tiff") as tiff:
                series = [s.asarray().reshape(-1, *case.frame) for s in tiff.series]
            assert [planes[:, 0, 0].tolist() for planes in series] == right


def test_documents_are_rendered_only_after_changes(tmp_path: Path) -> None:
    plan = resolve(
        Case("a", "p", (2,), format={"multi_file_metadata": "master-tiff"}).settings(tmp_path)
    )
    made = TiffMetadata(*lay_out(plan))
    keys = ["a_p000.ome.tiff", "a_p001.ome.tiff", "../a.ome.tiff"]
    assert [key for key, _ in made.render()] == keys
    assert list(made.render()) == []
    made.set_global_metadata("mine", {"a": 1})
    assert [key for key, _ in made.render()] == [keys[0], keys[2]]
    made.grow([image.array.shape for image in plan.images])
    assert list(made.render()) == []


def test_irregular_coordinates_are_in_the_acquisition_annotation(tmp_path: Path) -> None:
    """Uneven time intervals, and a descending z stack."""
    settings = AcquisitionSettings(
        root_path=tmp_path / "x.ome.tiff",
        dimensions=[
            Dimension(name="t", coords=[0, 1, 7]),
            Dimension(name="c", coords=["DAPI"]),
            Dimension(name="z", coords=[2, 1.5, 1], scale=0.5, unit="micrometer"),
            Dimension(name="y", count=8),
            Dimension(name="x", count=8),
        ],
        dtype="uint8",
    )
    create_stream(settings).close()
    (model,) = models(tmp_path / "x.ome.tiff").values()
    assert acquisition_info(model)["coords"] == {"t": [0, 1, 7], "z": [2, 1.5, 1]}


def test_names_that_xml_cannot_represent_are_read_back(tmp_path: Path) -> None:
    """Other programs read a space for a line end, and U+FFFD for what XML forbids."""
    names = ["a\nb", "c\x07", "c\x08", "\ttab "]
    dimensions = dims_from_standard_axes({"p": names, "c": ["DA\rPI"], "y": 4, "x": 6})
    path = tmp_path / "a.ome.tiff"
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        for _ in names:
            stream.append(np.zeros((4, 6), "uint16"))
    for each in (path, tmp_path / "a"):
        assert list(ome_writers.open(each).coords["p"]) == names
        assert [channel.name for channel in ome_writers.read(each).images[0].channels] == ["DA\rPI"]
    shown = [image.name for image in models(tmp_path / "a")["a_p000.ome.tiff"].images]
    assert shown == ["a b", "c\ufffd", "c\ufffd", " tab "]
    ome_writers.edit(tmp_path / "a", names={0: "edited"})
    assert list(ome_writers.open(path).coords["p"]) == ["edited", *names[1:]]
