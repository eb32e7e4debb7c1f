"""Camera axes: the frames of each camera, and the names of channels that combine channel, camera and RGB sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ome_writers.settings import AcquisitionSettings, Camera, Channel, Dimension

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
    if dim.type not in (None, "other"):
        return False
    return dim.name.lower() in _NAMES or any(isinstance(c, Camera) for c in dim.coords or ())


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
        return (FrameKind("", settings.dimensions[-2:], settings.dtype, bool(settings.rgb)),)
    return tuple(_kind(camera, settings) for camera in cameras_along(axis))


def _kind(camera: Camera, settings: AcquisitionSettings) -> FrameKind:
    frame = []
    for dim, count in zip(settings.dimensions[-2:], (camera.height, camera.width), strict=True):
        dim = dim.with_count(count)
        if camera.pixel_size is not None:
            dim = dim.model_copy(update={"scale": camera.pixel_size})
        frame.append(dim)
    rgb = settings.rgb if camera.rgb is None else camera.rgb
    dtype = camera.dtype or settings.dtype
    return FrameKind(camera.name, tuple(frame), dtype, bool(rgb), camera.separate_image)


_RGB = {"Red": "#FF0000", "Green": "#00FF00", "Blue": "#0000FF"}


def label_of(dim: Dimension, i: int) -> str:
    """Return the name of index `i` along a camera axis, or along an axis whose indices become images."""
    if dim.coords:
        coord = dim.coords[i]
        if isinstance(coord, (int, float)):
            return f"{dim.name} {coord:g}"
        return str(getattr(coord, "name", coord))
    return camera_name(i) if is_camera_axis(dim) else f"{dim.name}{i}"


def with_cameras(
    channel: Dimension, folded: Sequence[Dimension], planes: int, camera: str
) -> Dimension:
    """Return a channel axis that includes cameras and RGB samples.

    An unbounded channel axis is returned unchanged. `folded` are the camera axes to include (``DAPI / Camera-1``), and
    `planes` is 3 if the samples of a frame become channels (``DAPI / Red``). `camera` records all these channels,
    unless it is empty.
    """
    if channel.count is None or (not folded and planes == 1 and (not camera or not channel.coords)):
        return channel
    named = channel.coords or (channel.count or 1) > 1
    names: list[Channel] = []
    for one in _channels(channel) if named else [None]:
        labels: list[tuple[str | None, str | None]] = [(one.name if one else None, None)]
        for dim in folded:
            labels = [(n, label_of(dim, i)) for n, _ in labels for i in range(dim.count or 1)]
        for label, label_camera in labels:
            for sample in _RGB if planes > 1 else (None,):
                words = [w for w in (label, label_camera, sample) if w]
                update: dict[str, object] = {"name": " / ".join(words)}
                if folded or camera:
                    update["camera"] = label_camera or camera
                if sample:
                    update["color"] = _RGB[sample]
                names.append(Channel(**{**(one.model_dump() if one else {}), **update}))
    return Dimension(
        name=channel.name,
        type="channel",
        count=len(names),
        coords=list(names),
        chunk_size=channel.chunk_size,
        shard_size_chunks=channel.shard_size_chunks,
    )


def _channels(dim: Dimension) -> list[Channel]:
    """Return the channels of a channel axis, named by their index if it has no coords."""
    return [
        c if isinstance(c, Channel) else Channel(name=str(c))
        for c in (dim.coords or range(dim.count or 1))
    ]
