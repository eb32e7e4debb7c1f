"""``mda.run(sequence, output=path)`` writes the metadata that `MDAWriter` writes, except some frame metadata."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest

import ome_writers
from adapters.pymmcore.acquisitions import delivered
from adapters.pymmcore.stored import SUFFIXES, attributes, read
from ome_writers_pymmcore import MDAWriter

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
pytest.importorskip("tifffile", reason="the independent reader")

import tifffile
import useq
from pymmcore_plus.mda._sink import OmeWritersSink, _serialize_summary_meta

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera

TIME: Any = {"interval": 0, "loops": 2}
STACK: Any = {"range": 2, "step": 1}
SEQUENCES: dict[str, Any] = {
    "one frame": {"channels": ["DAPI"]},
    "time": {"time_plan": TIME},
    "interval": {"time_plan": {"interval": 0.02, "loops": 2}},
    "stack downwards": {"z_plan": {**STACK, "go_up": False}},
    "channels": {
        "channels": [{"config": "DAPI", "exposure": 2}, {"config": "FITC", "exposure": 3}]
    },
    "ragged": {"channels": ["DAPI", {"config": "FITC", "do_stack": False}], "z_plan": STACK},
    "positions": {"stage_positions": [(1, 2, 3), {"x": 4, "y": 5, "name": "cell"}]},
    "grid": {"grid_plan": {"rows": 2, "columns": 1}, "channels": ["DAPI"]},
    "positions with grids": {
        "stage_positions": [
            {"x": 0, "y": 0, "sequence": {"grid_plan": {"rows": 1, "columns": 2}}},
            (9, 9),
        ]
    },
    "all axes": {
        "time_plan": TIME,
        "stage_positions": [(0, 0), (9, 9)],
        "channels": ["DAPI", "FITC"],
        "z_plan": STACK,
    },
    "positions slowest": {
        "axis_order": "ptzc",
        "time_plan": TIME,
        "stage_positions": [(0, 0), (9, 9)],
        "channels": ["DAPI", "FITC"],
    },
    "plate": {
        "stage_positions": useq.WellPlatePlan(
            plate=96, a1_center_xy=(0, 0), selected_wells=([0, 1], [0, 1])
        ),
        "channels": ["DAPI"],
    },
}
COMMON_FRAME_METADATA = {
    "storage_index",
    "exposure_time",
    "position_x",
    "position_y",
    "position_z",
}


def write_summary_like_main(self: Any, *, after_close: bool = False) -> None:
    """Attach the summary as the main branch of pymmcore-plus does, before the first frame."""
    if not after_close and self._stream is not None:
        summary = _serialize_summary_meta(self._summary_meta)
        self._stream.set_global_metadata("pymmcore_plus", {"summary_metadata": summary})


@pytest.fixture(params=["installed", "main"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose how the client attaches its summary: as installed, or as its main branch does."""
    if request.param == "main":
        if not hasattr(OmeWritersSink, "_write_summary_metadata"):
            pytest.skip("the installed pymmcore-plus attaches the summary like main")
        monkeypatch.setattr(OmeWritersSink, "_write_summary_metadata", write_summary_like_main)
    return str(request.param)


def comparable_settings(settings: dict[str, Any]) -> dict[str, Any]:
    assert settings["acquisition_date"].startswith("20")
    return {k: v for k, v in settings.items() if k not in ("root_path", "acquisition_date")}


def comparable_group(group: dict[str, Any]) -> dict[str, Any]:
    """Return attributes without what differs from run to run, and without the summary."""
    group.pop("pymmcore_plus", None)
    ours = group.get("ome_writers", {})
    for key in ("id", "started", "updated", "measured"):
        ours.pop(key, None)
    if "settings" in ours:
        ours["settings"] = comparable_settings(ours["settings"])
    ours["frame_metadata"] = [
        {key: frame[key] for key in frame if key in COMMON_FRAME_METADATA}
        for frame in ours.get("frame_metadata", ())
    ]
    ome = group.get("ome", {})
    for channel in ome.get("omero", {}).get("channels", ()):
        del channel["window"]["start"], channel["window"]["end"]
    for multiscale in ome.get("multiscales", ()):
        if multiscale["axes"][0]["name"] == "t":
            multiscale["axes"][0].pop("unit", None)
            multiscale["datasets"][0]["coordinateTransformations"][0]["scale"][0] = None
    return group


def comparable_xml(text: str) -> Any:
    """Return an OME-XML as nested tuples, without what differs from run to run."""
    text = re.sub("[-0-9a-f]{36}", "UUID", text)
    root = ElementTree.fromstring(text.encode())
    root.attrib.pop("UUID", None)
    for note in root.iterfind("{*}StructuredAnnotations/*"):
        if note.get("Namespace") == "ome_writers":
            info = json.loads(note.findtext("{*}Value") or "")
            info["settings"] = comparable_settings(info["settings"])
            del info["updated"], info["id"]
            note[0].text = json.dumps(info, sort_keys=True)
    return _nested(root)


def _nested(element: Element) -> Any:
    tag = element.tag.rpartition("}")[2]
    ignored = ("DeltaT", "DeltaTUnit", "StartTime")
    values = {k: v for k, v in element.items() if k not in ignored}
    children = [
        _nested(child)
        for child in element
        if child.get("Namespace") not in ("ome_writers/frame_metadata", "pymmcore_plus")
        and not (tag == "Plane" and child.tag.endswith("AnnotationRef"))
    ]
    children = [child for child in children if child != ("StructuredAnnotations", [], "", [])]
    text = "" if tag in ("AcquisitionDate", "M") else (element.text or "").strip()
    return tag, sorted(values.items()), text, children


def documents(output: Path) -> dict[str, Any]:
    """Return the comparable metadata documents of a dataset by file name."""
    found: dict[str, Any] = {}
    if output.is_dir():
        for file in output.rglob("zarr.json"):
            if json.loads(file.read_bytes())["node_type"] == "group":
                key = file.relative_to(output).as_posix()
                found[key] = comparable_group(attributes(file.parent))
        for file in output.rglob("*.xml"):
            found[file.name] = comparable_xml(file.read_text(encoding="utf-8"))
    else:
        for file in output.parent.rglob("*.tiff"):
            found[file.name] = comparable_xml(tifffile.tiffcomment(file))
    return found


@SUFFIXES
@pytest.mark.parametrize("plan", SEQUENCES)
def test_documents_of_path_and_writer_are_equal(
    demo_core: CMMCorePlus, client: str, plan: str, suffix: str, tmp_path: Path
) -> None:
    """They differ in frame metadata only: index, camera and properties of each frame."""
    demo_core.mda.engine.use_hardware_sequencing = False
    sequence = useq.MDASequence(**SEQUENCES[plan])
    by_path, by_writer = (tmp_path / way / f"run.ome.{suffix}" for way in ("path", "writer"))
    demo_core.mda.run(sequence, output=by_path)
    writer = MDAWriter(by_writer, core=demo_core)
    demo_core.mda.run(sequence, output=writer)
    writer.result()
    found, expected = documents(by_path), documents(by_writer)
    assert found.keys() == expected.keys()
    for name, document in expected.items():
        assert found[name] == document
    assert "DemoCamera-MultiMode" in str(found)


@pytest.fixture
def two_cameras(demo_core: CMMCorePlus) -> Iterator[CMMCorePlus]:
    """Return the core with presets that select a large camera of 16 bits, and a small one of 8 bits."""
    core = demo_core
    core.mda.engine.use_hardware_sequencing = False
    core.loadDevice("Narrow", "DemoCamera", "DCam")
    core.initializeDevice("Narrow")
    for name, value in (("OnCameraCCDXSize", 20), ("OnCameraCCDYSize", 32), ("Mode", "Noise")):
        core.setProperty("Narrow", name, value)
    core.setProperty("Narrow", "PixelType", "8bit")
    core.defineConfig("Look", "wide", "Core", "Camera", "Camera")
    core.defineConfig("Look", "narrow", "Core", "Camera", "Narrow")
    yield core
    core.setCameraDevice("Camera")
    core.deleteConfigGroup("Look")
    core.unloadDevice("Narrow")


@SUFFIXES
@pytest.mark.parametrize("order", ["tcz", "tzc", "ctz"])
@pytest.mark.parametrize("presets", [("wide", "narrow"), ("narrow", "wide"), ("narrow",)])
def test_presets_that_select_cameras_of_different_format(
    two_cameras: CMMCorePlus,
    client: str,
    suffix: str,
    order: str,
    presets: tuple[str, ...],
    tmp_path: Path,
) -> None:
    """Each camera has an image with its frames, named after it, as with `MDAWriter`."""
    core = two_cameras
    channels: Any = [{"group": "Look", "config": name, "exposure": 1} for name in presets]
    sequence = useq.MDASequence(time_plan=TIME, channels=channels, z_plan=STACK, axis_order=order)
    by_path, by_writer = (tmp_path / way / f"run.ome.{suffix}" for way in ("path", "writer"))
    core.setCameraDevice("Camera")
    with delivered(core) as frames:
        core.mda.run(sequence, output=by_path)
    assert len(frames) == 6 * len(presets)
    images = [np.squeeze(image.pixels) for image in read(by_path)]
    shapes = {"wide": (32, 48), "narrow": (32, 20)}
    assert [image.shape[-2:] for image in images] == [shapes[name] for name in presets]
    dtypes = {"wide": np.uint16, "narrow": np.uint8}
    assert [image.dtype for image in images] == [dtypes[name] for name in presets]
    for index, frame in frames:
        image = images[index["c"]]
        stored = image.reshape(2, -1, 3, *image.shape[-2:])
        np.testing.assert_array_equal(
            stored[index["t"], min(index["c"], stored.shape[1] - 1), index["z"]], frame
        )
    core.setCameraDevice("Camera")
    writer = MDAWriter(by_writer, core=core)
    core.mda.run(sequence, output=writer)
    writer.result()
    assert documents(by_path) == documents(by_writer)


@SUFFIXES
def test_labels_of_a_multi_camera_device(
    two_cameras: CMMCorePlus, client: str, suffix: str, tmp_path: Path
) -> None:
    """The channels have the labels of the cameras."""
    core = two_cameras
    core.setProperty("Narrow", "OnCameraCCDXSize", 48)
    core.setProperty("Narrow", "PixelType", "16bit")
    core.loadDevice("Both", "Utilities", "Multi Camera")
    core.initializeDevice("Both")
    core.setProperty("Both", "Physical Camera 1", "Camera")
    core.setProperty("Both", "Physical Camera 2", "Narrow")
    core.setCameraDevice("Both")
    by_path, by_writer = (tmp_path / way / f"run.ome.{suffix}" for way in ("path", "writer"))
    sequence = useq.MDASequence(time_plan=TIME)
    try:
        core.mda.run(sequence, output=by_path)
        writer = MDAWriter(by_writer, core=core)
        core.mda.run(sequence, output=writer)
        writer.result()
    finally:
        core.unloadDevice("Both")
    channels = ome_writers.read(by_path).images[0].channels
    assert [channel.name for channel in channels] == ["Camera", "Narrow"]
    assert documents(by_path) == documents(by_writer)
