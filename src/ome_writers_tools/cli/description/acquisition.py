"""When, how long and with which optics a dataset was acquired, as far as its metadata contain it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

from ome_writers import Channel, DatasetSpec, Objective, OMEWritersError
from ome_writers.toolkit import dataset_ome_xml, frame_metadata_by_image, parse_ome_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


_CONVERSION = "conversion"
"""Namespace of the global metadata of `ome_writers.convert`."""


@dataclass(frozen=True)
class ChannelDescription:
    """One channel; None is unknown."""

    # as in the metadata
    name: str
    color: str | None = None  # `"#0000ff"`
    # wavelengths
    excitation_nm: int | None = None
    emission_nm: int | None = None
    fluorophore: str | None = None
    exposure_ms: float | None = None  # planned exposure time

    @classmethod
    def of(cls, channel: Channel) -> ChannelDescription:
        """Return the description of a channel of a `DatasetSpec`."""
        return cls(
            name=channel.name,
            color=channel.color.as_hex("long")[:7] if channel.color else None,
            excitation_nm=channel.excitation_wavelength_nm,
            emission_nm=channel.emission_wavelength_nm,
            fluorophore=channel.fluorophore,
            exposure_ms=channel.exposure_ms,
        )


@dataclass(frozen=True)
class AcquisitionDescription:
    """Circumstances of an acquisition; None is unknown."""

    started: str | None  # time of the first frame or of the creation of the dataset, ISO 8601
    duration_s: float | None  # seconds between start and last frame
    objective: str | None  # model, magnification, numerical aperture and immersion in one line
    channels: tuple[ChannelDescription, ...]  # of the first image
    # shortest and longest exposure time of the frames; None if the channels state it
    exposure_ms: tuple[float, float] | None


def describe_acquisition(spec: DatasetSpec) -> AcquisitionDescription:
    """Return the circumstances of an acquisition; reads OME-XML and frame metadata where they are needed."""
    settings = spec.settings
    instrument = settings.instrument if settings else None
    xml = _xml(spec) if instrument is None else None
    # a converted dataset was created by the conversion, not by the acquisition
    created = None if _CONVERSION in spec.metadata else spec.started or _first_date(xml)
    began = settings.acquisition_date if settings else None
    started = began.isoformat() if began else created
    updated = spec.updated if created else None
    channels = tuple(map(ChannelDescription.of, spec.images[0].channels))
    duration, exposure = seconds_between(started, updated), None
    stated = any(channel.exposure_ms is not None for channel in channels)
    if duration is None or not stated:
        frames = [frame for _, frames in frame_metadata_by_image(spec.path) for frame in frames]
        times = _numbers(frames, "delta_t")
        duration = max(times) - min(times) if duration is None and len(times) > 1 else duration
        exposures = _numbers(frames, "exposure_time")
        if exposures and not stated:
            exposure = (min(exposures) * 1e3, max(exposures) * 1e3)
    return AcquisitionDescription(
        started=str(started) if started else None,
        duration_s=duration,
        objective=_objective(instrument.objective if instrument else _lens(xml)),
        channels=channels,
        exposure_ms=exposure,
    )


def _xml(spec: DatasetSpec) -> Element | None:
    try:
        text = dataset_ome_xml(spec.path)
        return parse_ome_xml(text, spec.path) if text else None
    except (OMEWritersError, OSError):
        return None  # optional in an OME-Zarr; that of an OME-TIFF was parsed before


def _first_date(xml: Element | None) -> str | None:
    return None if xml is None else xml.findtext("{*}Image/{*}AcquisitionDate")


def _lens(xml: Element | None) -> Objective | None:
    """Return the objective that the first image refers to, or the only one."""
    lenses = [] if xml is None else xml.findall("{*}Instrument/{*}Objective")
    settings = None if xml is None else xml.find("{*}Image/{*}ObjectiveSettings")
    if settings is not None:
        lenses = [lens for lens in lenses if lens.get("ID") == settings.get("ID")]
    if len(lenses) != 1:
        return None
    lens = lenses[0]
    magnification, aperture = (
        next(iter(_numbers([dict(lens.items())], name)), None)
        for name in ("NominalMagnification", "LensNA")
    )
    # of any writer: not validated
    return Objective.model_construct(
        model=" ".join(filter(None, (lens.get("Manufacturer"), lens.get("Model")))),
        magnification=magnification,
        lens_na=aperture,
        immersion=cast("Any", lens.get("Immersion")),
    )


def _objective(objective: Objective | None) -> str | None:
    """Return an objective in one line: ``"Nikon 10X S Fluor (10x, NA 0.5, Air)"``."""
    if objective is None:
        return None
    details = [
        f"{objective.magnification:g}x" if objective.magnification else "",
        f"NA {objective.lens_na:g}" if objective.lens_na else "",
        objective.immersion or "",
    ]
    label, text = objective.model, ", ".join(filter(None, details))
    return f"{label} ({text})" if label and text else label or text or None


def _numbers(entries: Iterable[dict[str, Any]], key: str) -> list[float]:
    """Return the finite numbers of the entries that have this key."""
    found = []
    for entry in entries:
        try:
            found.append(float(entry[key]))
        except (KeyError, TypeError, ValueError):
            continue
    return list(filter(math.isfinite, found))


def parse_time(text: object) -> datetime | None:
    """Return an ISO 8601 time, in UTC if it has no time zone; None if it is not one."""
    try:
        # fromisoformat does not accept "Z" before Python 3.11
        time = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def seconds_between(first: object, last: object) -> float | None:
    """Return the seconds between two ISO 8601 times; None if one is unknown, or the second is earlier."""
    begin, end = parse_time(first), parse_time(last)
    if begin is None or end is None or end < begin:
        return None
    return (end - begin) / timedelta(seconds=1)
