"""`resume`: continue a dataset on disk, after a crash, a cancelled acquisition, or on the next day."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from ome_writers.errors import (
    OMEWritersError,
    OutputExistsError,
    RestartError,
    UnsupportedError,
    WriteError,
    checked_call,
)
from ome_writers.routing import Plan
from ome_writers.settings import engines_of
from ome_writers.storage import (
    Options,
    open_engine,
    open_with_stages,
    unsupported_reasons,
)
from ome_writers.streaming.dataset_writer import DatasetWriter, Output
from ome_writers.streaming.resumable import (
    ResumeClaim,
    continued_plan,
    existing_dataset,
    find_resumable,
    reopen,
)
from ome_writers.streaming.stored_frames import sampled_windows, stored_frames
from ome_writers.streaming.stream import OMEStream

if TYPE_CHECKING:
    from ome_writers.formats import Reopened, ResumableDataset
    from ome_writers.settings import AcquisitionSettings
    from ome_writers.storage import EngineRow
    from ome_writers.streaming.writer_process import Writer

_Stream = TypeVar("_Stream", bound=OMEStream)


@checked_call
def resume(path: str | os.PathLike[str], *, writer: Writer = None) -> OMEStream:
    """Continue a dataset: after a crash, after a cancelled or failed acquisition, or to add frames to a growing one.

    The settings are those that the dataset was written with. `OMEStream.remaining` iterates over the indices that it
    lacks, and `OMEStream.append` continues with them. Frames on disk are not written again; their metadata, resolution
    levels, display windows and numbers come back. If the writer was killed, the dataset is repaired first.

    Parameters
    ----------
    path
        An OME-Zarr or OME-TIFF of this library, which may have been moved or renamed. Its status is ``writing``
        (without a living writer), ``failed``, ``cancelled``, or ``complete`` with an unbounded first axis.
    writer
        ``"process"`` or ``"thread"``; see `create_stream`.

    Raises
    ------
    FileNotFoundError
        There is no dataset.
    OutputLockedError
        Another process is writing it (FileExistsError).
    OutputExistsError
        It is complete, and its first axis is not unbounded (FileExistsError).
    UnsupportedError
        It cannot be resumed (NotImplementedError): another program, another version, or a backend that cannot continue
        its own files wrote it, or it is in an object store or an archive.
    WriteError
        A file cannot be read or written (OSError).
    """
    if writer is not None or "OME_WRITERS_WRITER" in os.environ:
        from ome_writers.streaming.writer_process import resume_in_own_process

        if (stream := resume_in_own_process(path, writer)) is not None:
            return stream
    return resumed_stream(open_existing(path), OMEStream)


def resume_existing(settings: AcquisitionSettings, folder: str) -> OMEStream | None:
    """Continue the dataset that the settings describe; return None if it does not exist.

    `folder` is that of a relative path.
    """
    if not settings.root_path or (path := existing_dataset(settings, folder)) is None:
        return None
    return resumed_stream(open_existing(path, settings), OMEStream)


def resumed_stream(output: Output, kind: type[_Stream]) -> _Stream:
    """Return a stream of this class for the output of `open_existing`."""
    path, claim = output.dataset_writer.layout.output, output.dataset_writer.claim
    try:
        stream = kind(output, partial(_refuse_restart, path))
        stream.flush()  # shapes and status
    except BaseException:
        output.dataset_writer.discard()
        raise
    if isinstance(claim, ResumeClaim):
        claim.commit()
    return stream


def open_existing(
    path: str | os.PathLike[str],
    settings: AcquisitionSettings | None = None,
    *,
    replaces_writer: bool = False,
) -> Output:
    """Return the dataset at a path, ready for the frames that it lacks; see `ome_writers.resume`.

    With `settings`, the dataset must be what they describe; their first axis may be longer. `replaces_writer`: its
    writer has just died, so that its progress file is exact.
    """
    root, row, dataset = find_resumable(path)
    plan = continued_plan(root, row, dataset, settings)
    engine_row = _engine_row(root, plan)
    longer = plan.frames != dataset.plan.frames
    if dataset.status == "complete" and plan.frames is not None and not longer:
        advice = ""
        if settings is not None and settings.mirror is not None:
            advice = (
                f" To complete its mirror, run `ome-writers upload {root} {settings.mirror.url}`."
            )
        raise OutputExistsError(
            f"{root} is complete: nothing remains of its {plan.distinct_frames} frames. To add frames, pass settings "
            f"whose first axis is longer to create_stream(settings, resume=True); an axis with count=None always "
            f"accepts more.{advice}"
        )
    companions = None
    if plan.settings.companion_fields:
        from ome_writers.streaming.companions import checked_companions

        companions = checked_companions(plan.settings)
    claim = ResumeClaim(root)
    try:
        flushed = claim.flushed_runs()  # before a repair removes the progress file
        reopened = reopen(root, dataset, plan, repairs=claim.is_stale)
        stored = stored_frames(plan, dataset, reopened, flushed, is_exact=replaces_writer)
        if dataset.status in ("complete", "cancelled") and not claim.is_stale:
            stored = stored._replace(unflushed=frozenset())
        claim.start_progress(stored.runs)
        dataset_writer = _open_writer(plan, dataset, reopened, engine_row, claim)
        dataset_writer.companions = companions
        stored = stored._replace(
            windows=sampled_windows(plan, dataset_writer.engine, stored, reopened)
        )
    except BaseException as error:
        claim.rollback()
        if isinstance(error, OSError) and not isinstance(error, OMEWritersError):
            raise WriteError(
                f"{root} could not be resumed: {type(error).__name__}: {error}. What was written is unchanged. Free "
                f"space or repair the disk, and try again."
            ) from error
        raise
    return Output(plan, engine_row, dataset_writer, stored)


def resume_blocker(path: str | os.PathLike[str]) -> str | None:
    """Return why a dataset cannot be resumed, in a few words; None if it can."""
    try:
        _, _, dataset = find_resumable(path)
        _engine_row(Path(path), dataset.plan)
    except (OMEWritersError, OSError) as error:
        cause = error.__cause__ or error
        return str(cause)
    if dataset.status == "complete" and dataset.plan.frames is not None:
        return "complete"
    return None


def _engine_row(root: Path, plan: Plan) -> EngineRow:
    """Return the engine that continues a dataset: that of the settings if it can, otherwise another of the format."""
    format_ = plan.settings.format
    rows = [row for row in engines_of(format_.name) if row.reopens]
    rows.sort(key=lambda row: row.name != format_.backend)
    reasons = [f"{row.name}: {', '.join(unsupported_reasons(row, plan))}" for row in rows]
    for row in rows:
        if not unsupported_reasons(row, plan) and row.missing_requirement() is None:
            return row
    raise UnsupportedError(
        f"{root} cannot be resumed: {'; '.join(reasons) or 'no engine of its format can continue files'}. Record to "
        f"another path."
    )


def _open_writer(
    plan: Plan,
    dataset: ResumableDataset,
    reopened: Reopened,
    row: EngineRow,
    claim: ResumeClaim,
) -> DatasetWriter:
    settings, layout = plan.settings, dataset.layout
    options = Options(
        settings.buffer_bytes,
        durable=settings.durability == "disk",
        direct_io=settings.direct_io,
        file_set=layout.root == layout.output,
        existing=reopened.existing,
        **settings.format.engine_options(settings.root_path),
    )
    engine = open_with_stages(partial(open_engine, row, layout.root), plan, options)
    try:
        for key, content in reopened.metadata.render():
            engine.put(key, content)
        synced_folder = layout.root if options.durable else None
        return DatasetWriter(
            plan,
            layout,
            engine,
            reopened.metadata,
            reopened.journal,
            claim,
            synced_folder,
            resumed=True,
        )
    except BaseException:
        engine.close([each.shape for each in reopened.existing])
        raise


def _refuse_restart(path: Path, _settings: AcquisitionSettings, _companions: object) -> NoReturn:
    raise RestartError(
        f"The stream that continues {path} cannot be restarted with other settings: the dataset has frames of an "
        f"earlier stream. Close it, and create another stream with another path."
    )
