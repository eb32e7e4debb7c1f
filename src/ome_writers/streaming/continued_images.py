"""Derived images that an earlier stream has written to a dataset, and that a stream continues."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.formats import format_row
from ome_writers.streaming.resumable import ResumeClaim, existing_dataset, reopen_dataset
from ome_writers.streaming.stored_frames import StoredFrames, stored_frames

if TYPE_CHECKING:
    from ome_writers.formats import DatasetMetadata, Reopened, ResumableDataset
    from ome_writers.routing import Plan
    from ome_writers.settings import AcquisitionSettings
    from ome_writers.storage import ExistingArray


class ContinuedImages:
    """Reopens derived images on disk; it is a `ReopenDerived`.

    `claims` gets the claim of a dataset that is not in `output`, the dataset that is being written.
    """

    def __init__(self, output: Path, claims: ExitStack) -> None:
        self._output = output
        self._claims = claims
        self._parts: list[tuple[ResumableDataset, Reopened]] = []  # by image
        self.claim: ResumeClaim | None = None

    def __call__(self, path: Path, settings: AcquisitionSettings) -> DatasetMetadata | None:
        if existing_dataset(settings, "") is None:
            return None
        if not path.is_relative_to(self._output):
            self.claim = ResumeClaim(path)
            self._claims.callback(self.claim.rollback)
        dataset, reopened = reopen_dataset(path, settings, self.claim)
        if self.claim is not None:
            self.claim.start_progress()
        self._parts.append((dataset, reopened))
        return reopened.metadata

    @property
    def existing(self) -> tuple[ExistingArray, ...]:
        """The arrays, by number; empty if there are no images on disk."""
        return tuple(array for _, part in self._parts for array in part.existing)

    def stored(self, plan: Plan) -> StoredFrames:
        """Return which planes are on disk: each of them is complete."""
        parts = [part for _, part in self._parts]
        dataset = replace(self._parts[0][0], frames_written=1, frames_in_order=sys.maxsize)
        reopened = replace(
            parts[0],
            existing=self.existing,
            frames=tuple(mask for part in parts for mask in part.frames),
            described=tuple(mask for part in parts for mask in part.described),
        )
        has_windows = format_row(plan.settings.format.name).has_display_windows
        windows = {
            (number, channel): window
            for number, part in enumerate(parts if has_windows else ())
            for (_, channel), window in part.windows.items()
        }
        return stored_frames(plan, dataset, reopened)._replace(windows=windows)

    def counts(self) -> list[int]:
        """Return the number of planes on disk of each image."""
        return [int(mask.sum()) for _, part in self._parts for mask in part.frames]
