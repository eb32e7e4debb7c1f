"""The microscope that recorded an acquisition: the elements of OME-XML's Instrument."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PositiveInt

from ome_writers.settings.coordinates import Name
from ome_writers.settings.model import Model


class Detector(Model):
    """A camera and its settings.

    Attributes
    ----------
    name
        Name of the camera, as in `Channel.camera` and `Camera.name`.
    model, manufacturer
        Empty if unknown.
    significant_bits
        Bits per pixel that carry information, such as 12 of 16.
    roi
        (x, y, width, height) in pixels; None for the full sensor.
    binning
        Edge length of a bin, in pixels.
    gain, offset
        In the camera's own units.
    readout
        Readout mode as text.
    readout_mhz
        Readout rate.
    """

    name: Name
    model: str = ""
    manufacturer: str = ""
    significant_bits: PositiveInt | None = None
    roi: tuple[int, int, int, int] | None = None
    binning: PositiveInt | None = None
    gain: FiniteFloat | None = None
    offset: FiniteFloat | None = None
    readout: str = ""
    readout_mhz: Annotated[FiniteFloat, Field(gt=0)] | None = None


class Objective(Model):
    """The objective in use.

    Attributes
    ----------
    model
        Its label or model name.
    magnification
        As engraved.
    calibrated_magnification
        With additional magnification changers, if that differs.
    lens_na
        Numerical aperture.
    immersion
        The immersion medium.
    """

    model: str = ""
    magnification: Annotated[FiniteFloat, Field(gt=0)] | None = None
    calibrated_magnification: Annotated[FiniteFloat, Field(gt=0)] | None = None
    lens_na: Annotated[FiniteFloat, Field(gt=0)] | None = None
    immersion: (
        Literal["Oil", "Water", "WaterDipping", "Air", "Multi", "Glycerol", "Other"] | None
    ) = None


class Instrument(Model):
    """The microscope, its cameras and its objective.

    Attributes
    ----------
    model
        Model of the microscope, or the software that controls it.
    software
        Version by name of the program or library.
    detectors
        The cameras. A channel or an image that does not name its camera is taken to be of the first one.
    objective
        The objective in use.
    pixel_size_affine
        The six elements, row by row, of the affine matrix from pixels to stage coordinates, in micrometers.
    """

    model: str = ""
    software: dict[str, str] = Field(default_factory=dict)
    detectors: tuple[Detector, ...] = ()
    objective: Objective | None = None
    pixel_size_affine: tuple[FiniteFloat, ...] | None = None

    def detector(self, name: str) -> Detector | None:
        """Return the detector of that name; the first one if there is none."""
        first = self.detectors[0] if self.detectors else None
        return next((d for d in self.detectors if d.name == name), first)
