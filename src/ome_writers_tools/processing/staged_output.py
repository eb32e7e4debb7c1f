"""The output while tasks write it: in a hidden folder beside its path, so that only complete outputs have that path."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ome_writers import AcquisitionSettings, create_stream
from ome_writers.toolkit import acquire_lock, lock_path, open_metadata, rename, sibling_path


@dataclass(frozen=True)
class StagedOutput:
    """An OME-Zarr whose shards are written by tasks."""

    path: Path  # absolute path that the output gets when it is complete
    # Of all that determines the pixels; the name of the folder of the run. A run with other arguments writes to another
    # folder, also while a worker of this run is still alive.
    digest: str

    @property
    def staged_path(self) -> Path:
        """Path of the output until it is complete."""
        return self._folder / self.digest / self.path.name

    @property
    def _folder(self) -> Path:
        return sibling_path(self.path, "processing")

    @contextmanager
    def create(self, settings: AcquisitionSettings, frames: int) -> Iterator[None]:
        """Create the output without pixels, unless an interrupted run has; keep other processes from writing it.

        Raises OutputLockedError if another process is writing it.
        """
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        lock = acquire_lock(lock_path(folder, folder=True), self.path)
        try:
            for other in folder.iterdir():
                if other.is_dir() and other.name != self.digest:
                    shutil.rmtree(other, ignore_errors=True)
            if not self.staged_path.exists():
                new = folder / "new" / self.path.name
                with create_stream(settings.model_copy(update={"root_path": str(new)})) as stream:
                    stream.skip(frames=frames)
                rename(new.parent, self.staged_path.parent)
            yield
        finally:
            lock.release()

    def publish(self, frames: int, metadata: Mapping[str, Any]) -> None:
        """Record the number of frames and global metadata by namespace, and move the complete output to its path."""
        with open_metadata(self.staged_path) as groups:
            attributes = groups.attributes()
            attributes.update({**metadata, **attributes})
            own = groups.own()
            assert own is not None
            own["frames"]["written"] = frames
            groups.settings()["root_path"] = str(self.path)
        rename(self.staged_path, self.path)
        shutil.rmtree(self._folder, ignore_errors=True)
