"""Where the frames of a run go."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from ome_writers import FrameShapeError, MetadataError, create_stream
from ome_writers_pymmcore.acquisition_settings import free_output, plan_for
from ome_writers_pymmcore.cameras import CAMERAS, delivering
from ome_writers_pymmcore.frame_metadata import only_plain
from ome_writers_pymmcore.microscope_metadata import describe, show_bit_depth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import useq
    from numpy.typing import NDArray

    from ome_writers import OMEStream
    from ome_writers_pymmcore.microscope import Microscope
    from ome_writers_pymmcore.rebindable_view import FollowingSource

__all__ = ["Outputs", "turn_of"]

_log = logging.getLogger("ome_writers")


class _Frame(NamedTuple):
    """A frame, the place of its event, its camera, and what is said of it."""

    image: NDArray[np.generic]
    place: Mapping[str, int]
    camera: str
    facts: Mapping[str, Any]


class Outputs:
    """The stream of one run.

    Which cameras deliver is known beforehand where the selected one is an adapter of several, where the presets of
    the sequence's channels select them, and where somebody names them. Others may join as long as the first event
    lasts: the output is made anew then.

    Parameters
    ----------
    sequence, microscope, chosen
        As for `plan_for`.
    cameras
        Labels of the cameras that deliver; None: as above.
    numbered
        Whether an output that exists has another one made beside it.
    copy
        Whether frames are copied, or handed over.
    chunk_shapes, shard_shapes
        For `plan_for`.

    Attributes
    ----------
    stream
        The stream, which may be another one after the first event.
    changing
        Held while one stream takes the place of another.
    followers
        Views that go on with the other one.
    """

    def __init__(
        self,
        sequence: useq.MDASequence,
        microscope: Microscope,
        chosen: Mapping[str, Any],
        *,
        cameras: Sequence[str] | None = None,
        numbered: bool,
        copy: bool,
        chunk_shapes: Mapping[str, int] | None,
        shard_shapes: Mapping[str, int] | None,
    ) -> None:
        self._sequence = sequence
        self._chosen = dict(chosen)
        self._numbered = numbered
        self._copy = copy
        self._shapes = {"chunk_shapes": chunk_shapes, "shard_shapes": shard_shapes}
        self._first: list[_Frame] | None = [] if cameras is None else None
        """The frames of the first event, as long as it lasts and other cameras may join."""
        self.changing = threading.Lock()
        self.followers: weakref.WeakSet[FollowingSource] = weakref.WeakSet()
        self._begin(*delivering(microscope, sequence, cameras))

    @property
    def may_change(self) -> bool:
        """Whether another camera may still join, which makes the output anew."""
        return self._first is not None and bool(self._microscope.others)

    def append(
        self, image: NDArray[np.generic], index: Mapping[str, int], camera: str, facts: Any
    ) -> None:
        """Write a frame of an event to its place."""
        frame = _Frame(image, {str(axis): int(i) for axis, i in index.items()}, camera, facts)
        if camera in self._microscope.others and self._is_apart(frame):
            self._join(frame)
        self._write(frame)
        if self._first is not None:
            kept = frame._replace(image=image.copy()) if self._copy else frame
            self._first.append(kept)
            if not self._microscope.others or _event(self._first[0]) != _event(frame):
                self._first = None

    def close(self) -> None:
        """Close the stream, and say last what is known of its pixels."""
        self.stream.close()
        show_bit_depth(self.stream, self._microscope)

    def _begin(self, microscope: Microscope, one_a_channel: bool) -> None:
        self._microscope = microscope
        self._labels = [camera.label for camera in microscope.cameras]
        settings, self._places = plan_for(
            self._sequence,
            microscope,
            self._chosen,
            one_a_channel=one_a_channel,
            **self._shapes,  # type: ignore[arg-type]  # both are of one type
        )
        if self._numbered and settings.root_path:
            settings = free_output(settings)
        self._came = dict.fromkeys(self._labels, 0)
        self._axes = [d.name for d in settings.dimensions]
        self._root_path = settings.root_path and os.path.join(os.getcwd(), settings.root_path)
        self.stream = create_stream(settings)
        try:
            describe(self.stream, microscope)
        except BaseException:
            self.stream.close()
            raise

    def _is_apart(self, frame: _Frame) -> bool:
        """Whether a frame of another camera has no place among those of the cameras that are known."""
        first, other = self._microscope.cameras[0], self._microscope.others[frame.camera]
        return CAMERAS in frame.place or (other.shape, other.dtype) != (first.shape, first.dtype)

    def _join(self, frame: _Frame) -> None:
        """Begin anew with one camera more."""
        labels = [*self._labels, frame.camera]
        if self._first is None or (self._first and _event(self._first[0]) != _event(frame)):
            raise FrameShapeError(
                f"Camera {frame.camera!r} delivers its first frame at event {dict(frame.place)}, and nobody has said "
                f"that it would. Name the cameras of the run: MDAWriter(..., cameras={labels})."
            )
        with self.changing:
            self._begin_anew(labels)
        if self.followers:
            _log.warning(
                "Camera %r has joined the run, whose output was made anew. Views taken before go on showing %r alone: "
                "take a view again to see all cameras, or name them beforehand: MDAWriter(..., cameras=%s).",
                frame.camera,
                labels[0],
                labels,
            )

    def _begin_anew(self, labels: list[str]) -> None:
        """Replace the output by one of these cameras, with what came so far."""
        self.stream.close()
        self._chosen.update(overwrite=True)
        if self._root_path:
            self._chosen.update(root_path=self._root_path)
        self._numbered = False
        first, self._first = self._first or [], []
        whole = dataclasses.replace(
            self._microscope,
            others={**self._microscope.others, **{c.label: c for c in self._microscope.cameras}},
        )
        self._begin(*delivering(whole, self._sequence, labels))
        for follower in self.followers:
            follower.move()
        for earlier in first:
            self._write(earlier)
            self._first.append(earlier)

    def _write(self, frame: _Frame) -> None:
        index = self._index(frame)
        if not self._copy:
            frame.image.setflags(write=False)
        try:
            self.stream.append(
                frame.image, index=index, copy=self._copy, frame_metadata=frame.facts
            )
        except MetadataError:  # somebody's own object in the event's metadata is no reason to stop
            plain = only_plain(frame.facts)
            self.stream.append(frame.image, index=index, copy=self._copy, frame_metadata=plain)
        if frame.camera in self._came:
            self._came[frame.camera] += 1

    def _index(self, frame: _Frame) -> dict[str, int] | None:
        """Return where a frame goes; None: the next place."""
        named = dict(frame.place)
        if frame.camera in self._labels:  # the camera says it
            named.pop(CAMERAS, None)
            if CAMERAS in self._axes:
                named[CAMERAS] = self._labels.index(frame.camera)
        if self._places is not None:
            return self._places(named)
        if len(self._labels) == 1 or CAMERAS not in named:
            return None
        return turn_of(self.stream, self._came[frame.camera], named[CAMERAS], len(self._labels))


def turn_of(stream: OMEStream, number: int, camera: int, cameras: int) -> dict[str, int]:
    """Return where the frame `number` of one of several cameras goes, where frames are counted."""
    return {**stream.plan.router.indices(number * cameras), CAMERAS: camera}


def _event(frame: _Frame) -> dict[str, int]:
    """Return the index of a frame's event without the camera."""
    return {axis: i for axis, i in frame.place.items() if axis != CAMERAS}
