"""OME-TIFFs with pairwise combinations of settings, checked by four readers.

The readers are tifffile, the OME schema (through ome-types), libtiff's ``tiffinfo`` and Bio-Formats. Each choice of
each factor meets each choice of every other factor in some case.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from ome_writers import create_stream, read_frame_metadata, validate
from support.bioformats import read
from support.ometiff import Case

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FACTORS: dict[str, Sequence[Any]] = {
    "layout": ("single", "always", "redundant", "master-tiff", "companion-file", "never"),
    "plate": (False, True),
    "axes": ("tpcz", "ptcz", "tzcp", "ctpz", "zpct"),
    "stored": ("as acquired", "inside out"),
    "dtype": ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"),
    "compression": ("none", "lzw", "deflate", "zstd"),
    "ending": ("complete", "cancelled", "kept", "unbounded", "no frames"),
    "metadata": (True, False),
    "tile": ("auto", 16),
}
SIZES = {"t": 3, "p": 2, "c": 2, "z": 2}


def pairwise(factors: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return combinations in which each choice meets each choice of every other factor."""
    names = list(factors)
    pairs = list(itertools.combinations(names, 2))
    left = {(a, x, b, y) for a, b in pairs for x in factors[a] for y in factors[b]}
    draw = np.random.default_rng(0)
    found = []
    while left:
        first = min(left, key=str)
        candidates = []
        for _ in range(60):
            one = {name: choices[draw.integers(len(choices))] for name, choices in factors.items()}
            one |= {first[0]: first[1], first[2]: first[3]}
            candidates.append(one)
        best = max(candidates, key=lambda one: len(left & _pairs(one, pairs)))
        left -= _pairs(best, pairs)
        found.append(best)
    return found


def _pairs(one: dict[str, Any], pairs: Sequence[tuple[str, str]]) -> set[tuple[Any, ...]]:
    return {(a, one[a], b, one[b]) for a, b in pairs}


def case(choice: dict[str, Any]) -> Case:
    """Return the acquisition of a combination; exclusive choices are dropped."""
    layout, ending = choice["layout"], choice["ending"]
    axes = choice["axes"]
    if layout in ("single", "never"):
        axes = axes.replace("p", "")
    if ending == "unbounded":
        axes = "t" + axes.replace("t", "")
    sizes = tuple(None if a == "t" and ending == "unbounded" else SIZES[a] for a in axes)
    total = int(np.prod([SIZES[a] for a in axes]))
    frames = {"cancelled": total // 2 + 1, "kept": total // 2 + 1, "no frames": 0}.get(ending)
    stored = [a for a in axes if a != "p"]
    if choice["stored"] == "inside out":
        stored.reverse()
    # Bio-Formats 7.3.1 fails to decompress some padded tiles with zstd, those of tifffile as well
    format_: dict[str, Any] = {
        "tile": "auto" if choice["compression"] == "zstd" else choice["tile"]
    }
    if layout in ("always", "never"):
        format_["prefer_single_file"] = layout
    elif layout != "single":
        format_["multi_file_metadata"] = layout
    acquired = Case(
        "-".join(str(value) for value in choice.values()).replace(" ", "_"),
        axes,
        sizes,
        dtype=choice["dtype"],
        compression=choice["compression"],
        frames=total if ending == "unbounded" else frames,
        order=[*[a for a in axes if a == "p"], *stored, "y", "x"],
        format=format_,
        plate=choice["plate"] and "p" in axes,
        metadata=choice["metadata"],
    )
    return dataclasses.replace(acquired, reached=final_sizes(acquired, keep=ending == "kept"))


def final_sizes(acquired: Case, *, keep: bool) -> tuple[dict[str, int], ...]:
    """Return the sizes of each image: truncated along its slowest axis if frames are missing."""
    slow = acquired.axes.replace("p", "")[0]
    images = SIZES["p"] if "p" in acquired.axes else 1
    total = int(np.prod([SIZES[a] for a in acquired.axes]))
    if keep or acquired.total == total:
        return ({slow: SIZES[slow]},) * images
    extents = [1] * images
    for number in range(acquired.total):
        at = acquired.index(number)
        image = at.get("p", 0)
        extents[image] = max(extents[image], at[slow] + 1)
    return tuple({slow: extent} for extent in extents)


CASES = [case(choice) for choice in pairwise(FACTORS)]


@pytest.fixture(scope="module", params=CASES, ids=lambda one: one.name)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Case, Path]]:
    """An acquisition, and the path of its dataset."""
    acquired: Case = request.param
    folder = tmp_path_factory.mktemp("matrix")
    settings = acquired.settings(folder)
    settings.on_incomplete = "keep" if "kept" in acquired.name else "trim"
    settings.root_path = str(folder / "x.ome.tiff")
    with create_stream(settings) as stream:
        for number in range(acquired.total):
            stream.append(acquired.pixels(number), frame_metadata=acquired.facts(number))
    yield acquired, folder / stream.settings.output_path
    shutil.rmtree(folder)


def files_of(path: Path) -> list[Path]:
    """Return the TIFF files of a dataset."""
    return [path] if path.is_file() else sorted(path.glob("*.tiff"))


def stored(acquired: Case, image: np.ndarray) -> np.ndarray:
    """Return the planes of an image, shape (t, c, z, y, x), in the order of the file."""
    letters = [a for a in acquired.order if a in "tcz"]
    if None in acquired.sizes:  # in order along the unbounded axis
        letters = ["t", *(a for a in letters if a != "t")]
    letters = [*(a for a in "tcz" if a not in letters), *letters]
    return image.transpose(*("tcz".index(a) for a in letters), 3, 4).reshape(-1, *image.shape[-2:])


# warning of tifffile about sets
@pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")
def test_tifffile(written: tuple[Case, Path]) -> None:
    """Each file alone has the correct pages and, if its OME-XML is complete, the correct series."""
    acquired, path = written
    images = [stored(acquired, image) for image in acquired.expected()]
    files = files_of(path)
    for number, file in enumerate(files):
        with tifffile.TiffFile(file) as tiff:
            pages = np.stack([page.asarray() for page in tiff.pages])
            if len(pages) > len(images[number]) and "inside_out" in acquired.name and path.is_dir():
                # truncated along an inner axis: pages of a set keep their numbers, with blank ones between them
                there = [planes[planes.any(axis=(1, 2))] for planes in (pages, images[number])]
                np.testing.assert_array_equal(*there)
            elif len(files) > 1:
                np.testing.assert_array_equal(pages, images[number])
            elif None in acquired.sizes and len(images) > 1:
                inner = [len(image) // SIZES["t"] for image in images]
                rows = [i.reshape(-1, n, *i.shape[1:]) for i, n in zip(images, inner, strict=True)]
                np.testing.assert_array_equal(pages, np.concatenate(rows, 1).reshape(pages.shape))
            else:
                np.testing.assert_array_equal(pages, np.concatenate(images))
            if "BinaryOnly" in (tiff.ome_metadata or ""):
                continue
            if len(tiff.series) == len(images):
                for series, image in zip(tiff.series, images, strict=True):
                    np.testing.assert_array_equal(series.asarray().reshape(image.shape), image)
            else:
                assert acquired.format.get("multi_file_metadata") not in ("redundant", None)


def test_schema(written: tuple[Case, Path]) -> None:
    """The OME schema accepts all OME-XML, its pages and files exist, and metadata reads back."""
    acquired, path = written
    checked = validate(path)
    assert checked.valid, checked.findings
    assert not [check for check in checked.checks if check.skipped]
    known = [f["número"] for f in read_frame_metadata(path)] if acquired.metadata else []
    assert sorted(known) == list(range(acquired.total if acquired.metadata else 0))


@pytest.mark.skipif(shutil.which("tiffinfo") is None, reason="libtiff's tools are not installed")
def test_tiffinfo(written: tuple[Case, Path]) -> None:
    """Libtiff reports no warning."""
    acquired, path = written
    data = (
        [] if acquired.compression in ("lzw", "zstd") else ["-D"]
    )  # not every libtiff supports these
    for file in files_of(path):
        result = subprocess.run(["tiffinfo", *data, str(file)], capture_output=True, text=True)
        assert result.stderr == ""
        assert result.returncode == 0


def test_bioformats(written: tuple[Case, Path]) -> None:
    """Whichever file is opened, every image has its pixels, name, sizes, channels and planes."""
    acquired, path = written
    expected = acquired.expected()
    files = files_of(path)
    if path.is_dir():
        files = [files[0], files[-1], *path.glob("*.companion.ome")]
    for file in dict.fromkeys(files):
        found = read(file)
        assert len(found) == len(expected)
        for number, (series, pixels) in enumerate(zip(found, expected, strict=True)):
            np.testing.assert_array_equal(series.pixels, pixels)
            assert series.facts["PhysicalSizeX"] == 0.25
            assert series.facts["Plates"] == int(acquired.plate)
            if "p" in acquired.axes:
                assert series.name == f"Pos {number}"
            assert series.facts["Channels"] == [f"Channel {i}" for i in range(pixels.shape[1])]
        if acquired.metadata:
            times = [d * 8 for series in found for d in series.facts["DeltaT"] if d is not None]
            assert sorted(times) == list(range(acquired.total))
