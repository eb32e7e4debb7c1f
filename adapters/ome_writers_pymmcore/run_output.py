"""The output of a run: one stream, replaced if another camera joins during the first event."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from ome_writers import FrameShapeError, MetadataError, create_stream
from ome_writers_pymmcore.acquisition_settings import plan_acquisition, unused_output
from ome_writers_pymmcore.cameras import CAMERA_AXIS, select_cameras
from ome_writers_pymmcore.frame_metadata import to_json
from ome_writers_pymmcore.summary import write_summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import useq
    from numpy.typing import NDArray

    from ome_writers import OMEStream
    from ome_writers_pymmcore.microscope import Microscope
    from ome_writers_pymmcore.rebindable_view import RebindableViewSource

__all__ = ["RunOutput", "camera_frame_index"]

_log = logging.getLogger("ome_writers")


class _Frame(NamedTuple):
    image: NDArray[np.generic]
    event_index: dict[str, int]
    camera: str
    metadata: Mapping[str, Any]


class RunOutput:
    """The stream of one run.

    The cameras are known before the run if they are named, if the selected device is a multi-camera device, or if the
    presets of the sequence's channels select them. Other cameras may join during the first event: the output is then
    replaced by one for all cameras, and the frames received so far are written again. `shapes` are the chunk and shard
    shapes for `plan_acquisition`; the other parameters are those of `MDAWriter`.

    Attributes
    ----------
    stream
        The current stream.
    replace_lock
        Held while the stream is replaced.
    view_sources
        Sources of views that must follow to the new stream.
    """

    def __init__(
        self,
        sequence: useq.MDASequence,
        microscope: Microscope,
        user: Mapping[str, Any],
        *,
        cameras: Sequence[str] | None = None,
        numbered: bool,
        copy: bool,
        shapes: Mapping[str, Mapping[str, int] | None],
    ) -> None:
        self._sequence = sequence
        self._presets = [(c.group, c.config) for c in sequence.channels]
        self._user = dict(user)
        self._numbered = numbered
        self._copy = copy
        self._shapes = shapes
        # Frames of the first event while another camera may still join; None afterwards.
        self._replay_log: list[_Frame] | None = [] if cameras is None else None
        self.replace_lock = threading.Lock()
        self.view_sources: weakref.WeakSet[RebindableViewSource] = weakref.WeakSet()
        self._create(*select_cameras(microscope, self._presets, cameras))

    @property
    def may_change(self) -> bool:
        """Whether another camera may still join, which replaces the stream."""
        return self._replay_log is not None and bool(self._microscope.others)

    def append(
        self,
        image: NDArray[np.generic],
        index: Mapping[str, int],
        camera: str,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write a frame at the index of its event."""
        frame = _Frame(image, {str(axis): int(i) for axis, i in index.items()}, camera, metadata)
        if camera in self._microscope.others and self._needs_camera_axis(frame):
            self._add_camera(frame)
        self._write(frame)
        if self._replay_log is not None:
            self._replay_log.append(frame._replace(image=image.copy()) if self._copy else frame)
            if not self._microscope.others or not self._is_first_event(frame):
                self._replay_log = None

    def close(self) -> None:
        """Close the stream."""
        self.stream.close()

    def _create(self, microscope: Microscope, camera_per_channel: bool) -> None:
        self._microscope = microscope
        self._labels = [camera.label for camera in microscope.cameras]
        settings, self._index_of = plan_acquisition(
            self._sequence,
            microscope,
            self._user,
            camera_per_channel=camera_per_channel,
            **self._shapes,  # type: ignore[arg-type]  # both have the same type
        )
        if self._numbered and settings.root_path:
            settings = unused_output(settings)
        self._received = dict.fromkeys(self._labels, 0)
        self._axes = [d.name for d in settings.dimensions]
        self._root_path = settings.root_path and os.path.join(os.getcwd(), settings.root_path)
        self.stream = create_stream(settings)
        try:
            write_summary(self.stream, microscope.summary)
        except BaseException:
            self.stream.close()
            raise

    def _needs_camera_axis(self, frame: _Frame) -> bool:
        """Whether the frame of an additional camera cannot be stored as a frame of the first camera."""
        first, other = self._microscope.cameras[0], self._microscope.others[frame.camera]
        return CAMERA_AXIS in frame.event_index or (other.shape, other.dtype) != (
            first.shape,
            first.dtype,
        )

    def _is_first_event(self, frame: _Frame) -> bool:
        first = self._replay_log[0] if self._replay_log else frame
        return _camera_independent_index(first) == _camera_independent_index(frame)

    def _add_camera(self, frame: _Frame) -> None:
        labels = [*self._labels, frame.camera]
        if self._replay_log is None or not self._is_first_event(frame):
            raise FrameShapeError(
                f"Camera {frame.camera!r}: unexpected first frame at event {frame.event_index}, after the first event. "
                f"Name the cameras of the run: MDAWriter(..., cameras={labels})."
            )
        with self.replace_lock:
            self._replace(labels)
        if self.view_sources:
            _log.warning(
                "Camera %r joined the run, and its output was replaced. Existing views continue to show %r only: "
                "create a new view, or name the cameras before the run: MDAWriter(..., cameras=%s).",
                frame.camera,
                labels[0],
                labels,
            )

    def _replace(self, labels: list[str]) -> None:
        """Replace the stream by one for these cameras, and write the frames received so far again."""
        self.stream.close()
        self._user.update(overwrite=True)
        if self._root_path:
            self._user.update(root_path=self._root_path)
        self._numbered = False
        replay, self._replay_log = self._replay_log or [], []
        cameras = {camera.label: camera for camera in self._microscope.cameras}
        microscope = dataclasses.replace(
            self._microscope, others={**self._microscope.others, **cameras}
        )
        self._create(*select_cameras(microscope, self._presets, labels))
        for source in self.view_sources:
            source.rebind()
        for earlier in replay:
            self._write(earlier)
            self._replay_log.append(earlier)

    def _write(self, frame: _Frame) -> None:
        index = self._acquisition_index(frame)
        if not self._copy:
            frame.image.setflags(write=False)
        try:
            self.stream.append(
                frame.image, index=index, copy=self._copy, frame_metadata=frame.metadata
            )
        except MetadataError:  # the event's metadata may contain any object: store it as text
            metadata = to_json(frame.metadata)
            self.stream.append(frame.image, index=index, copy=self._copy, frame_metadata=metadata)
        if frame.camera in self._received:
            self._received[frame.camera] += 1

    def _acquisition_index(self, frame: _Frame) -> dict[str, int] | None:
        """Return the acquisition index of a frame; None to store it in order of arrival."""
        index = dict(frame.event_index)
        if frame.camera in self._labels:  # the label takes precedence over the event's camera index
            index.pop(CAMERA_AXIS, None)
            if CAMERA_AXIS in self._axes:
                index[CAMERA_AXIS] = self._labels.index(frame.camera)
        if self._index_of is not None:
            return self._index_of(index)
        if len(self._labels) == 1 or CAMERA_AXIS not in index:
            return None
        number = self._received[frame.camera]
        return camera_frame_index(self.stream, number, index[CAMERA_AXIS], len(self._labels))


def camera_frame_index(
    stream: OMEStream, number: int, camera: int, n_cameras: int
) -> dict[str, int]:
    """Return the acquisition index of frame `number` of a camera, for frames stored in order of arrival."""
    return {**stream.plan.router.indices(number * n_cameras), CAMERA_AXIS: camera}


def _camera_independent_index(frame: _Frame) -> dict[str, int]:
    """Return the event index without the camera axis."""
    return {axis: i for axis, i in frame.event_index.items() if axis != CAMERA_AXIS}
