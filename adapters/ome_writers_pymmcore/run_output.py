"""The output of a run: one stream, restarted if another camera joins during the first event."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ome_writers import (
    AcquisitionSettings,
    FrameShapeError,
    FrameTypeError,
    MetadataError,
    UnsupportedError,
    create_stream,
)
from ome_writers_pymmcore.acquisition_settings import plan_acquisition, unused_output
from ome_writers_pymmcore.cameras import CAMERA_AXIS, select_cameras
from ome_writers_pymmcore.frame_metadata import to_json
from ome_writers_pymmcore.resuming import refuse_other_sequence, resumed_stream, stored_sequence
from ome_writers_pymmcore.summary import write_summary

if TYPE_CHECKING:
    import useq

    from ome_writers_pymmcore.microscope import Microscope

_log = logging.getLogger("ome_writers")
_MAX_NAMED_FRAMES = 10


class RunOutput:
    """The stream of one run.

    The cameras are known before the run if they are named, if the selected device is a multi-camera device, or if the
    presets of the sequence's channels select them. Other cameras may join during the first event: the stream then
    restarts with all cameras. `shapes` are the chunk and shard shapes for `plan_acquisition`; the other parameters are
    those of `MDAWriter`.
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
        resume: bool = False,
        writer: Literal["thread", "process"] | None = None,
    ) -> None:
        if resume and "root_path" in user and not tuple(sequence.axis_order):  # remaining events
            sequence = _recorded_sequence(user) or sequence
        self._sequence = sequence
        self._presets = [(c.group, c.config) for c in sequence.channels]
        self._user = user
        self._copy = copy
        self._shapes = shapes
        self._received: Counter[str] = Counter()  # frames by camera
        self._cameras_named = cameras is not None
        self._first_event: dict[str, int] | None = None  # its index, without the camera axis
        settings = self._plan(*select_cameras(microscope, self._presets, cameras))
        if numbered and settings.root_path:
            settings = unused_output(settings)
        self.elapsed = 0.0  # seconds since the start of the dataset that is resumed
        if resume:
            if settings.root_path and os.path.exists(settings.output_path):
                refuse_other_sequence(sequence, settings.output_path)
            self.stream, self.elapsed = resumed_stream(settings, writer)
        else:
            self.stream = create_stream(settings, writer=writer)
        if self.elapsed:
            return
        try:
            write_summary(self.stream, microscope.summary)
        except BaseException:
            self.stream.close()
            raise

    def append(
        self,
        image: NDArray[np.generic],
        index: Mapping[str, int],
        camera: str,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write a frame at the index of its event."""
        try:
            self._append(image, index, camera, metadata)
        except (FrameShapeError, FrameTypeError) as error:
            received = self._received.total()
            raise type(error)(
                f"Frame {received} of {camera or 'the camera'} (event {dict(index)}) differs from the frames before "
                f"it: {error} Do not change region of interest, binning or pixel type during a run. The {received} "
                "frames before it are saved."
            ) from error
        except UnsupportedError as error:
            raise UnsupportedError(
                f"{error} An MDAWriter stores each frame at the index of its event. Choose a backend that supports "
                "this, or pass the path itself, mda.run(..., output=path), to store frames in order of arrival."
            ) from error

    def log_missing_frames(self) -> None:
        """Log a warning that names the planned frames that did not arrive."""
        counts, plan = self.stream.summary(), self.stream.plan
        if plan.frames is None or counts.frames == counts.expected:
            return
        indices = map(plan.router.indices, range(plan.frames))
        missing = (index for index in indices if not self.stream.has_frame(tuple(index.values())))
        named = [str(index) for index in islice(missing, _MAX_NAMED_FRAMES + 1)]
        named[_MAX_NAMED_FRAMES:] = ["..."] * (len(named) > _MAX_NAMED_FRAMES)
        _log.warning(
            "%s: %d of %d frames arrived. Missing: %s. The run ended early, the camera or the engine skipped these "
            "frames, or a listener that pymmcore-plus calls before MDAWriter raised an exception (see its log). "
            "MDAWriter(...).attach(core) is called before other listeners.",
            counts.path or "memory",
            counts.frames,
            counts.expected,
            ", ".join(named),
        )

    def _append(
        self,
        image: NDArray[np.generic],
        index: Mapping[str, int],
        camera: str,
        metadata: Mapping[str, Any],
    ) -> None:
        if self.elapsed and "delta_t" in metadata:
            metadata = {**metadata, "delta_t": metadata["delta_t"] + self.elapsed}
        index = {str(axis): int(i) for axis, i in index.items()}
        event = {axis: i for axis, i in index.items() if axis != CAMERA_AXIS}
        self._first_event = event if self._first_event is None else self._first_event
        if camera in self._microscope.others and self._needs_camera_axis(camera, index):
            labels = [*self._labels, camera]
            if self._cameras_named or event != self._first_event:
                raise FrameShapeError(
                    f"Camera {camera!r}: unexpected first frame at event {index}, after the first event. "
                    f"Name the cameras of the run: MDAWriter(..., cameras={labels})."
                )
            self._restart(labels)
        acquired = self._acquisition_index(index, camera)
        if not self._copy:
            image.setflags(write=False)
        try:
            self.stream.append(image, index=acquired, copy=self._copy, frame_metadata=metadata)
        except MetadataError:  # the event's metadata may contain any object: store it as text
            metadata = to_json(metadata)
            self.stream.append(image, index=acquired, copy=self._copy, frame_metadata=metadata)
        self._received[camera] += 1

    def _plan(self, microscope: Microscope, camera_per_channel: bool) -> AcquisitionSettings:
        """Return the settings for the cameras of `microscope`."""
        settings, self._index_of = plan_acquisition(
            self._sequence,
            microscope,
            self._user,
            camera_per_channel=camera_per_channel,
            **self._shapes,  # type: ignore[arg-type]  # both have the same type
        )
        self._microscope = microscope
        self._labels = [camera.label for camera in microscope.cameras]
        self._axes = [d.name for d in settings.dimensions]
        return settings

    def _needs_camera_axis(self, camera: str, index: Mapping[str, int]) -> bool:
        """Whether a frame of an additional camera cannot be stored as a frame of the first camera."""
        first, other = self._microscope.cameras[0], self._microscope.others[camera]
        same_format = (other.shape, other.dtype) == (first.shape, first.dtype)
        return CAMERA_AXIS in index or not same_format

    def _restart(self, labels: list[str]) -> None:
        """Restart the stream with the cameras `labels`, of which the last one is new."""
        known = {camera.label: camera for camera in self._microscope.cameras}
        others = {**self._microscope.others, **known}
        microscope = dataclasses.replace(self._microscope, others=others)
        settings = self._plan(*select_cameras(microscope, self._presets, labels))
        settings.root_path = self.stream.settings.root_path
        self.stream.restart(settings)
        _log.warning(
            "Camera %r joined the run, and its output was created again. Existing views continue to show %r only: "
            "create a new view, or name the cameras before the run: MDAWriter(..., cameras=%s).",
            labels[-1],
            labels[0],
            labels,
        )

    def _acquisition_index(self, index: Mapping[str, int], camera: str) -> dict[str, int] | None:
        """Return the acquisition index of an event's frame; None to store it in order of arrival."""
        index = dict(index)
        if camera in self._labels:  # the label takes precedence over the event's camera index
            index.pop(CAMERA_AXIS, None)
            if CAMERA_AXIS in self._axes:
                index[CAMERA_AXIS] = self._labels.index(camera)
        if self._index_of is not None:
            return self._index_of(index)
        if len(self._labels) == 1 or CAMERA_AXIS not in index:
            return None
        router = self.stream.plan.router
        return router.camera_indices(self._received[camera], index[CAMERA_AXIS])


def _recorded_sequence(user: Mapping[str, Any]) -> useq.MDASequence | None:
    """Return the sequence of the dataset that is resumed; None if it does not exist."""
    output = AcquisitionSettings(**{k: v for k, v in user.items() if k in ("root_path", "format")})
    path = Path(output.root_path)
    return stored_sequence(path) if path.exists() else None
