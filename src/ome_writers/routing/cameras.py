"""What the frames of each camera are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ome_writers.settings import Camera

if TYPE_CHECKING:
    from ome_writers.settings import AcquisitionSettings, Dimension

__all__ = [
    "FrameKind",
    "camera_axis",
    "camera_name",
    "cameras_along",
    "frame_kinds",
    "is_camera_axis",
]

_NAMES = frozenset({"cam", "camera"})


@dataclass(frozen=True)
class FrameKind:
    """What all frames of one camera have in common.

    Attributes
    ----------
    camera
        The camera's name; ``""`` where there is no axis of cameras.
    frame
        The axes y and x.
    dtype
        Name of the dtype.
    rgb
        Whether a frame is (y, x, 3).
    """

    camera: str
    frame: tuple[Dimension, ...]
    dtype: str
    rgb: bool

    def is_like(self, other: FrameKind) -> bool:
        """Whether frames of both fit into one image."""
        mine, theirs = ([(d.count, d.scale) for d in kind.frame] for kind in (self, other))
        return (mine, self.dtype, self.rgb) == (theirs, other.dtype, other.rgb)


def is_camera_axis(dim: Dimension) -> bool:
    """Whether the places along an axis are cameras that look at the same events."""
    cameras = any(isinstance(c, Camera) for c in dim.coords or ())
    return dim.type in (None, "other") and (cameras or dim.name.lower() in _NAMES)


def camera_axis(settings: AcquisitionSettings) -> Dimension | None:
    """Return the first axis of cameras; None when there is none."""
    return next((d for d in settings.dimensions[:-2] if is_camera_axis(d)), None)


def camera_name(i: int) -> str:
    """Return what the camera at place `i` of an axis is called, where nobody has named it."""
    return f"Camera-{i + 1}"


def cameras_along(axis: Dimension) -> list[Camera]:
    """Return the cameras of an axis of cameras; of those that have but a name, that is all that is said."""
    coords = axis.coords or [camera_name(i) for i in range(axis.count or 1)]
    return [c if isinstance(c, Camera) else Camera(name=str(c)) for c in coords]


def frame_kinds(settings: AcquisitionSettings) -> tuple[FrameKind, ...]:
    """Return what the frames of each camera are like, in the order of the axis; one where there is no axis."""
    axis = camera_axis(settings)
    if axis is None:
        return (FrameKind("", settings.frame_dimensions, settings.dtype, bool(settings.rgb)),)
    return tuple(_kind(camera, settings) for camera in cameras_along(axis))


def _kind(camera: Camera, settings: AcquisitionSettings) -> FrameKind:
    frame = []
    for dim, count in zip(settings.frame_dimensions, (camera.height, camera.width), strict=True):
        whole = dim.chunk_size == dim.count
        update: dict[str, object] = {}
        if count is not None and count != dim.count:
            update.update(count=count, coords=None, chunk_size=count if whole else dim.chunk_size)
        if camera.pixel_size is not None:
            update.update(scale=camera.pixel_size)
        frame.append(dim.model_copy(update=update) if update else dim)
    rgb = settings.rgb if camera.rgb is None else camera.rgb
    return FrameKind(camera.name, tuple(frame), camera.dtype or settings.dtype, bool(rgb))
