"""Metadata of a scratch store: one manifest, and one frame metadata journal for all images."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ome_writers.formats.dataset_metadata import (
    Layout,
    Outcome,
    check_global_metadata,
    library_version,
    new_dataset_id,
    settings_to_store,
)
from ome_writers.formats.frame_metadata import JOURNAL_NAME, Journal
from ome_writers.formats.registry import FormatRow, lazy_functions
from ome_writers.formats.strict_json import to_plain_json
from ome_writers.routing import Plan
from ome_writers.settings import ScratchFormat

MANIFEST = "manifest.json"


def lay_out(plan: Plan) -> tuple[Plan, Layout]:
    """Return plan and layout of a scratch store: below `root_path`, or in a temporary folder if that is empty."""
    folder = None
    if plan.settings.root_path:
        root = Path(plan.settings.output_path)
    else:
        folder = _TemporaryFolder()
        root = folder.path
    names = [f"pos_{image.number}" for image in plan.images]
    arrays = [
        (f"{name}.dat", *(f"{name}.level_{k}.dat" for k in range(1, len(image.levels))))
        for name, image in zip(names, plan.images, strict=True)
    ]
    journals = (JOURNAL_NAME,) * len(names)
    layout = Layout(root, root, journals, encode_address=_encode_address, temporary_folder=folder)
    return plan.with_keys([first for first, *_ in arrays], arrays), layout


class _TemporaryFolder:
    """A temporary folder that is removed when this object is garbage-collected."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ome-writers-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _encode_address(image: int, index: tuple[int, ...]) -> bytes:
    return b'"_pos":%d,"_idx":[%s]' % (image, ",".join(map(str, index)).encode())


class ScratchMetadata:
    """Implements `DatasetMetadata`."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._plan = plan
        self._layout = layout  # keeps a temporary folder alive
        self._globals: dict[str, Any] = {}
        self._id = new_dataset_id()
        self._outcome = Outcome("writing", 0, tuple(i.array.shape for i in plan.images))
        self._dirty = True

    def render(self) -> Iterator[tuple[str, bytes]]:
        if self._dirty:
            self._dirty = False
            settings = settings_to_store(self._plan.settings)
            manifest = {
                "version": library_version(),
                "ome_writers": {"id": self._id, "version": library_version()},
                **settings,  # at the top, as in version 0.3
                "settings": settings,
                "position_shapes": [list(shape) for shape in self._outcome.shapes],
                "status": self._outcome.status,
                "frames": {
                    "expected": self._plan.distinct_frames,
                    "written": self._outcome.frames_written,
                },
                "global_metadata": self._globals,
            }
            yield MANIFEST, json.dumps(manifest, allow_nan=False).encode()

    def get_metadata(self) -> dict[str, Any]:
        return copy.deepcopy(self._globals)

    def update_metadata(self, metadata: Any) -> None:
        if not isinstance(metadata, dict):
            raise TypeError(
                "Expected dict[str, Any], namespace to metadata, as get_metadata() returns it, "
                f"got {type(metadata).__name__}."
            )
        self._globals = to_plain_json(metadata)
        self._dirty = True

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        check_global_metadata(namespace, metadata)
        self._globals[namespace] = to_plain_json(dict(metadata))
        self._dirty = True

    def find_metadata(self, namespace: str) -> Mapping[str, Any] | None:
        found = self._globals.get(namespace)
        return found if isinstance(found, dict) else None

    def use_plan(self, plan: Plan) -> None:
        self._plan = plan
        self._dirty = True

    def update_progress(self, outcome: Outcome) -> tuple[()]:
        self._dirty |= outcome.frames_written != self._outcome.frames_written
        self._outcome = outcome
        return ()

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        self._outcome = outcome
        self._dirty = True

    def embedded_journals(self) -> tuple[int, ...]:
        """Return no image: the journal is part of the store."""
        return ()


_lazy = lazy_functions("ome_writers.formats.scratch")

FORMAT = FormatRow(
    settings=ScratchFormat,
    lay_out=lay_out,
    create_metadata=ScratchMetadata,
    recognizes=_lazy("reader:is_scratch"),
    owned_files=_lazy("reader:owned_files"),
    is_startup_file=_lazy("reader:is_startup_file"),
    frame_metadata=_lazy("reader:read_frames"),
    stored_settings=_lazy("reader:read_settings"),
)
