"""Pages of an OME-TIFF with checksums: after all that happens to a dataset, and when a bit is flipped."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tifffile

import ome_writers as ow
from ome_writers import AcquisitionSettings, Dimension, OmeTiffFormat, Pyramid, validate
from support.interrupted import write_and_kill

TAG = 65143
SIZE = (48, 40)
LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compressed": {"compression": "deflate", "durability": "disk"},
    "tiles": {"tile": 16, "pyramid": Pyramid(levels=1)},
    "compressed tiles": {"tile": 16, "pyramid": Pyramid(levels=1), "compression": "deflate"},
    "set": {"positions": 2, "durability": "disk"},
    "growing": {"count": None},
}


def settings_of(
    path: Path,
    *,
    tile: int | None = None,
    positions: int = 0,
    count: int | None = 5,
    size: tuple[int, int] = SIZE,
    checksum: bool = True,
    **fields: Any,
) -> AcquisitionSettings:
    names = [f"p{number}" for number in range(positions)]
    position = [Dimension(name="p", type="position", coords=names)] if positions else []
    dimensions = [Dimension(name="t", count=count), *position, Dimension(name="c", count=2)]
    dimensions += [Dimension(name="y", count=size[0]), Dimension(name="x", count=size[1])]
    return AcquisitionSettings(
        root_path=path,
        dimensions=dimensions,
        dtype="uint16",
        format=OmeTiffFormat(checksum=checksum, tile=tile),
        **fields,
    )


def write(settings: AcquisitionSettings, frames: int | None = None) -> Path:
    """Write frames, one of them twice."""
    rng = np.random.default_rng(0)
    shape = tuple(dim.count or 0 for dim in settings.dimensions[-2:])
    with ow.create_stream(settings) as stream:
        for _ in range(frames or settings.num_frames or 10):
            stream.append(rng.poisson(100, shape).astype("uint16"))
        stream.flush()
        position = {"p": 0} if settings.dimensions[1].type == "position" else {}
        stream.append(rng.poisson(300, shape).astype("uint16"), index={"t": 1, "c": 1, **position})
    return Path(settings.output_path)


def pages(path: Path) -> list[tifffile.TiffPage]:
    """Return the pages of all files, and of all levels."""
    found = []
    for file in sorted(path.glob("*.tiff")) if path.is_dir() else [path]:
        with tifffile.TiffFile(file) as tiff:
            for page in tiff.pages:
                found += [page.aspage(), *(page.aspage().pages or ())]
    return found


def check(path: Path, *, pixels: int | None = None) -> None:
    """Check that all pages have the checksum of what is stored, which `validate` verifies."""
    for page in pages(path):
        with open(page.parent.filehandle.path, "rb") as file:
            stored = b""
            for offset, nbytes in zip(page.dataoffsets, page.databytecounts, strict=True):
                file.seek(offset)
                stored += file.read(nbytes)
        assert page.tags[TAG].value == google_crc32c.value(stored)
    checked = validate(path)
    assert checked.valid, checked.findings
    assert [c.skipped for c in checked.checks if c.name == "checksums"] == [None]
    if pixels is not None:
        assert ow.read(path).frames_written == pixels
    assert all(level.checksum for image in ow.read(path).images for level in image.levels)


@pytest.mark.parametrize("frames", [None, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_page_has_the_checksum_of_its_strips(
    tmp_path: Path, layout: str, frames: int | None
) -> None:
    """Also of pages that were never written, that were written twice, and of levels."""
    check(write(settings_of(tmp_path / "a.ome.tiff", **LAYOUTS[layout]), frames))


@pytest.mark.parametrize("layout", ["plain", "compressed", "growing", "set"])
def test_killed_and_resumed_datasets_keep_their_checksums(tmp_path: Path, layout: str) -> None:
    settings = settings_of(tmp_path / "a.ome.tiff", size=(4, 6), **LAYOUTS[layout])
    path = write_and_kill(settings, 3, 4)
    running = validate(path)
    assert [c.findings for c in running.checks if c.name == "checksums"] == [()]
    ow.repair(path)
    check(path, pixels=3)
    with ow.resume(path) as stream:
        for number, index in enumerate(islice(stream.remaining(), 5)):
            stream.append(np.full((4, 6), number, np.uint16), index=index)
    check(path, pixels=8)


def test_flipped_bits_are_named_by_image_and_index(tmp_path: Path) -> None:
    path = write(settings_of(tmp_path / "a.ome.tiff", **LAYOUTS["set"]))
    file = path / "a_p001.ome.tiff"
    with tifffile.TiffFile(file) as tiff:
        offset = tiff.pages[5].dataoffsets[0]
    content = bytearray(file.read_bytes())
    content[offset + 7] ^= 2
    file.write_bytes(content)
    (finding,) = validate(path).findings
    assert finding.path == file
    assert finding.what == "image 1, index (2, 1), page 5: the CRC-32C does not match"
    assert validate(path, quick=True).valid


def test_changed_ifd_is_named(tmp_path: Path) -> None:
    """A page of other pixels: WhiteIsZero instead of BlackIsZero."""
    path = write(settings_of(tmp_path / "a.ome.tiff"))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[3].tags[262].overwrite(0)
    named = [finding.what for finding in validate(path).findings]
    assert named == ["image 0, index (1, 1), page 3: its IFD was changed, tag 262"]


def test_pages_that_another_program_has_rewritten_are_reported(tmp_path: Path) -> None:
    path = write(settings_of(tmp_path / "a.ome.tiff"))
    with tifffile.TiffFile(path) as tiff:
        description, pixels = tiff.pages[0].description, tiff.asarray()
    tifffile.imwrite(
        path, pixels, description=description.encode(), metadata=None, bigtiff=True, byteorder="<"
    )
    what = "\n".join(finding.what for finding in validate(path).findings)
    assert "another program has rewritten it" in what


def test_conversions_and_edits_keep_checksums(tmp_path: Path) -> None:
    path = write(settings_of(tmp_path / "a.ome.tiff"))
    ow.edit(path, scale={"x": 0.5, "y": 0.5})
    check(path)
    kept = ow.convert(path, tmp_path / "kept.ome.tiff", compression="deflate").destination
    check(kept)
    removed = ow.convert(
        kept, tmp_path / "removed.ome.tiff", format=OmeTiffFormat(checksum=False)
    ).destination
    assert not ow.read(removed).images[0].levels[0].checksum
    assert {TAG in page.tags for page in pages(removed)} == {False}
    assert re.search("checksum", removed.read_bytes().decode("latin-1"))


def test_conversion_to_ome_zarr_and_back_keeps_checksums(tmp_path: Path) -> None:
    path = write(settings_of(tmp_path / "a.ome.tiff"))
    to_zarr = ow.convert(path, tmp_path / "zarr.ome.zarr").destination
    assert ow.read(to_zarr).images[0].levels[0].checksum
    check(ow.convert(to_zarr, tmp_path / "back.ome.tiff").destination)
