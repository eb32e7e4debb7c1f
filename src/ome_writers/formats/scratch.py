"""What a scratch store says: one manifest, one journal for all images."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.formats.dataset_metadata import (
    Layout,
    Outcome,
    check_global_metadata,
    library_version,
    new_dataset_id,
)
from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.strict_json import to_plain_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ome_writers.formats.frame_metadata import Journal
    from ome_writers.routing import Plan

__all__ = ["ScratchMetadata", "lay_out"]

MANIFEST = "manifest.json"


def lay_out(plan: Plan) -> Layout:
    """Return the layout of a scratch store; without a path it is a temporary folder that goes with the stream."""
    folder = None
    if plan.settings.root_path:
        root = Path(plan.settings.output_path)
    else:
        folder = _TemporaryFolder()
        root = folder.path
    names = tuple(f"pos_{image.number}.dat" for image in plan.images)
    return Layout(
        root,
        root,
        names,
        names,
        (JOURNAL_NAME,) * len(names),
        encode_address=_encode_address,
        temporary_folder=folder,
    )


class _TemporaryFolder:
    """A temporary folder that is removed when nobody holds this any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ome-writers-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _encode_address(image: int, index: tuple[int, ...]) -> bytes:
    return b'"_pos":%d,"_idx":[%s]' % (image, ",".join(map(str, index)).encode())


class ScratchMetadata:
    """The manifest; see `DatasetMetadata`."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._plan = plan
        self._layout = layout  # keeps a temporary folder alive
        self._globals: dict[str, Any] = {}
        self._id = new_dataset_id()
        self._outcome = Outcome("writing", 0, tuple(i.array.shape for i in plan.images))
        self._dirty = True

    def render(self) -> Iterator[tuple[str, bytes]]:
        """Yield the manifest when it has changed."""
        if self._dirty:
            self._dirty = False
            settings = self._plan.settings.model_dump(mode="json")
            manifest = {
                "version": library_version(),
                "ome_writers": {"id": self._id, "version": library_version()},
                **settings,  # where readers of version 0.3 find dimensions, format and dtype
                "settings": settings,
                "position_shapes": [list(shape) for shape in self._outcome.shapes],
                "status": self._outcome.status,
                "frames": {"expected": self._plan.frames, "written": self._outcome.frames_written},
                "global_metadata": self._globals,
            }
            yield MANIFEST, json.dumps(manifest, allow_nan=False).encode()

    def get_metadata(self) -> dict[str, Any]:
        """Return a copy of the global metadata by namespace."""
        return copy.deepcopy(self._globals)

    def update_metadata(self, metadata: Any) -> None:
        """Replace the global metadata."""
        if not isinstance(metadata, dict):
            raise TypeError(
                "Expected dict[str, Any]: namespace to metadata, as get_metadata() returns it."
            )
        self._globals = to_plain_json(metadata)
        self._dirty = True

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Attach metadata to the whole."""
        check_global_metadata(namespace, metadata)
        self._globals[namespace] = to_plain_json(dict(metadata))
        self._dirty = True

    def update_progress(self, outcome: Outcome) -> tuple[()]:
        """Record how far the acquisition is."""
        self._dirty |= outcome.frames_written != self._outcome.frames_written
        self._outcome = outcome
        return ()

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        """Take in how the acquisition ended."""
        self._outcome = outcome
        self._dirty = True

    def embedded_journals(self) -> tuple[int, ...]:
        """Return nothing: the journal is part of the store."""
        return ()
