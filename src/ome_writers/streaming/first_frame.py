"""First-frame inference: infer unspecified camera properties (shape, dtype, RGB) from each camera's first frame.

Clients often know only width, height and dtype of one camera. If the first frame of a camera differs from the
assumption, the stream restarts with the inferred settings; see `restart`. Without a camera axis, a channel that stands
for a preset of a config group (`Channel.group`) may have a camera of its own: presets can select the camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ome_writers.dataset import ImageSpec
from ome_writers.routing import Plan, camera_axis, camera_name, cameras_along
from ome_writers.settings import AcquisitionSettings, Camera, Channel, Dimension, Schedule


class FirstFrameInference:
    """The cameras whose first frame has not arrived.

    Attributes
    ----------
    active
        Whether the first frame of a camera may still change the settings; checked before each frame.
    """

    def __init__(self, settings: AcquisitionSettings) -> None:
        self.use_settings(settings)

    def use_settings(self, settings: AcquisitionSettings) -> None:
        """Start again for settings; no frame has been written."""
        cameras = camera_axis(settings)
        channels = _channels_of_presets(settings) if cameras is None else None
        axis = cameras or channels
        self._axis = None if axis is None else axis.name
        self._by_channel = channels is not None
        specified = (
            settings.rgb is not None
            if axis is None
            else any(isinstance(c, Camera) for c in axis.coords or ())
        )
        count = 1 if axis is None or axis.count is None else axis.count
        self._unseen = set() if specified else {*range(count)}
        self.active = bool(self._unseen)

    def frame_received(self, acquired: Mapping[str, int], *, last: bool) -> None:
        """Record that a frame with this acquisition index is written; `last`: after it, no restart is possible."""
        self._unseen.discard(self._number(acquired))
        self.active = bool(self._unseen) and not last

    def settings_for(
        self, frame: Any, acquired: Mapping[str, int], image: ImageSpec, plan: Plan
    ) -> AcquisitionSettings | None:
        """Return settings that accept `frame`; None if the current ones do, or if none can."""
        number = self._number(acquired)
        shape: Any = getattr(frame, "shape", ())
        dtype = getattr(frame, "dtype", None)
        fits = shape == image.frame_shape and dtype == image.array.numpy_dtype
        if number not in self._unseen or dtype is None or fits:
            return None
        settings = plan.settings
        rgb = settings.rgb is None and dtype in (np.uint8, np.uint16) and shape[2:] == (3,)
        if len(shape) != 2 and not rgb:
            return None
        only_rgb_differs = (
            rgb and shape[:2] == image.array.frame_shape and dtype == image.array.numpy_dtype
        )
        if self._axis is None or (self._by_channel and only_rgb_differs):
            return validated_copy(settings, rgb=True) if only_rgb_differs else None
        if number == 0 and not self._by_channel and not only_rgb_differs:
            return None  # the settings specify shape and dtype of the first camera
        axis = camera_axis(settings)
        height, width = shape[:2]
        name = "" if axis is None or self._by_channel else cameras_along(axis)[number].name
        camera = Camera(
            name=name or camera_name(0), height=height, width=width, dtype=np.dtype(dtype), rgb=rgb
        )
        if self._by_channel:
            return _with_camera_of_channel(settings, number, camera)
        assert axis is not None
        cameras = cameras_along(axis)
        cameras[number] = camera
        inferred = axis.model_copy(update={"coords": cameras})
        dimensions = [inferred if d.name == axis.name else d for d in settings.dimensions]
        return validated_copy(settings, dimensions=dimensions)

    def _number(self, acquired: Mapping[str, int]) -> int:
        """Return the number of the camera, or of the channel that may have one of its own."""
        return 0 if self._axis is None else acquired[self._axis]


def _channels_of_presets(settings: AcquisitionSettings) -> Dimension | None:
    """Return the channel axis if a preset of its channels may select a camera that the settings do not know."""
    if settings.rgb is not None or settings.instrument is not None:
        return None
    return next(
        (
            dim
            for dim in settings.dimensions
            if any(isinstance(c, Channel) and c.group and not c.camera for c in dim.coords or ())
        ),
        None,
    )


def _with_camera_of_channel(
    settings: AcquisitionSettings, channel: int, camera: Camera
) -> AcquisitionSettings:
    """Return settings in which `camera` records a channel, and the others keep theirs."""
    axis = camera_axis(settings)
    dimensions = [d for d in settings.dimensions if d is not axis]
    channels = next(d for d in dimensions if d.type == "channel")
    first = Camera(
        name=camera.name,
        height=dimensions[-2].count,
        width=dimensions[-1].count,
        dtype=settings.dtype,
        rgb=False,
    )
    used = [first] * (channels.count or 1)
    schedule = settings.schedule
    if axis is not None and schedule is not None:
        cameras = cameras_along(axis)
        columns = [schedule.axes.index(name) for name in (channels.name, axis.name)]
        for number, index in schedule.indices[:, columns].tolist():
            used[number] = cameras[index].model_copy(update={"name": camera.name})
        rows = schedule.indices[:, [i for i in range(len(schedule.axes)) if i != columns[1]]]
        schedule = Schedule([n for n in schedule.axes if n != axis.name], rows)
    used[channel] = camera
    distinct = [c for i, c in enumerate(used) if c not in used[:i]]
    y, x = dimensions[-2:]
    frame = [y.with_count(distinct[0].height), x.with_count(distinct[0].width)]
    if len(distinct) == 1:  # a single channel
        return validated_copy(
            settings,
            dimensions=[*dimensions[:-2], *frame],
            dtype=camera.dtype,
            rgb=camera.rgb or None,
        )
    names = [c.model_copy(update={"name": camera_name(i)}) for i, c in enumerate(distinct)]
    new_axis = Dimension(name="cam", type="other", coords=names)
    numbers = [distinct.index(c) for c in used]
    return validated_copy(
        settings,
        dimensions=[*dimensions[:-2], new_axis, *frame],
        dtype=distinct[0].dtype,
        schedule=Schedule.with_cameras(dimensions, schedule, numbers, new_axis.name),
    )


def validated_copy(settings: AcquisitionSettings, **changes: Any) -> AcquisitionSettings:
    """Return settings with some fields changed; also validates settings that `model_copy` has updated."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return AcquisitionSettings(**{**given, **changes})
