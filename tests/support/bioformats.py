"""Files and sets as read by Bio-Formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]


@dataclass(frozen=True)
class Series:
    """One image: name, pixels as (t, c, z, y, x[, samples]), and metadata by OME-XML attribute."""

    name: str
    pixels: np.ndarray[Any, Any]
    facts: dict[str, Any]


def read(path: Path, level: int = 0) -> list[Series]:
    """Return all images that Bio-Formats reads from `path`, at a resolution level."""
    from jpype import JClass

    service = JClass("loci.common.services.ServiceFactory")().getInstance(
        JClass("loci.formats.services.OMEXMLService")
    )
    store = service.createOMEXMLMetadata()
    reader = JClass("loci.formats.ImageReader")()
    reader.setMetadataStore(store)
    reader.setGroupFiles(True)
    reader.setFlattenedResolutions(False)  # a level is not an image
    try:
        reader.setId(str(path))
        return [_series(reader, store, number, level) for number in range(reader.getSeriesCount())]
    finally:
        reader.close()


def _series(reader: Any, store: Any, number: int, level: int) -> Series:
    reader.setSeries(number)
    reader.setResolution(level)
    dtype = np.dtype(_DTYPES[reader.getPixelType()]).newbyteorder(
        "<" if reader.isLittleEndian() else ">"
    )
    samples = reader.getRGBChannelCount()
    frame = (reader.getSizeY(), reader.getSizeX())
    shape = (reader.getSizeT(), reader.getEffectiveSizeC(), reader.getSizeZ(), *frame)
    pixels = np.empty((*shape, samples), dtype)
    for t, c, z in np.ndindex(*shape[:3]):
        raw = np.frombuffer(bytes(reader.openBytes(reader.getIndex(z, c, t))), dtype)
        if reader.isInterleaved() or samples == 1:
            pixels[t, c, z] = raw.reshape(*frame, samples)
        else:
            pixels[t, c, z] = np.moveaxis(raw.reshape(samples, *frame), 0, -1)
    facts = {
        "PhysicalSizeX": _number(store.getPixelsPhysicalSizeX(number)),
        "PhysicalSizeZ": _number(store.getPixelsPhysicalSizeZ(number)),
        "TimeIncrement": _number(store.getPixelsTimeIncrement(number)),
        "Planes": int(store.getPlaneCount(number)),
        "Channels": [store.getChannelName(number, c) for c in range(store.getChannelCount(number))],
        "Plates": int(store.getPlateCount()),
        "Wells": int(store.getWellCount(0)) if store.getPlateCount() else 0,
        "DeltaT": [
            _number(store.getPlaneDeltaT(number, p)) for p in range(store.getPlaneCount(number))
        ],
    }
    return Series(str(store.getImageName(number)), pixels if samples > 1 else pixels[..., 0], facts)


def _number(quantity: Any) -> float | None:
    return None if quantity is None else float(quantity.value().doubleValue())
