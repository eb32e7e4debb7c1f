"""Names of channels that combine channel, camera and RGB sample."""

from __future__ import annotations

from collections.abc import Sequence

from ome_writers.routing.cameras import camera_name, is_camera_axis
from ome_writers.settings import Channel, Dimension

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
