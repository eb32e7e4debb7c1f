"""The OME-XML elements Instrument, ObjectiveSettings and DetectorSettings, and the significant bits of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ome_writers.dataset import ImageSpec
from ome_writers.formats.ome_xml.text import attribute, quote_attribute
from ome_writers.routing import Plan
from ome_writers.settings import Channel, Detector, Instrument, Objective

_BINNINGS = {1: "1x1", 2: "2x2", 4: "4x4", 8: "8x8"}
_INSTRUMENT_ID, _OBJECTIVE_ID = "Instrument:0", "Objective:0:0"


def significant_bits(image: ImageSpec, instrument: Instrument | None) -> int | None:
    """Return the significant bits of an image's pixels; None if its camera or their number is unknown."""
    detector = instrument.detector(_camera(image)) if instrument else None
    dtype = image.array.numpy_dtype
    if detector is None or detector.significant_bits is None or dtype.kind not in "ui":
        return None
    return min(detector.significant_bits, dtype.itemsize * 8)


def _camera(image: ImageSpec) -> str:
    return image.camera or next((c.camera for c in _channels(image) if c.camera), "")


def _channels(image: ImageSpec) -> list[Channel]:
    coords = (c for d in image.dimensions for c in d.coords or ())
    return [c for c in coords if isinstance(c, Channel)]


@dataclass(frozen=True)
class InstrumentXml:
    """Renders the instrument of a plan: that of the settings, or one with the cameras of the channels."""

    instrument: Instrument  # the instrument of the settings
    detectors: Mapping[str, Detector]  # detectors by camera name, in document order

    @classmethod
    def of(cls, plan: Plan) -> InstrumentXml:
        instrument = plan.settings.instrument or Instrument()
        detectors = {detector.name: detector for detector in instrument.detectors}
        arrays = {id(image.dimensions): image for image in plan.images}
        for image in arrays.values():
            for channel in _channels(image):
                if channel.camera:
                    detectors.setdefault(channel.camera, Detector(name=channel.camera))
        return cls(instrument, detectors)

    @property
    def element(self) -> str:
        """The Instrument element; empty if nothing is known."""
        instrument = self.instrument
        programs = ", ".join(f"{name} {version}" for name, version in instrument.software.items())
        model = ": ".join(filter(None, (instrument.model, programs)))
        parts = [f"<Microscope Model={quote_attribute(model)}/>"] if model else []
        for name, detector in self.detectors.items():
            maker = attribute("Manufacturer", detector.manufacturer)
            label = quote_attribute(detector.model or name)
            parts.append(f'<Detector{maker} Model={label} ID="{self._detector_id(name)}"/>')
        if instrument.objective is not None:
            parts.append(_objective(instrument.objective))
        return f'<Instrument ID="{_INSTRUMENT_ID}">{"".join(parts)}</Instrument>' if parts else ""

    @property
    def references(self) -> str:
        """The elements of an Image that refer to instrument and objective."""
        if not self.element:
            return ""
        objective = (
            f'<ObjectiveSettings ID="{_OBJECTIVE_ID}"/>' if self.instrument.objective else ""
        )
        return f'<InstrumentRef ID="{_INSTRUMENT_ID}"/>{objective}'

    def detector_settings(self, image: ImageSpec, channel: Channel | None) -> str:
        """Return the DetectorSettings element of a channel; empty if its camera is unknown."""
        camera = (channel.camera if channel else None) or image.camera
        detector = self.detectors.get(camera) or self.instrument.detector(camera)
        if detector is None:
            return ""
        binning = _BINNINGS.get(detector.binning, "Other") if detector.binning else None
        attributes = (
            attribute("Offset", detector.offset)
            + attribute("Gain", detector.gain)
            + attribute("ReadOutRate", detector.readout_mhz)
            + attribute("Binning", binning)
        )
        return f'<DetectorSettings ID="{self._detector_id(detector.name)}"{attributes}/>'

    def _detector_id(self, name: str) -> str:
        return f"Detector:0:{list(self.detectors).index(name)}"


def _objective(objective: Objective) -> str:
    return (
        f'<Objective ID="{_OBJECTIVE_ID}"'
        + attribute("Model", objective.model)
        + attribute("NominalMagnification", objective.magnification)
        + attribute("CalibratedMagnification", objective.calibrated_magnification)
        + attribute("LensNA", objective.lens_na)
        + attribute("Immersion", objective.immersion)
        + "/>"
    )
