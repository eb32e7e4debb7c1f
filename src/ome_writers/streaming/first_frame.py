"""What nobody has said of a camera's frames is as its first frame is.

A client that knows no more than width, height and dtype of one camera gets its colours right so, and the frames of
the other cameras at its side. As nothing can be known before the frame is there, the output is made anew then, and
the few frames that came before, of other cameras, are put into it again.
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

_MOST = 64  # frames that may have to be written again


class Action(NamedTuple):
    """What a stream has done since it began: taken a frame, or skipped some.

    `before` are the counters (position, frames) when it began; they stay the same where an exception has ended it.
    """

    before: tuple[int, int]
    address: Address | None
    named: Mapping[str, int] | None = None
    encoded: bytes | None = None
    skipped: int = 0


class FirstFrameInference:
    """What is not known yet of the frames to come.

    Attributes
    ----------
    open
        Whether something may still be learned; the stream asks before each frame.
    actions
        What the stream has done so far, as long as that is so.
    """

    def __init__(self, settings: AcquisitionSettings) -> None:
        axis = camera_axis(settings)
        self._axis = None if axis is None else axis.name
        said = axis is not None and any(isinstance(c, Camera) for c in axis.coords or ())
        cameras = range(1 if axis is None or axis.count is None else axis.count)
        self._unseen = set() if said or (axis is None and settings.rgb is not None) else {*cameras}
        self._bytes = 0
        self._budget = settings.buffer_bytes
        self.open = bool(self._unseen)
        self.actions: list[Action] = []

    def note(self, action: Action, acquired: Mapping[str, int] | None, nbytes: int) -> None:
        """Take note of what the stream has done; `acquired` is the place of a frame."""
        if acquired is not None:
            self._unseen.discard(self._camera(acquired))
        self.actions.append(action)
        self._bytes += nbytes
        if not self._unseen or len(self.actions) >= _MOST or self._bytes > self._budget:
            self.open = False
            self.actions.clear()

    def completed(self, now: tuple[int, int]) -> list[Action]:
        """Return the actions after which the counters had changed; `now` are the counters behind the last."""
        after = [*(action.before for action in self.actions[1:]), now]
        return [a for a, then in zip(self.actions, after, strict=False) if a.before != then]

    def settings_for(
        self, frame: Any, acquired: Mapping[str, int], image: ImagePlan, plan: Plan
    ) -> AcquisitionSettings | None:
        """Return the settings of a stream that takes `frame`; None where it fits, or where it may not come."""
        camera = self._camera(acquired)
        shape: tuple[int, ...] = getattr(frame, "shape", ())
        dtype = getattr(frame, "dtype", None)
        fits = shape == image.frame_shape and dtype == image.array.dtype
        if camera not in self._unseen or dtype is None or fits:
            return None
        settings = plan.settings
        colours = settings.rgb is None and dtype in (np.uint8, np.uint16) and shape[2:] == (3,)
        if len(shape) != 2 and not colours:
            return None
        alike = shape[:2] == image.array.frame_shape and dtype == image.array.dtype
        if self._axis is None:
            return _with(settings, rgb=True) if alike and colours else None
        if camera == 0 and not (alike and colours):
            return None  # of this one the settings speak
        axis = camera_axis(settings)
        assert axis is not None
        cameras = cameras_along(axis)
        cameras[camera] = Camera(
            name=cameras[camera].name,
            height=frame.shape[0],
            width=frame.shape[1],
            dtype=np.dtype(dtype),
            rgb=colours,
        )
        learned = axis.model_copy(update={"coords": cameras})
        return _with(
            settings,
            dimensions=[learned if d.name == axis.name else d for d in settings.dimensions],
        )

    def _camera(self, acquired: Mapping[str, int]) -> int:
        return 0 if self._axis is None else acquired[self._axis]


def _with(settings: AcquisitionSettings, **news: Any) -> AcquisitionSettings:
    return AcquisitionSettings(
        **{**{n: getattr(settings, n) for n in settings.model_fields_set}, **news}
    )
