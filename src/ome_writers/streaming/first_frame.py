"""First-frame inference: infer unspecified camera properties (shape, dtype, RGB) from each camera's first frame.

Clients often know only width, height and dtype of one camera. If the first frame of a camera differs from the
assumption, the stream restarts: it replaces the output by one with the inferred settings, and replays the frames that
were appended before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ome_writers.routing import camera_axis, cameras_along
from ome_writers.settings import AcquisitionSettings, Camera

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ome_writers.routing import Address, ImagePlan, Plan

__all__ = ["Action", "FirstFrameInference"]

_MAX_REPLAYED_FRAMES = 64


class Action(NamedTuple):
    """One `append` (with `address`) or one `skip` (with `skipped`).

    `counters` are (offset, accepted) of the cursor before the action. An action that an exception has ended did not
    change them.
    """

    counters: tuple[int, int]
    address: Address | None
    explicit_index: Mapping[str, int] | None = None
    encoded: bytes | None = None
    skipped: int = 0


class FirstFrameInference:
    """The cameras whose first frame has not arrived, and the replay log.

    Attributes
    ----------
    active
        Whether the first frame of a camera may still change the settings; checked before each frame.
    replay_log
        The actions since the stream was created, while `active`.
    """

    def __init__(self, settings: AcquisitionSettings) -> None:
        axis = camera_axis(settings)
        self._axis = None if axis is None else axis.name
        specified = (
            settings.rgb is not None
            if axis is None
            else any(isinstance(c, Camera) for c in axis.coords or ())
        )
        cameras = range(1 if axis is None or axis.count is None else axis.count)
        self._unseen = set() if specified else {*cameras}
        self._logged_bytes = 0
        self._max_bytes = settings.buffer_bytes
        self.active = bool(self._unseen)
        self.replay_log: list[Action] = []

    def log(self, action: Action, acquired: Mapping[str, int] | None, nbytes: int) -> None:
        """Add an action to the replay log; `acquired` is the acquisition index of an appended frame."""
        if acquired is not None:
            self._unseen.discard(self._camera(acquired))
        self.replay_log.append(action)
        self._logged_bytes += nbytes
        full = len(self.replay_log) >= _MAX_REPLAYED_FRAMES or self._logged_bytes > self._max_bytes
        if full or not self._unseen:
            self.active = False
            self.replay_log.clear()

    def completed(self, counters: tuple[int, int]) -> list[Action]:
        """Return the actions that were not ended by an exception; `counters` are the cursor's current ones."""
        after = [*(action.counters for action in self.replay_log[1:]), counters]
        return [a for a, then in zip(self.replay_log, after, strict=False) if a.counters != then]

    def settings_for(
        self, frame: Any, acquired: Mapping[str, int], image: ImagePlan, plan: Plan
    ) -> AcquisitionSettings | None:
        """Return settings that accept `frame`; None if the current ones do, or if none can."""
        camera = self._camera(acquired)
        shape: tuple[int, ...] = getattr(frame, "shape", ())
        dtype = getattr(frame, "dtype", None)
        fits = shape == image.frame_shape and dtype == image.array.dtype
        if camera not in self._unseen or dtype is None or fits:
            return None
        settings = plan.settings
        rgb = settings.rgb is None and dtype in (np.uint8, np.uint16) and shape[2:] == (3,)
        if len(shape) != 2 and not rgb:
            return None
        only_rgb_differs = (
            rgb and shape[:2] == image.array.frame_shape and dtype == image.array.dtype
        )
        if self._axis is None:
            return _updated(settings, rgb=True) if only_rgb_differs else None
        if camera == 0 and not only_rgb_differs:
            return None  # the settings specify shape and dtype of the first camera
        axis = camera_axis(settings)
        assert axis is not None
        cameras = cameras_along(axis)
        cameras[camera] = Camera(
            name=cameras[camera].name,
            height=frame.shape[0],
            width=frame.shape[1],
            dtype=np.dtype(dtype),
            rgb=rgb,
        )
        inferred = axis.model_copy(update={"coords": cameras})
        dimensions = [inferred if d.name == axis.name else d for d in settings.dimensions]
        return _updated(settings, dimensions=dimensions)

    def _camera(self, acquired: Mapping[str, int]) -> int:
        return 0 if self._axis is None else acquired[self._axis]


def _updated(settings: AcquisitionSettings, **changes: Any) -> AcquisitionSettings:
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return AcquisitionSettings(**{**given, **changes})
