"""Formats: names, inference from the root path, and output path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ome_writers import (
    AcquisitionSettings,
    OmeTiffFormat,
    OmeZarrFormat,
    ScratchFormat,
    dims_from_standard_axes,
)

ZARR, TIFF, SCRATCH = OmeZarrFormat(), OmeTiffFormat(), ScratchFormat()


def inferred(root_path: str | Path, value: Any = "auto") -> Any:
    """Return the format of settings with this path."""
    return AcquisitionSettings(root_path=root_path, format=value).format


@pytest.mark.parametrize(
    ("root_path", "expected"),
    [
        ("", SCRATCH),
        ("a.zarr", OmeZarrFormat(suffix=".zarr")),
        ("a.ome.zarr", ZARR),
        ("a.ZARR", OmeZarrFormat(suffix=".zarr")),
        ("a.Ome.Zarr/", ZARR),
        (".zarr", OmeZarrFormat(suffix=".zarr")),
        ("d.zarr/a.tif", OmeTiffFormat(suffix=".tif")),
        ("a.tiff", OmeTiffFormat(suffix=".tiff")),
        ("a.OME.TIF", OmeTiffFormat(suffix=".ome.tif")),
        ("a.b.ome.tiff", TIFF),
        (Path("d") / "a.ome.tiff", TIFF),
    ],
)
def test_auto_format_from_suffix(root_path: str | Path, expected: Any) -> None:
    assert inferred(root_path) == expected


@pytest.mark.parametrize("root_path", ["a", "a.dat", "d.tiff/a", "a.companion.ome", "zarr"])
def test_auto_format_default_is_ome_zarr(root_path: str) -> None:
    with pytest.warns(UserWarning, match="Output format could not be inferred from root_path"):
        assert inferred(root_path) == ZARR


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ome-zarr", ZARR),
        ("zarr", ZARR),
        ("ome-tiff", TIFF),
        ("tiff", TIFF),
        ("scratch", SCRATCH),
        ("memory", SCRATCH),
        ("OME-Zarr", OmeZarrFormat()),
        ("direct", OmeZarrFormat(backend="direct")),
        ("tensorstore", OmeZarrFormat(backend="tensorstore")),
        ("acquire-zarr", OmeZarrFormat(backend="acquire-zarr")),
        ("zarrs-python", OmeZarrFormat(backend="zarrs-python")),
        ("zarr-python", OmeZarrFormat(backend="zarr-python")),
        ("tifffile", OmeTiffFormat(backend="tifffile")),
        ({"name": "zarr"}, ZARR),
        ({"backend": "tifffile"}, OmeTiffFormat(backend="tifffile")),
        (
            {"name": "ome-tiff", "prefer_single_file": True},
            OmeTiffFormat(prefer_single_file="always"),
        ),
        (OmeTiffFormat(suffix=".x"), OmeTiffFormat(suffix=".x")),
    ],
)
def test_format_from_name_of_format_or_backend(name: Any, expected: Any) -> None:
    assert inferred("a", name) == expected


@pytest.mark.parametrize(
    ("value", "root_path", "suffix"),
    [
        ("zarr", "a.zarr", ".zarr"),
        ("tiff", "a.TIF", ".tif"),
        ("tifffile", "a.ome.tif", ".ome.tif"),
        ({"name": "ome-tiff"}, "a.tif", ".tif"),
        ({"name": "ome-tiff", "suffix": ".ome.tiff"}, "a.tif", ".ome.tiff"),
        ("tiff", "a.zarr", ".ome.tiff"),
        ("zarr", "a", ".ome.zarr"),
        ("scratch", "a.zarr", ""),
        (OmeZarrFormat(), "a.zarr", ".ome.zarr"),
    ],
)
def test_suffix_from_root_path(value: Any, root_path: str, suffix: str) -> None:
    assert inferred(root_path, value).suffix == suffix


def test_defaults() -> None:
    """The defaults are the promised ones."""
    assert ZARR.model_dump() == {
        "name": "ome-zarr",
        "backend": "auto",
        "suffix": ".ome.zarr",
        "version": "0.5",
        "checksum": False,
    }
    assert TIFF.model_dump() == {
        "name": "ome-tiff",
        "backend": "auto",
        "suffix": ".ome.tiff",
        "prefer_single_file": "auto",
        "multi_file_metadata": "auto",
        "companion_file": "companion.ome",
        "tile": "auto",
        "checksum": False,
    }
    assert SCRATCH.model_dump() == {
        "name": "scratch",
        "backend": "scratch",
        "max_memory_bytes": 4 * 1024**3,
        "suffix": "",
        "spill_to_disk": True,
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("auto", "auto"),
        (None, None),
        (256, (256, 256)),
        ((16, 512), (16, 512)),
        ([32, 48], (32, 48)),
    ],
)
def test_tile_is_a_number_or_two(given: Any, kept: Any) -> None:
    assert OmeTiffFormat(tile=given).tile == kept


@pytest.mark.parametrize(("given", "kept"), [(True, "always"), (False, "never"), ("auto", "auto")])
def test_prefer_single_file_accepts_bool(given: Any, kept: str) -> None:
    assert OmeTiffFormat(prefer_single_file=given).prefer_single_file == kept


@pytest.mark.parametrize(
    ("root", "suffix", "path"),
    [
        ("a", ".ome.zarr", "a.ome.zarr"),
        ("a.zarr", ".ome.zarr", "a.ome.zarr"),
        ("a.ome.zarr", ".ome.zarr", "a.ome.zarr"),
        ("a.ome.zarr", ".zarr", "a.zarr"),
        ("a.OME.ZARR", ".ome.zarr", "a.OME.ZARR"),
        ("a.tif", ".ome.zarr", "a.ome.zarr"),
        ("a.b", ".ome.zarr", "a.b.ome.zarr"),
        ("d/a/", ".ome.zarr", "d/a.ome.zarr"),
        ("a.zarr/", ".zarr", "a.zarr"),
        ("a.mine", ".mine", "a.mine"),
        (".zarr", ".zarr", ".zarr"),
        ("a.zarr", "", "a.zarr"),
        ("a.b", "", "a.b"),
    ],
)
def test_output_path_of_ome_zarr(root: str, suffix: str, path: str) -> None:
    made = OmeZarrFormat(suffix=suffix).get_output_path(root, num_positions=3)
    assert made == path


@pytest.mark.parametrize(
    ("root", "file", "folder"),
    [
        ("a", "a.ome.tiff", "a"),
        ("multi.ome.tiff", "multi.ome.tiff", "multi"),
        ("multi.OME.TIFF", "multi.OME.TIFF", "multi"),
        ("d/m.b.tif", "d/m.b.ome.tiff", "d/m.b"),
        ("m.zarr", "m.ome.tiff", "m"),
        ("m.ome", "m.ome.ome.tiff", "m.ome"),
        ("d/.ome.tiff", "d/.ome.tiff", "d/.ome.tiff"),
    ],
)
def test_output_path_of_ome_tiff(root: str, file: str, folder: str) -> None:
    single, never = (
        OmeTiffFormat(prefer_single_file="always"),
        OmeTiffFormat(prefer_single_file=False),
    )
    assert TIFF.get_output_path(root) == file
    assert TIFF.get_output_path(root, num_positions=2) == folder
    assert single.get_output_path(root, num_positions=2) == file
    assert never.get_output_path(root, num_positions=1) == folder


def test_empty_suffix_keeps_path_of_ome_tiff() -> None:
    plain = OmeTiffFormat(suffix="")
    for positions in (1, 2):
        assert plain.get_output_path("a.ome.tif", num_positions=positions) == "a.ome.tif"


@pytest.mark.parametrize("one", [ZARR, TIFF, SCRATCH])
def test_output_path_of_path_object(one: Any) -> None:
    assert one.get_output_path(Path("d") / "a") == one.get_output_path(str(Path("d") / "a"))


def test_output_path_of_scratch() -> None:
    assert SCRATCH.get_output_path("a.zarr") == "a.zarr"


def test_output_path_depends_on_number_of_positions() -> None:
    dims = dims_from_standard_axes({"p": 2, "y": 4, "x": 4})
    settings = AcquisitionSettings(root_path="multi.ome.tiff", dimensions=dims)
    assert settings.output_path == "multi"
    settings.dimensions = dims[1:]
    assert settings.output_path == "multi.ome.tiff"


def test_assigning_root_path_updates_format() -> None:
    free, auto = AcquisitionSettings(), AcquisitionSettings(format="auto")
    fixed = AcquisitionSettings(format="scratch")
    for settings in (free, auto, fixed):
        settings.root_path = "a.ome.tif"
    assert free.format == auto.format == OmeTiffFormat(suffix=".ome.tif")
    assert fixed.format == SCRATCH
    free.format.backend = "tifffile"
    free.overwrite = True
    assert free.format.backend == "tifffile"
    free.root_path = "a.ome.tif"
    fixed.format = "auto"
    assert fixed.format == free.format
