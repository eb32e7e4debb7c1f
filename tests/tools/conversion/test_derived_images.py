"""Labels and other derived images survive what is done with a dataset, or are listed as not copied."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import Dimension, OmeZarrFormat, Position, Pyramid, create_stream, processing
from ome_writers_tools.cli.program import main
from support.sweeps import swept

if TYPE_CHECKING:
    from collections.abc import Callable

T, Z, Y, X = 2, 2, 16, 24
DERIVED = ("labels/cells", "labels/nuclei", "derived/max_z")


def frame(number: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(number).integers(1, 999, (Y, X), np.uint16)


def mask(number: int) -> np.ndarray[Any, Any]:
    """Return labels of a frame; those of the first frame are all background."""
    return (frame(number) > 500).astype("uint32") * np.uint32(number)


def recording(path: Path, *, levels: int = 1) -> Path:
    """Write two positions with labels of all frames, labels of the second position only, and a projection."""
    dimensions = [
        Dimension(name="p", coords=[Position(name=n, x_coord=9 * i, y_coord=0) for i, n in enumerate("ab")]),
        Dimension(name="t", count=T, scale=1, unit="second", chunk_size=1, shard_size_chunks=2),
        Dimension(name="z", count=Z, scale=2, unit="micrometer"),
        Dimension(name="y", count=Y, scale=0.5, unit="micrometer"),
        Dimension(name="x", count=X, scale=0.5, unit="micrometer"),
    ]  # fmt: skip
    pyramid = Pyramid(levels=levels) if levels else None
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", pyramid=pyramid
    ) as stream:
        cells, nuclei = stream.derive("cells"), stream.derive("nuclei", colors={1: "red"})
        stream.project("max", axis="z")
        for number in range(2 * T * Z):
            stream.append(frame(number))
            cells.append(mask(number))
        nuclei.append(mask(5), index={"p": 1, "t": 0, "z": 1})
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording(tmp_path_factory.mktemp("derived") / "run.ome.zarr")


def coordinates(group: Path) -> list[float]:
    """Return pixel size and first coordinate along y and x, as the metadata have them."""
    old = group / ".zattrs"
    attributes = json.loads((old if old.exists() else group / "zarr.json").read_text())
    ome = attributes.get("attributes", {}).get("ome", attributes)
    (first, *others) = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    scale, *translation = first.get("transformations", [first, *others])
    return scale["scale"][-2:] + (translation[0]["translation"][-2:] if translation else [0, 0])


def check(path: Path, images: tuple[int, ...] = (0, 1), levels: int = 2) -> None:
    spec = ome_writers.read(path)
    for image, number in zip(spec.images, images, strict=True):
        frames = [frame(number * T * Z + n) for n in range(T * Z)]
        masks = np.reshape([mask(number * T * Z + n) for n in range(T * Z)], (T, Z, Y, X))
        nuclei = np.zeros_like(masks)
        nuclei[0, 1] = mask(5) * number
        expected = (masks, nuclei, np.reshape(frames, (T, Z, Y, X)).max(axis=1))
        for key, pixels in zip(DERIVED, expected, strict=True):
            group = path / image.key / key
            assert np.array_equal(ome_writers.open(group)[...], pixels), group
            found = ome_writers.read(group).images[0]
            assert len(found.levels) == levels
            assert coordinates(group) == coordinates(path / image.key)
        if not (path / ".zattrs").exists():
            colors = json.loads((path / image.key / "labels/nuclei/zarr.json").read_text())
            assert colors["attributes"]["ome"]["image-label"]["colors"][0]["rgba"][0] == 255
    if spec.format == "ome-zarr":
        failed = [c for c in ome_writers.validate(path).checks if c.findings]
        assert not failed, failed


CHUNKS = {"shard_shapes": {"t": 0}, "chunk_shapes": {"z": 2, "x": 8}}
VERSION_06 = OmeZarrFormat(version="0.6", checksum=True)
OPTIONS: dict[str, tuple[dict[str, Any], int]] = {
    "plain": ({}, 2),
    "0.4": ({"format": "ome-zarr-0.4"}, 2),
    "compression, chunks, pyramid": (
        {"compression": "zstd", "verify": True, **CHUNKS, "pyramid": Pyramid(levels=2)},
        3,
    ),
    "images, 0.6": ({"images": [1], "format": VERSION_06}, 2),
    "compression and chunks": ({"compression": "zstd", "verify": True, **CHUNKS}, 2),
    "pyramid": ({"pyramid": Pyramid(levels=2)}, 3),
    "images": ({"images": [1]}, 2),
    "0.6": ({"format": VERSION_06}, 2),
}
"""Options, and the number of levels of the copy; the last four are in sweeps only, because others combine them."""


@pytest.mark.parametrize("name", swept(OPTIONS, [*OPTIONS][:4].__contains__))
def test_derived_images_are_converted(source: Path, tmp_path: Path, name: str) -> None:
    options, levels = OPTIONS[name]
    done = ome_writers.convert(source, tmp_path / "copy.ome.zarr", **options)
    assert done.not_copied == ()
    images = (1,) if "images" in options else (0, 1)
    check(done.destination, images, levels)
    if options.get("format") == "ome-zarr-0.4":
        again = ome_writers.convert(done.destination, tmp_path / "back.ome.zarr")
        assert again.not_copied == ()
        check(again.destination)
    else:
        assert not ome_writers.repair(done.destination).findings


def test_dataset_with_derived_images_is_replaced(source: Path, tmp_path: Path) -> None:
    path = shutil.copytree(source, tmp_path / "copy.ome.zarr")
    check(ome_writers.convert(source, path, overwrite=True).destination)


def _edited(path: Path) -> None:
    ome_writers.edit(path, scale={"x": 0.25, "z": 1}, positions={1: {"x": 77}}, names={"a": "c"})
    for image in ome_writers.read(path).images:
        assert ome_writers.open(path / image.key / "derived/max_z").dimensions[-1].scale == 0.25


def _in_a_file(path: Path) -> None:
    archive = path.with_name("run.ozx")
    ome_writers.convert(path, archive, verify=True)
    shutil.rmtree(path)
    ome_writers.convert(archive, path)


def _uploaded(path: Path) -> None:
    target = path.with_name("server")
    ome_writers.mirror(path, target.as_uri())
    shutil.rmtree(path)
    shutil.copytree(target, path)


def _in_version_06(path: Path) -> None:
    ome_writers.convert_ngff_version(path, "0.6")
    own = json.loads((path / "0/labels/cells/zarr.json").read_text())["attributes"]["ome_writers"]
    assert own["settings"]["format"]["version"] == "0.6"


@pytest.mark.parametrize(
    "change",
    [
        _edited,
        _in_a_file,
        _uploaded,
        _in_version_06,
        lambda path: ome_writers.repair(path),
        lambda path: ome_writers.add_pyramid(path),
    ],
    ids=["edit", "ozx", "upload", "0.6", "repair", "levels"],
)
def test_derived_images_survive(
    source: Path, tmp_path: Path, change: Callable[[Path], Any]
) -> None:
    path = shutil.copytree(source, tmp_path / "run.ome.zarr")
    change(path)
    check(path)
    assert not ome_writers.repair(path).findings


def test_derived_images_are_mirrored(tmp_path: Path) -> None:
    dimensions = ome_writers.dims_from_standard_axes({"t": 2, "y": Y, "x": X})
    path, target = tmp_path / "run.ome.zarr", tmp_path / "server"
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", mirror=target.as_uri()
    ) as stream:
        cells = stream.derive("cells")
        stream.project("max", axis="t")
        for number in range(2):
            stream.append(frame(number))
            cells.append(mask(number))
    assert np.array_equal(ome_writers.open(target / "labels/cells")[...], [mask(0), mask(1)])
    largest = np.maximum(frame(0), frame(1))
    assert np.array_equal(ome_writers.open(target / "derived/max_t")[...], largest)


def test_labels_get_the_levels_of_their_image(tmp_path: Path) -> None:
    """Those of another program, too, with the nearest sample of the level before."""
    path = recording(tmp_path / "run.ome.zarr", levels=0)
    file = path / "0/labels/cells/zarr.json"
    content = json.loads(file.read_text())
    del content["attributes"]["ome_writers"]
    file.write_text(json.dumps(content))
    copy = ome_writers.convert(path, tmp_path / "copy.ome.zarr", pyramid="mean").destination
    for dataset in (path, copy):
        ome_writers.add_pyramid(dataset, Pyramid(levels=1))
        for key in ("0/labels/cells", "1/labels/nuclei"):
            assert len(ome_writers.read(dataset / key).images[0].levels) == 2
            full, half = (ome_writers.open(dataset / key, level=k)[...] for k in (0, 1))
            assert np.array_equal(half, full[..., ::2, ::2])
        failed = [c for c in ome_writers.validate(dataset).checks if c.findings]
        assert not failed, failed


def test_derived_images_that_are_not_copied_are_listed(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = ("labels (cells, nuclei)", "derived images (max_z)")
    tiff = ome_writers.convert(source, tmp_path / "copy.ome.tiff", images=[0])
    assert tiff.not_copied == (*lacking, "1 level")
    largest = ome_writers.process(source, processing.Maximum("z"), tmp_path / "max.ome.zarr")
    assert largest.not_copied == lacking
    assert main(["process", str(source), str(tmp_path / "m.ome.zarr"), "--maximum", "z"]) == 0
    assert "not copied  labels (cells, nuclei), derived images (max_z)" in capsys.readouterr().out


def test_derived_images_of_an_ome_tiff_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.ome.tiff"
    dimensions = ome_writers.dims_from_standard_axes({"t": 2, "y": Y, "x": X})
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        cells = stream.derive("cells")
        stream.project("max", axis="t")
        for number in range(2):
            stream.append(frame(number))
            cells.append(mask(number))
    shutil.copy(path, tmp_path / "run_2.ome.tiff")
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "labels      cells" in printed
    assert "derived     max_t" in printed
    done = ome_writers.convert(path, tmp_path / "copy.ome.zarr")
    assert done.not_copied == ("labels (cells)", "derived images (max_t)")
