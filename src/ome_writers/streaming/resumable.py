"""Datasets on disk that a stream can continue: which they are, their plan, and exclusive use of one."""

from __future__ import annotations

import dataclasses
import os
import socket
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.errors import InvalidFileError, SettingsError, UnsupportedError
from ome_writers.formats import abbreviated_list, detect_format, resolve_entry_file
from ome_writers.routing import Plan, resolve
from ome_writers.storage import (
    Lock,
    ProgressFile,
    ProgressReader,
    acquire_lock,
    lock_owner,
    lock_path,
    locked_error,
    sibling_path,
)
from ome_writers.streaming.settings_differences import OF_STREAM, settings_differences
from ome_writers.untrusted import guard_reader, local_path, refuse_archive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.formats import FormatRow, Reopened, ResumableDataset
    from ome_writers.settings import AcquisitionSettings

_MAX_LISTED = 8  # settings that differ


class ResumeClaim:
    """Exclusive use of a dataset that is resumed; like `OutputClaim`, but never removes anything.

    Raises OutputLockedError if another process is writing it.
    """

    def __init__(self, root: Path) -> None:
        self.path = root
        self._lock_path = lock_path(root, folder=root.is_dir())
        self.progress: ProgressFile | None = None
        self._claim: Lock | None = acquire_lock(sibling_path(root, "claim"), root)
        try:
            owner = lock_owner(self._lock_path)
            if owner is not None:
                raise locked_error(self._lock_path, root, owner)
            self._lock = acquire_lock(self._lock_path, root)
        except BaseException:
            self.commit()
            raise

    @property
    def is_stale(self) -> bool:
        """Whether the process that wrote the dataset before was killed."""
        return self._lock.replaced is not None

    @property
    def exists(self) -> bool:
        """Whether the dataset and its lock file still exist."""
        return self._lock_path.exists() and os.path.lexists(self.path)

    def flushed_runs(self) -> list[range] | None:
        """Return the runs of frames that a killed writer and those before it have flushed; None if unknown."""
        if not self.is_stale:
            return None
        try:
            with closing(ProgressReader(self._lock_path)) as progress:
                return [*progress.all_runs(earlier=True)]
        except (OSError, InvalidFileError):
            return None

    def start_progress(self, earlier: Sequence[tuple[int, int]] = ()) -> None:
        """Create the progress file, with the runs of the frames that are continued."""
        self.progress = ProgressFile(self._lock_path, earlier)

    def commit(self) -> None:
        """Release the claim on the path; the lock is held until `release`."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release()

    def release(self) -> None:
        """Release the lock of the dataset."""
        self._lock.release()

    def rollback(self) -> None:
        """Release lock and claim; a dataset whose writer was killed keeps the lock of that writer."""
        if self.progress is not None:
            self.progress.close("failed")
        self._lock.release(restore=True)
        self.commit()


def existing_dataset(settings: AcquisitionSettings, folder: str) -> Path | None:
    """Return the output path of settings if something is there; what a stream left that was killed at its start is not.

    That is removed. `folder` is that of a relative path.
    """
    path = Path(folder, settings.output_path)
    if not os.path.lexists(path):
        return None
    try:
        find_resumable(path)
    except (UnsupportedError, InvalidFileError):
        from ome_writers.streaming.replaced_dataset import remove_killed_start

        if remove_killed_start(path):
            return None
    return path


def find_resumable(path: str | os.PathLike[str]) -> tuple[Path, FormatRow, ResumableDataset]:
    """Return the dataset at a path, as its metadata describes it.

    Raises UnsupportedError with the reason if it cannot be resumed; FileNotFoundError if there is nothing.
    """
    root = resolve_entry_file(local_path(path)).absolute()
    try:
        refuse_archive(root)
        row = detect_format(root)
        with guard_reader(root):
            return root, row, row.resumable(root)
    except UnsupportedError as error:
        reason = str(error).removeprefix(f"{root}: ").rstrip(".")
        raise UnsupportedError(
            f"{root} cannot be resumed: {reason}. Record to another path, or copy it with `ome-writers convert` "
            f"to a dataset that can be continued."
        ) from error


def reopen_dataset(
    path: Path, settings: AcquisitionSettings, claim: ResumeClaim | None
) -> tuple[ResumableDataset, Reopened]:
    """Return a dataset that is derived from another one, and is written with it, as `open_existing` does."""
    root, row, dataset = find_resumable(path)
    plan = continued_plan(root, row, dataset, settings)
    stale = claim is not None and claim.is_stale
    return dataset, reopen(root, dataset, plan, repairs=stale)


def reopen(root: Path, dataset: ResumableDataset, plan: Plan, *, repairs: bool) -> Reopened:
    """Return a dataset ready for more frames, with another attempt; it is repaired if its writer did not close it."""
    with guard_reader(root):
        repairs |= dataset.status in ("writing", "failed")
        return dataset.reopen(_with_new_attempt(dataset, plan), repairs)


def continued_plan(
    root: Path, row: FormatRow, dataset: ResumableDataset, settings: AcquisitionSettings | None
) -> Plan:
    """Return the plan of the stored settings, with those of the stream and the first axis from `settings`."""
    stored = dataset.plan.settings
    update: dict[str, Any] = {"overwrite": False, "mirror": None}
    if settings is None:
        if Path(stored.output_path).absolute() != root:
            # renamed or moved
            update["root_path"] = str(root)
            update["format"] = stored.format.model_copy(update={"suffix": ""})
        return dataclasses.replace(dataset.plan, settings=stored.model_copy(update=update))
    differences = settings_differences(stored, settings, extends=row.extends)
    if differences:
        raise SettingsError(
            f"{root} was written with other settings: {abbreviated_list(differences, _MAX_LISTED)}. Pass the same "
            f"settings to continue it (ome_writers.resume(path) reads them), or choose another path."
        )
    update |= {name: getattr(settings, name) for name in OF_STREAM}
    update["format"] = stored.format.model_copy(update={"suffix": settings.format.suffix})
    if settings.dimensions[0].count == stored.dimensions[0].count:
        return dataclasses.replace(dataset.plan, settings=stored.model_copy(update=update))
    first = stored.dimensions[0].model_copy(
        update={name: getattr(settings.dimensions[0], name) for name in ("count", "coords")}
    )
    update["dimensions"] = (first, *stored.dimensions[1:])
    update["schedule"] = settings.schedule
    plan = resolve(stored.model_copy(update=update)).with_keys_of(dataset.plan)
    for old, new in zip(dataset.plan.images, plan.images, strict=True):
        pairs = zip(old.levels, new.levels, strict=False)
        if len(old.levels) != len(new.levels) or any(
            (a.chunks, a.shards) != (b.chunks, b.shards) for a, b in pairs
        ):
            name = settings.dimensions[0].name
            raise SettingsError(
                f"{root} cannot get a longer axis {name!r}: its chunks would be others. Give {name!r} the chunk_size "
                f"{dict(zip(old.dims, old.array.chunks, strict=True)).get(name)}, or choose another path."
            )
    return plan


def _with_new_attempt(dataset: ResumableDataset, plan: Plan) -> ResumableDataset:
    now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    attempt = {"started": now, "host": socket.gethostname()}
    return dataclasses.replace(dataset, plan=plan, attempts=(*dataset.attempts, attempt))
