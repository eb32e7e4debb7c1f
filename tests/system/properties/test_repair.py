"""A repaired OME-TIFF has the metadata, pixels and pages that `close` gives an acquisition of the same frames."""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

pytest.importorskip("tifffile", reason="tifffile reads the pages")
pytest.importorskip("ome_types", reason="metadata is edited as models of ome-types")

import tifffile

import ome_writers as omew
from ome_writers import Dimension, Plate, Position, Schedule
from ome_writers.formats.ometiff import read_ome_xml
from ome_writers.repair import repair
from support.sweeps import SWEEPS

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (4, 6)
FORMATS: list[dict[str, Any]] = [
    {"prefer_single_file": "always"},
    {"prefer_single_file": "never"},
    {"multi_file_metadata": "redundant"},
    {"multi_file_metadata": "master-tiff"},
    {"multi_file_metadata": "companion-file"},
    {"prefer_single_file": "never", "multi_file_metadata": "companion-file"},
]


@st.composite
def acquisitions(draw: Any) -> dict[str, Any]:
    """Draw settings of every layout; the first axis may be unbounded, two axes may be ragged."""
    names = draw(st.permutations("ptcz"))[: draw(st.integers(1, 4))]
    counts = {name: draw(st.integers(1, 4 if name == "t" else 3)) for name in names}
    unbounded = names[0] in "tz" and draw(st.booleans())
    plate = "p" in names and draw(st.booleans())
    dimensions = []
    for name, count in counts.items():
        if name == "p":
            wells = [
                {"plate_row": "A", "plate_column": str(i + 1)} if plate else {} for i in range(3)
            ]
            coords = [Position(name=f"f{i}", x_coord=1.5 * i, **wells[i]) for i in range(count)]
            dimensions.append(Dimension(name="p", type="position", coords=coords))
        elif name == "c":
            dimensions.append(Dimension(name="c", coords=[f"channel {i}" for i in range(count)]))
        else:
            count = None if unbounded and name == names[0] else count
            dimensions.append(Dimension(name=name, count=count, scale=0.5))
    dimensions += [Dimension(name=n, count=c) for n, c in zip("yx", SHAPE, strict=True)]
    schedule, inner = None, [n for n in names if n in "cz" and counts[n] > 1]
    if not unbounded and "t" in names and inner and draw(st.booleans()):
        rows = [
            (t, i) for t in range(counts["t"]) for i in range(counts[inner[0]]) if (t + i) % 2 == 0
        ]
        schedule = Schedule(("t", inner[0]), rows) if {0, 1} <= {i for _, i in rows} else None
    order = [name for name in names if name != "p"]
    order = [*(name for name in names if name == "p"), *draw(st.permutations(order)), "y", "x"]
    return {
        "dimensions": dimensions,
        "dtype": "uint16",
        "rgb": "c" not in names and draw(st.booleans()),
        "plate": Plate.from_standard_wells(96) if plate else None,
        "schedule": schedule,
        "compression": draw(st.sampled_from(["none", "none", "deflate"])),
        "on_incomplete": draw(st.sampled_from(["trim", "keep"])),
        "storage_order": draw(st.sampled_from(["ome", order])),
        "format": {"name": "ome-tiff", **draw(st.sampled_from(FORMATS))},
        "flush_interval": 3600.0,
    }


def snapshot(folder: Path, target: Path) -> None:
    """Copy the files that a killed writer would leave, without the lock file of this process."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.lock"))


def files(folder: Path) -> list[str]:
    """Return the relative paths of all files."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def document(path: Path) -> str:
    """Return the OME-XML of a file, with equal times and status."""
    text = re.sub(r'"updated":"[^"]*"', "", read_ome_xml(path).decode())
    return re.sub('"status":"(failed|cancelled|complete)"', "", text)


@pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")
@hypothesis_settings(
    max_examples=max(30 if SWEEPS else 15, hypothesis_settings.default.max_examples // 4)
)
@given(acquisition=acquisitions(), data=st.data())
def test_repaired_ometiff_equals_closed_one(acquisition: dict[str, Any], data: Any) -> None:
    """Byte for byte, or in meaning where a client has edited the OME-XML."""
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        live, killed = Path(temporary, "live"), Path(temporary, "killed")
        settings = omew.AcquisitionSettings(root_path=live / "x.ome.tiff", **acquisition)
        stream = omew.create_stream(settings)
        edited = data.draw(st.booleans())
        if edited:
            models = stream.get_metadata()
            next(m for m in models.values() if m.images).images[0].description = "mine & <yours>"
            stream.update_metadata(models)
        if data.draw(st.booleans()):
            stream.set_global_metadata("lab", {"who": "me", "n": 3, "text": "3"})
        total = stream.plan.frames or 20
        shape = (*SHAPE, 3) if settings.rgb else SHAPE
        frames = data.draw(st.integers(0, total))
        # frames skipped before the end, in acquisitions whose shape does not depend on them
        may_skip = settings.on_incomplete == "keep" and stream.plan.frames is not None
        skipped = data.draw(st.sets(st.integers(0, max(0, frames - 2)))) if may_skip else set()
        for number in range(frames):
            if number in skipped and number + 1 < frames:
                stream.skip(frames=1)
                continue
            metadata = {"delta_t": number / 8, "serial": number} if number % 3 else None
            stream.append(np.full(shape, number + 1, "uint16"), frame_metadata=metadata)
        stream.flush()
        snapshot(live, killed)
        stream.close()

        output = Path(settings.output_path).relative_to(live)
        assert repair(killed / output).findings
        assert not repair(killed / output).findings
        assert files(killed) == files(live)
        comparable: Callable[[str], Any] = ElementTree.canonicalize if edited else str
        for name in files(live):
            mine, right = killed / name, live / name
            assert comparable(document(mine)) == comparable(document(right)), name
            if name.endswith(".ome"):
                continue
            with tifffile.TiffFile(mine) as one, tifffile.TiffFile(right) as other:
                assert len(one.pages) == len(other.pages)
                for page, expected in zip(one.pages, other.pages, strict=True):
                    np.testing.assert_array_equal(page.asarray(), expected.asarray())
        np.testing.assert_array_equal(omew.open(killed / output), omew.open(live / output))
        known = omew.read_frame_metadata(killed / output)
        assert known == omew.read_frame_metadata(live / output)
