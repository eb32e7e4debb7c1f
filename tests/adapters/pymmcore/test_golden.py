"""The metadata of one run on the demo camera, compared with stored text.

What differs from run to run (times, versions, paths, identifiers) is replaced by a word in angle brackets. To take over
a change that is meant: ``OME_WRITERS_GOLDEN=write pytest tests/adapters/pymmcore/test_golden.py``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapters.pymmcore.stored import attributes
from ome_writers_pymmcore import MDAWriter

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
pytest.importorskip("ome_types", reason="the validator of OME-XML")

import ome_types
import useq

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "pymmcore"
WRITE = os.environ.get("OME_WRITERS_GOLDEN") == "write"


@pytest.fixture
def microscope(demo_core: CMMCorePlus) -> Iterator[CMMCorePlus]:
    """Return the demo microscope, configured with values for all metadata."""
    core = demo_core
    core.mda.engine.use_hardware_sequencing = False
    core.setProperty("Camera", "BitDepth", "12")
    core.setProperty("Camera", "Gain", "2")
    core.setProperty("Camera", "Offset", "5")
    core.setPixelSizeAffine("Res10x", [0.0, 1.0, 0.0, -1.0, 0.0, 0.0])
    yield core
    core.setPixelSizeAffine("Res10x", [1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    core.setProperty("Camera", "Offset", "0")
    core.setProperty("Camera", "Gain", "0")
    core.setProperty("Camera", "BitDepth", "16")
    core.setExposure(1)


def run(core: CMMCorePlus, output: Path) -> None:
    """Acquire two time points of two channels at a named position."""
    sequence = useq.MDASequence(
        stage_positions=[useq.Position(x=100, y=-50, z=2.5, name="nucleus")],
        channels=[{"config": "DAPI", "exposure": 2}, {"config": "FITC", "exposure": 4}],
        time_plan={"interval": 0.05, "loops": 2},
        z_plan={"range": 1, "step": 0.5},
    )
    writer = MDAWriter(output, core=core)
    core.mda.run(sequence, output=writer)
    assert writer.result().written == 12


def compare(name: str, text: str) -> None:
    """Compare with the stored text, or store this one."""
    file = GOLDEN / name
    if WRITE:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_ome_xml(microscope: CMMCorePlus, tmp_path: Path) -> None:
    """The OME-XML of a run is valid and equal to the stored text."""
    run(microscope, tmp_path / "x.ome.tiff")
    document = ome_types.from_tiff(tmp_path / "x.ome.tiff")
    ome_types.validate_xml(document.to_xml())
    text = document.to_xml(indent=2)
    for pattern, word in (
        (r'(?<=UUID=")[^"]+', "<uuid>"),
        (r"(?<=<AcquisitionDate>)[^<]+", "<date>"),
        (r'(?<=DeltaT=")[^"]+', "<seconds>"),
        (r'(?<=Creator=")[^"]+', "<creator>"),
        (r'(?<="id":")urn:uuid:[^"]+', "<id>"),
        (r'(?<="version":")[^"]+', "<version>"),
        (r'(?<="updated":")[^"]+', "<time>"),
        (r'(?<="root_path":")[^"]+', "<path>"),
        (r"Micro-Manager: [^\"]+", "Micro-Manager: <software>"),
        (r'(?<="acquisition_date":")[^"]+', "<date>"),
        (r'(?<="software":){[^}]+}', '"<software>"'),
        (r'(?s)(?<=<M K="summary_metadata">).*?(?=</M>)', "<summary>"),
    ):
        text = re.sub(pattern, word, text)
    compare("run.ome.xml", text.strip() + "\n")


def test_zarr_json(microscope: CMMCorePlus, tmp_path: Path) -> None:
    """The attributes of a run's image, and of its root, are equal to the stored text."""
    run(microscope, tmp_path / "x.ome.zarr")
    root: dict[str, Any] = attributes(tmp_path / "x.ome.zarr")
    image: dict[str, Any] = attributes(tmp_path / "x.ome.zarr" / "0")
    assert root.pop("pymmcore_plus")["summary_metadata"]["format"] == "summary-dict"
    image["ome_writers"]["version"] = "<version>"
    ours = root.pop("ome_writers")
    assert (ours["status"], ours["frames"]) == ("complete", {"expected": 12, "written": 12})
    assert ours["settings"]["acquisition_date"].startswith("20")
    root["instrument"] = ours["settings"]["instrument"]
    assert root["instrument"].pop("software")["pymmcore-plus"]
    for channel in image["ome"]["omero"]["channels"]:
        window = channel["window"]
        assert 0 <= window["start"] < window["end"] <= window["max"]
        window["start"], window["end"] = "<low>", "<high>"
    for frame in image["ome_writers"]["frame_metadata"]:
        assert 0 < frame["delta_t"] < 60
        frame["delta_t"] = "<seconds>"
    text = json.dumps({"root": root, "image": image}, indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+([-\d.,\s]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    compare("run.zarr.json", text + "\n")
