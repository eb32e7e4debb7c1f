"""Where the frames of a run go: into one stream, and one more for each camera whose frames are unlike the others'."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers import create_stream
from ome_writers_pymmcore.acquisition import CAMERAS, free_output, plan_for
from ome_writers_pymmcore.documents import describe, show_bit_depth

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import useq
    from numpy.typing import NDArray

    from ome_writers import OMEStream
    from ome_writers_pymmcore.acquisition import Places
    from ome_writers_pymmcore.microscope import Camera, Microscope

__all__ = ["Outputs"]


class Outputs:
    """The streams of one run.

    An image has one size and one dtype. A camera that the summary knows with another size or dtype than the selected
    one has a dataset of its own beside the first, called after it (``x_Camera-2.ome.zarr``), made with its first
    frame.

    Parameters
    ----------
    sequence, microscope, chosen
        As for `plan_for`.
    numbered
        Whether an output that exists has another one made beside it.
    shapes
        Chunk and shard shapes for `plan_for`.
    """

    def __init__(
        self,
        sequence: useq.MDASequence,
        microscope: Microscope,
        chosen: Mapping[str, Any],
        *,
        numbered: bool,
        chunk_shapes: Mapping[str, int] | None,
        shard_shapes: Mapping[str, int] | None,
    ) -> None:
        self._sequence = sequence
        self._chosen = chosen
        self._numbered = numbered
        self._chunks, self._shards = chunk_shapes, shard_shapes
        self._microscope = microscope
        self._others: dict[str, tuple[OMEStream, Places | None, Microscope]] = {}
        self.main, self._places = self._open(microscope, chosen)
        self._labels = {camera.label for camera in microscope.cameras}
        self._has_cameras = any(d.name == CAMERAS for d in self.main.settings.dimensions)

    def place(
        self, image: NDArray[np.generic], index: Mapping[str, int], camera: str
    ) -> tuple[OMEStream, dict[str, int] | None]:
        """Return the stream that takes a frame, and its place there; None: the next one."""
        stream, places = self.main, self._places
        if camera not in self._labels and self._is_unlike(camera):
            stream, places = self._other(camera)
        named = {str(axis): int(i) for axis, i in index.items()}
        if not self._has_cameras and (stream is not self.main or camera in self._labels):
            named.pop(CAMERAS, None)  # the camera says it already
        return stream, None if places is None else places(named)

    @property
    def streams(self) -> list[OMEStream]:
        """All streams, the main one first."""
        return [self.main, *(stream for stream, _, _ in self._others.values())]

    def close(self) -> None:
        """Close all streams; the first error is raised when all of them are closed."""
        errors: list[Exception] = []
        known = [(self.main, self._microscope)]
        known += [(stream, microscope) for stream, _, microscope in self._others.values()]
        for stream, microscope in known:
            try:
                stream.close()
                show_bit_depth(stream, microscope)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _is_unlike(self, camera: str) -> bool:
        """Whether a camera is known to deliver frames that the main stream cannot hold."""
        other, first = self._microscope.others.get(camera), self._microscope.cameras[0]
        return other is not None and (other.shape, other.dtype) != (first.shape, first.dtype)

    def _other(self, label: str) -> tuple[OMEStream, Places | None]:
        """Return the stream of a camera with frames of another kind."""
        if label not in self._others:
            camera: Camera = self._microscope.others[label]
            microscope = dataclasses.replace(
                self._microscope, cameras=(camera,), selected=label, affine=None
            )
            chosen = {k: v for k, v in self._chosen.items() if k not in ("dtype", "rgb")}
            if chosen.get("root_path"):
                chosen["root_path"] = _beside(self.main.settings.root_path, label)
            stream, places = self._open(microscope, chosen)
            self._others[label] = (stream, places, microscope)
        stream, places, _ = self._others[label]
        return stream, places

    def _open(
        self, microscope: Microscope, chosen: Mapping[str, Any]
    ) -> tuple[OMEStream, Places | None]:
        settings, places = plan_for(
            self._sequence,
            microscope,
            chosen,
            chunk_shapes=self._chunks,
            shard_shapes=self._shards,
        )
        if self._numbered and settings.root_path:
            settings = free_output(settings)
        stream = create_stream(settings)
        try:
            describe(stream, microscope)
        except BaseException:
            stream.close()
            raise
        return stream, places


def _beside(path: str, label: str) -> str:
    """Return the path of a camera's own dataset beside `path`."""
    whole = Path(path)
    stem, suffix = re.fullmatch(r"(.*?)((?:\.ome)?(?:\.[^.]*)?)", whole.name).groups()  # type: ignore[union-attr]  # it matches everything
    return str(whole.with_name(f"{stem}_{re.sub(r'[^A-Za-z0-9._-]+', '-', label)}{suffix}"))
