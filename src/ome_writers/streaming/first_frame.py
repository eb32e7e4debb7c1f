"""First-frame inference: infer unspecified camera properties (shape, dtype, RGB) from each camera's first frame.

Clients often know only width, height and dtype of one camera. If the first frame of a camera differs from the
assumption, the stream restarts with the inferred settings; see `restart`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.routing import camera_axis, cameras_along
from ome_writers.settings import AcquisitionSettings, Camera

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ome_writers.routing import ImagePlan, Plan

__all__ = ["FirstFrameInference", "validated_copy"]


class FirstFrameInference:
    """The cameras whose first frame has not arrived.

    Attributes
    ----------
    active
        Whether the first frame of a camera may still change the settings; checked before each frame.
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
        self.active = bool(self._unseen)

    def frame_received(self, acquired: Mapping[str, int], *, last: bool) -> None:
        """Record that a frame with this acquisition index is written; `last`: after it, no restart is possible."""
        self._unseen.discard(self._camera(acquired))
        self.active = bool(self._unseen) and not last

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
            return validated_copy(settings, rgb=True) if only_rgb_differs else None
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
        return validated_copy(settings, dimensions=dimensions)

    def _camera(self, acquired: Mapping[str, int]) -> int:
        return 0 if self._axis is None else acquired[self._axis]


def validated_copy(settings: AcquisitionSettings, **changes: Any) -> AcquisitionSettings:
    """Return settings with some fields changed; also validates settings that `model_copy` has updated."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return AcquisitionSettings(**{**given, **changes})
