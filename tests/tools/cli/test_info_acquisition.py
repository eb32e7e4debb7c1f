"""``ome-writers info``: time, optics, plates, and the options for parts of the metadata."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Channel,
    Dimension,
    Instrument,
    Objective,
    Plate,
    Position,
    convert,
    create_stream,
    dims_from_standard_axes,
    read,
)
from ome_writers_tools.cli import main
from ome_writers_tools.cli.description import describe, describe_acquisition, plate_map
from ome_writers_tools.cli.description.description import PlateDescription

if TYPE_CHECKING:
    from pathlib import Path

MICROSCOPE = {
    "acquisition_date": "2026-03-01T10:00:00+01:00",
    "instrument": Instrument(
        objective=Objective(model="Plan Apo", magnification=20.0, lens_na=0.75, immersion="Air")
    ),
}
SAMPLE = {"organism": "mouse"}
CHANNELS = [
    Channel(name="DAPI", color="blue", excitation_wavelength_nm=365, emission_wavelength_nm=450),
    Channel(name="FITC", color="lime", exposure_ms=50),
]


def write(path: Path, positions: list[Position] | None = None, **more: Any) -> Path:
    """Write two channels of 8 x 8 pixels at each position, 2 s between frames."""
    dimensions = [
        *([Dimension(name="p", type="position", coords=positions)] if positions else []),
        Dimension(name="c", coords=CHANNELS),
        *dims_from_standard_axes({"y": 8, "x": 8}),
    ]
    settings = AcquisitionSettings(
        root_path=path, dimensions=dimensions, dtype="uint16", **MICROSCOPE, **more
    )
    with create_stream(settings) as stream:
        stream.set_global_metadata("sample", SAMPLE)
        for number in range(settings.num_frames or 0):
            metadata = {"delta_t": 2.0 * number, "state": {"lamp": "on"}}
            stream.append(np.full((8, 8), number, np.uint16), frame_metadata=metadata)
    return path


def plate_of_96(path: Path) -> Path:
    """Write two fields of view in each well of the rows A to G."""
    plate = Plate.from_standard_wells(96)
    positions = [
        Position(name=f"f{field}", plate_row=row, plate_column=column, x_coord=9000.0 * n)
        for row in plate.row_names[:-1]
        for n, column in enumerate(plate.column_names)
        for field in range(2)
    ]
    return write(path, positions, plate=plate)


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_acquisition_of_both_formats(tmp_path: Path, suffix: str) -> None:
    acquisition = describe_acquisition(read(write(tmp_path / f"run{suffix}")))
    assert acquisition.started == "2026-03-01T10:00:00+01:00"
    assert acquisition.objective == "Plan Apo (20x, NA 0.75, Air)"
    assert [(c.color, c.excitation_nm, c.exposure_ms) for c in acquisition.channels] == [
        ("#0000ff", 365, None),
        ("#00ff00", None, 50),
    ]


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_started_is_before_updated(tmp_path: Path, suffix: str) -> None:
    spec = read(write(tmp_path / f"run{suffix}"))
    assert spec.started is not None
    assert spec.updated is not None
    assert spec.started[:19] <= spec.updated[:19]


def test_clock_that_is_set_forward_does_not_change_the_duration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.ome.zarr"
    dimensions = dims_from_standard_axes({"t": 2, "y": 8, "x": 8})
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint8") as stream:
        stream.append(np.zeros((8, 8), np.uint8))
        for module in ("streaming.frame_writer", "formats.omezarr.metadata"):
            monkeypatch.setattr(f"ome_writers.{module}.datetime", HourAhead)
        stream.append(np.zeros((8, 8), np.uint8))
    duration = describe_acquisition(read(path)).duration_s
    assert duration is not None
    assert 0 <= duration < 600


class HourAhead(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # of a clock that was set
        return datetime.now(tz) + timedelta(hours=1)


def test_duration_of_converted_dataset_is_that_of_its_frames(tmp_path: Path) -> None:
    """The copy was created long after the acquisition."""
    write(tmp_path / "a.ome.zarr")
    convert(tmp_path / "a.ome.zarr", tmp_path / "b.ome.tiff")
    acquisition = describe_acquisition(read(tmp_path / "b.ome.tiff"))
    assert acquisition.duration_s == 2.0
    assert acquisition.started == "2026-03-01T10:00:00+01:00"


def test_objective_and_exposure_of_another_program(tmp_path: Path) -> None:
    """The OME-XML of a TIFF that tifffile wrote: objective, date and exposure times."""
    tifffile = pytest.importorskip("tifffile", reason="writes the file")
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Instrument ID="Instrument:0"><Objective ID="Objective:0" Manufacturer="Nikon" Model="S Fluor"'
        ' NominalMagnification="40" LensNA="1.3" Immersion="Oil"/></Instrument>'
        '<Image ID="Image:0"><AcquisitionDate>2020-02-02T20:20:20</AcquisitionDate>'
        '<ObjectiveSettings ID="Objective:0"/>'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8" SizeZ="1" SizeC="1"'
        ' SizeT="2"><Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData PlaneCount="2"/>'
        '<Plane TheZ="0" TheC="0" TheT="0" DeltaT="1" ExposureTime="20" ExposureTimeUnit="ms"/>'
        '<Plane TheZ="0" TheC="0" TheT="1" DeltaT="4" ExposureTime="0.03"/>'
        "</Pixels></Image></OME>"
    )
    path = tmp_path / "theirs.ome.tif"
    tifffile.imwrite(path, np.zeros((2, 8, 8), np.uint8), description=xml, metadata=None)
    acquisition = describe_acquisition(read(path))
    assert acquisition.objective == "Nikon S Fluor (40x, NA 1.3, Oil)"
    assert acquisition.started == "2020-02-02T20:20:20"
    assert acquisition.duration_s == 3.0
    assert acquisition.exposure_ms == pytest.approx((20, 30))


def test_plate_fits_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = plate_of_96(tmp_path / "plate.ome.zarr")
    monkeypatch.chdir(tmp_path)
    assert main(["info", path.name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "  A    2  2  2  2  2  2  2  2  2  2  2  2" in lines
    assert "  H    .  .  .  .  .  .  .  .  .  .  .  ." in lines
    assert any("x 0 to 99000 µm" in line for line in lines)
    assert any("84 wells, A1 to G12" in line for line in lines)
    assert main(["info", path.name, "--all"]) == 0
    assert "G/12/f1" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [24, 48])
def test_plate_map_of_large_plates(columns: int) -> None:
    plate = PlateDescription(None, ("A", "AF"), tuple(str(n + 1) for n in range(columns)))
    lines = plate_map(plate, ())
    assert max(map(len, lines)) <= 78
    assert lines[-1].count(".") == columns


def test_ratio_compares_with_frames_that_were_written(tmp_path: Path) -> None:
    assert describe(write(tmp_path / "a.ome.zarr")).bytes_raw == 2 * 8 * 8 * 2


def test_xml_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.ome.tiff")
    assert main(["info", str(path), "--xml"]) == 0
    assert '<Channel ID="Channel:0:0"' in capsys.readouterr().out
    assert main(["info", str(write(tmp_path / "a.ome.zarr")), "--xml"]) == 1
    assert "does not contain OME-XML; --metadata prints" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_metadata_option(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / f"a{suffix}")
    assert main(["info", str(path), "--metadata"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sample": SAMPLE}


def test_frames_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.ome.zarr")
    assert main(["info", str(path), "--frames"]) == 0
    title, head, *rows, note = capsys.readouterr().out.splitlines()
    assert title.endswith("a.ome.zarr: metadata of 2 frames")
    assert head.split() == ["c", "delta_t"]
    assert [row.split() for row in rows] == [["0", "0"], ["1", "2"]]
    assert note == "Only with --csv or --json: state"
    assert main(["info", str(path), "--csv"]) == 0
    assert capsys.readouterr().out == "c,delta_t,state.lamp\n0,0.0,on\n1,2.0,on\n"
    assert main(["info", str(path), "--frames", "--json"]) == 0
    frames = json.loads(capsys.readouterr().out)["frames"]
    assert [frame["state"] for frame in frames] == [{"lamp": "on"}] * 2


def test_parts_need_one_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.ome.zarr")
    write(tmp_path / "b.ome.zarr")
    assert main(["info", str(tmp_path), "--frames"]) == 1
    assert "contains several datasets; name one of them" in capsys.readouterr().err
