"""`CameraNoise`: the noise of a camera, by which pixels are quantized. Imported when it is used."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, FiniteFloat

from ome_writers.settings.model import Model


class CameraNoise(Model):
    """The noise of a camera: a variance of ``gain * (value - offset) + (gain * read_noise) ** 2``.

    Pixels are rounded to values that are `step` standard deviations of the noise apart, in the same units and dtype.
    This is lossy: it adds a variance of ``step ** 2 / 12`` in units of the noise, 2 % for a step of 0.5.

    Attributes
    ----------
    offset
        Value of a pixel without light, in counts.
    gain
        Counts per electron: the slope of the variance over the mean.
    read_noise
        Standard deviation without light, in electrons.
    step
        Distance of neighbouring values, in standard deviations of the noise.
    """

    offset: FiniteFloat
    gain: Annotated[FiniteFloat, Field(gt=0)]
    read_noise: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    step: Annotated[FiniteFloat, Field(gt=0, le=2)] = 0.5

    def describe(self) -> dict[str, Any]:
        """Return what is stored in the metadata of the dataset."""
        return {
            "lossy": True,
            "method": "pixels are rounded to values that are `step` standard deviations of the camera noise apart; its "
            "variance is gain * (value - offset) + (gain * read_noise)^2",
            **self.model_dump(),
        }


def read_noise_model(value: Any) -> CameraNoise:
    """Return the model of the input of a field."""
    return value if isinstance(value, CameraNoise) else CameraNoise.model_validate(value)
