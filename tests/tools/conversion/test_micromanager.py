"""Conversion of Micro-Manager's folders with one file per image, and of its image stack files."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import InvalidFileError, convert, read_frame_metadata
from support.links import create_link

tifffile = pytest.importorskip("tifffile", reason="tifffile writes the files")
tensorstore = pytest.importorskip("tensorstore", reason="reads the result")

PIXELS = np.random.default_rng(8).integers(
    0, 2**16, (2, 3, 2, 4, 16, 20), "uint16"
)  # p, t, c, z, y, x
CHANNELS = ["DAPI", "Cy5"]
SUMMARY = {
    "MicroManagerVersion": "2.0.3 20260407",
    "Frames": 3,
    "Channels": 2,
    "Slices": 4,
    "Positions": 2,
    "Width": 20,
    "Height": 16,
    "PixelType": "GRAY16",
    "ChNames": CHANNELS,
    "ChColors": [-16776961, -65536],
    "z-step_um": 1.5,
    "Interval_ms": 2500,
    "StartTime": "2026-07-24 19:22:44.511 +0200",
    "UserName": "Ann",
}


def metadata_of(p: int, t: int, c: int, z: int) -> dict[str, Any]:
    return {
        "PositionName": f"Site {p}",
        "PositionIndex": p,
        "Channel": CHANNELS[c],
        "PixelSizeUm": 0.325,
        "XPositionUm": 100.0 * p,
        "YPositionUm": -50.0,
        "ZPositionUm": 1.5 * z,
        "ElapsedTime-ms": 2500.0 * t + 10 * z,
        "Exposure-ms": 20.0,
        "Camera-Gain": "4",
        "UserData": {"Laser": {"type": "STRING", "scalar": "on"}},
    }


def write_image_files(path: Path, version: str, pixels: Any = PIXELS) -> None:
    """Write files with the names and the metadata of Micro-Manager 1.4 or 2.0."""
    for p in range(len(pixels)):
        folder = path / f"Site {p}"
        folder.mkdir(parents=True)
        entries: dict[str, Any] = {"Summary": SUMMARY}
        for t, c, z in np.ndindex(pixels.shape[1:4]):
            metadata = metadata_of(p, t, c, z)
            if version == "1.4":
                name = f"img_{t:09d}_{CHANNELS[c]}_{z:03d}.tif"
                entries[f"FrameKey-{t}-{c}-{z}"] = {**metadata, "FileName": name}
            else:
                name = f"img_channel{c:03d}_position{p:03d}_time{t:09d}_z{z:03d}.tif"
                coordinates = {"position": p, "time": t, "z": z, "channel": c}
                entries[f"Coords-{folder.name}/{name}"] = coordinates
                entries[f"Metadata-{folder.name}/{name}"] = metadata
            tifffile.imwrite(folder / name, pixels[p, t, c, z], imagej=True, byteorder=">")
        (folder / "metadata.txt").write_text(json.dumps(entries, indent=2))


def read_zarr(path: Path) -> Any:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    return np.asarray(tensorstore.open(spec, open=True).result().read().result())


@pytest.mark.parametrize("version", ["1.4", "2.0"])
@pytest.mark.parametrize("destination", ["new.ome.zarr", "new.ome.tiff"])
def test_image_files(tmp_path: Path, destination: str, version: str) -> None:
    write_image_files(tmp_path / "old", version)
    done = convert(tmp_path / "old", tmp_path / destination, verify=True)
    assert (done.frames, done.empty) == (48, 0)
    spec = omew.read(done.destination)
    if destination.endswith("zarr"):
        for number, image in enumerate(spec.images):
            assert np.array_equal(read_zarr(done.destination / image.levels[0].key), PIXELS[number])
    view = omew.open(done.destination)
    order = [view.dims.index(name) for name in "ptczyx"]
    assert np.array_equal(np.asarray(view).transpose(order), PIXELS)
    image = spec.images[1]
    scales = dict(zip(image.dims, image.levels[0].scale, strict=True))
    assert scales == {"t": 2.5, "c": None, "z": 1.5, "y": 0.325, "x": 0.325}
    assert [(c.name, str(c.color)) for c in image.channels] == [("DAPI", "blue"), ("Cy5", "red")]
    assert image.position is not None
    assert (image.position.name, image.position.x_coord) == ("Site 1", 100)
    assert spec.metadata["micromanager"] == SUMMARY
    assert (spec.started or "").startswith("2026-07-24T")
    frames = read_frame_metadata(done.destination)
    assert len(frames) == 48
    for frame in frames:
        found = frame["micromanager"]
        assert frame["delta_t"] == pytest.approx(found["ElapsedTime-ms"] / 1000)
        assert frame["exposure_time"] == pytest.approx(0.02)
        assert frame["position_z"] == found["ZPositionUm"]
        assert found["UserData"] == {"Laser": {"type": "STRING", "scalar": "on"}}
    if destination.endswith("zarr"):  # t, c, z
        at = next(f for f in frames if f["storage_index"] == [2, 1, 3] and f["image"] == 1)
        assert at["micromanager"].items() >= metadata_of(1, 2, 1, 3).items()


def test_position_folder(tmp_path: Path) -> None:
    write_image_files(tmp_path / "old", "2.0", PIXELS[:1, :1, :, :1])
    view = omew.open(tmp_path / "old" / "Site 0")
    assert view.dims == ("p", "c", "y", "x")
    assert np.array_equal(np.asarray(view)[0], PIXELS[0, 0, :, 0])


@pytest.mark.parametrize("version", ["1.4", "2.0"])
def test_incomplete_acquisition(tmp_path: Path, version: str) -> None:
    """Every file is converted, also one that the truncated metadata do not list; what is missing stays empty."""
    write_image_files(tmp_path / "old", version)
    folder = tmp_path / "old" / "Site 1"
    last = sorted(folder.glob("img_*"))[-3:]
    for file in last:
        file.unlink()
    text = (folder / "metadata.txt").read_text()
    (folder / "metadata.txt").write_text(text[: len(text) // 2])
    spec = omew.read(tmp_path / "old")
    assert (spec.status, spec.frames_written, spec.frames_expected) == ("cancelled", 45, 48)
    done = convert(tmp_path / "old", tmp_path / "new.ome.zarr", verify=True)
    assert (done.frames, done.empty) == (45, 3)
    found = np.stack(
        [read_zarr(done.destination / i.levels[0].key) for i in omew.read(done.destination).images]
    )
    equal = (found == PIXELS).all(axis=(-1, -2))
    assert equal.sum() == 45
    assert not found[~equal].any()
    frames = read_frame_metadata(done.destination)
    assert 24 < sum("micromanager" in frame for frame in frames) < 45


def test_image_of_another_shape_is_refused(tmp_path: Path) -> None:
    write_image_files(tmp_path / "old", "2.0", PIXELS[:1])
    file = max((tmp_path / "old").rglob("img_*"))
    tifffile.imwrite(file, PIXELS[0, 0, 0, 0, :8], imagej=True)
    with pytest.raises(InvalidFileError, match=r"has shape \(8, 20\), expected \(16, 20\)"):
        convert(tmp_path / "old", tmp_path / "new.ome.zarr")
    assert not (tmp_path / "new.ome.zarr").exists()


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_image_files(tmp_path / "old", "2.0", PIXELS[:1])
    file = max((tmp_path / "old").rglob("img_*"))
    outside = file.rename(tmp_path / "outside.tif")
    create_link(file, outside, "refusal of an image outside the folder")
    with pytest.raises(InvalidFileError, match="leads out of the dataset"):
        convert(tmp_path / "old", tmp_path / "new.ome.zarr")


def write_stack(path: Path, pages: Any, description: str) -> None:
    """Write a stack file: OME-TIFF with a JSON object in the header, and in a tag of each page."""
    summary = json.dumps(SUMMARY).encode()
    content = bytearray(b"II*\0" + bytes(28) + struct.pack("<II", 2355492, len(summary)) + summary)
    link = 4  # where the offset of the next IFD belongs
    for t, page in enumerate(pages):
        texts = [description.encode() + b"\0", json.dumps(metadata_of(0, t, 0, 0)).encode() + b"\0"]
        starts = []
        for block in (page.tobytes(), *texts):
            content += bytes(-len(content) % 2)
            starts.append(len(content))
            content += block
        content += bytes(-len(content) % 2)
        struct.pack_into("<I", content, link, len(content))
        height, width = page.shape
        entries = [
            *(
                (256, 4, 1, width),
                (257, 4, 1, height),
                (258, 3, 1, 16),
                (259, 3, 1, 1),
                (262, 3, 1, 1),
            ),
            *((270, 2, len(texts[0]), starts[1]), (273, 4, 1, starts[0]), (277, 3, 1, 1)),
            *((278, 4, 1, height), (279, 4, 1, page.nbytes), (51123, 2, len(texts[1]), starts[2])),
        ]
        content += struct.pack("<H", len(entries))
        content += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
        link = len(content) - 4
    path.write_bytes(content)


def test_metadata_of_stack_files(tmp_path: Path) -> None:
    path = tmp_path / "run_MMStack_Pos0.ome.tif"
    pages = PIXELS[0, :, 0, 0]
    planes = "".join(f'<TiffData FirstT="{t}" IFD="{t}" PlaneCount="1"/>' for t in range(3))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="Pos0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="20" SizeY="16" SizeZ="1" SizeC="1" '
        f'SizeT="3"><Channel ID="Channel:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    )
    write_stack(path, pages, xml)
    with tifffile.TiffFile(path) as tiff:  # both as tifffile reads them
        assert tiff.micromanager_metadata["Summary"] == SUMMARY
        assert tiff.pages[2].tags[51123].value == metadata_of(0, 2, 0, 0)
    done = convert(path, tmp_path / "new.ome.zarr", verify=True)
    spec = omew.read(done.destination)
    assert np.array_equal(read_zarr(done.destination / spec.images[0].levels[0].key), pages)
    assert spec.metadata["micromanager"] == SUMMARY
    for t, frame in enumerate(read_frame_metadata(done.destination)):
        assert frame["micromanager"] == metadata_of(0, t, 0, 0)
        assert frame["delta_t"] == 2.5 * t
