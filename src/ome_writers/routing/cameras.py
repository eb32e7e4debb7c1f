"""Camera axes, and the frame shape, dtype and pixel size of each camera."""

from __future__ import annotations

from dataclasses import dataclass

from ome_writers.settings import AcquisitionSettings, Camera, Dimension

_NAMES = frozenset({"cam", "camera"})


@dataclass(frozen=True)
class FrameKind:
    """The properties that all frames of one camera share; `camera` is ``""`` if there is no camera axis."""

    camera: str
    frame: tuple[Dimension, ...]  # y and x
    dtype: str
    rgb: bool
    separate_image: bool = False

    def fits(self, other: FrameKind) -> bool:
        """Return whether frames of both kinds can be stored in one image."""
        frame, other_frame = ([(d.count, d.scale) for d in kind.frame] for kind in (self, other))
        alike = (frame, self.dtype, self.rgb) == (other_frame, other.dtype, other.rgb)
        return alike and not self.separate_image


def is_camera_axis(dim: Dimension) -> bool:
    """Return whether an axis enumerates cameras that record the same events."""
    cameras = any(isinstance(c, Camera) for c in dim.coords or ())
    return dim.type in (None, "other") and (cameras or dim.name.lower() in _NAMES)


def camera_axis(settings: AcquisitionSettings) -> Dimension | None:
    """Return the first camera axis, or None."""
    return next((d for d in settings.dimensions[:-2] if is_camera_axis(d)), None)


def camera_name(i: int) -> str:
    """Return the default name of the camera with index `i`."""
    return f"Camera-{i + 1}"


def cameras_along(axis: Dimension) -> list[Camera]:
    """Return the cameras of a camera axis; those given by name have no other property."""
    coords = axis.coords or [camera_name(i) for i in range(axis.count or 1)]
    return [c if isinstance(c, Camera) else Camera(name=str(c)) for c in coords]


def frame_kinds(settings: AcquisitionSettings) -> tuple[FrameKind, ...]:
    """Return the frame kind of each camera, in the order of the camera axis; a single one without such an axis."""
    axis = camera_axis(settings)
    if axis is None:
        return (FrameKind("", settings.frame_dimensions, settings.dtype, bool(settings.rgb)),)
    return tuple(_kind(camera, settings) for camera in cameras_along(axis))


def _kind(camera: Camera, settings: AcquisitionSettings) -> FrameKind:
    frame = []
    for dim, count in zip(settings.frame_dimensions, (camera.height, camera.width), strict=True):
        dim = dim.with_count(count)
        if camera.pixel_size is not None:
            dim = dim.model_copy(update={"scale": camera.pixel_size})
        frame.append(dim)
    rgb = settings.rgb if camera.rgb is None else camera.rgb
    dtype = camera.dtype or settings.dtype
    return FrameKind(camera.name, tuple(frame), dtype, bool(rgb), camera.separate_image)
