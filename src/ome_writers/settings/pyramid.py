"""`Pyramid`: the resolution levels that are written beside the full resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, PositiveInt, model_validator

from ome_writers.settings.model import Model

if TYPE_CHECKING:
    from ome_writers.settings.formats import FormatSettings

PyramidMethod: TypeAlias = Literal["mean", "max", "min", "median", "decimate", "mode"]
MAX_LEVELS = 16


class Pyramid(Model):
    """Resolution levels of each image, each half as large as the one before along `axes`.

    A level has ``ceil(n / 2)`` samples along an axis of n; the last sample of an odd axis is repeated. An axis of one
    sample is not reduced. A bare string is a pyramid with that method, True one with the mean.

    Attributes
    ----------
    method
        How 2 x 2 (x 2) samples become one. Labels and masks need ``"mode"`` or ``"decimate"`` (keeps the first
        sample); bool has no mean and no median.
    levels
        Number of levels in addition to full resolution; ``"auto"``: until y and x have at most `smallest` samples.
    axes
        ``("y", "x")``, or ``("z", "y", "x")`` to halve the number of planes along z, too, where there is a z axis.
    smallest
        See `levels`.
    """

    method: PyramidMethod = "mean"
    levels: Literal["auto"] | Annotated[PositiveInt, Field(le=MAX_LEVELS)] = "auto"
    axes: tuple[Literal["y"], Literal["x"]] | tuple[Literal["z"], Literal["y"], Literal["x"]] = (
        "y",
        "x",
    )
    smallest: PositiveInt = 256

    @model_validator(mode="before")
    @classmethod
    def _method_alone(cls, value: Any) -> Any:
        if value is True:
            return {}
        return {"method": value} if isinstance(value, str) else value


def check_pyramid(pyramid: Pyramid | None, format_: FormatSettings) -> None:
    """Raise ValueError unless the format can have these resolution levels."""
    if pyramid is None or set(pyramid.axes) <= set(format_.pyramid_axes):
        return
    if not format_.pyramid_axes:
        raise ValueError(
            f"pyramid: resolution levels are not written to {format_.title} yet. Write OME-Zarr, or set pyramid=None."
        )
    raise ValueError(
        f"pyramid: {format_.title} has levels along {' and '.join(format_.pyramid_axes)} only, because a SubIFD "
        f"belongs to one plane; got axes={pyramid.axes}. Set axes=('y', 'x'), or write OME-Zarr."
    )
