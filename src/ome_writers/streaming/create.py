"""`create_stream`: resolves settings to a plan, and creates output, metadata documents and engine for it."""
# Longer than 300 lines: one function and its steps; a third is its documentation.

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ome_writers.errors import OMEWritersError, OutputExistsError, SettingsError, WriteError
from ome_writers.file_sync import sync_folder, sync_folders
from ome_writers.formats import Journal, check_output_path, create_metadata, lay_out
from ome_writers.routing import Plan, resolve
from ome_writers.settings import AcquisitionSettings, SettingsFields
from ome_writers.storage import Options, choose, open_engine, open_with_stages
from ome_writers.streaming.dataset_writer import DatasetWriter, Output
from ome_writers.streaming.output_claim import OutputClaim
from ome_writers.streaming.stream import OMEStream

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ome_writers.dataset import LevelSpec
    from ome_writers.formats import Layout
    from ome_writers.storage import Engine, EngineRow
    from ome_writers.streaming.companions import Companions
    from ome_writers.streaming.writer_process import Writer

_VARIADIC = ("unnamed", "fields")


@overload
def create_stream(
    settings: AcquisitionSettings, *, resume: bool = ..., writer: Writer = ...
) -> OMEStream: ...


@overload
def create_stream(
    *, resume: bool = ..., writer: Writer = ..., **fields: Unpack[SettingsFields]
) -> OMEStream: ...


def create_stream(
    settings: AcquisitionSettings | None = None,
    *unnamed: Any,
    resume: bool = False,
    writer: Writer = None,
    **fields: Any,
) -> OMEStream:
    """Create the output that the settings describe, ready for frames.

    When it returns, the dataset exists, opens in other readers, and reads as zeros.

    Parameters
    ----------
    settings
        Complete settings (with `dimensions` and `dtype`). The stream works on a copy.
    resume
        Whether to continue the dataset at the output path, if there is one; see `ome_writers.resume`. Its settings must
        be these; the first axis may be longer now.
    writer
        ``"process"``: a process of its own writes, so that accepted frames survive a crash of this one; ``"thread"``:
        this process writes. By default the environment variable ``OME_WRITERS_WRITER``, or else ``"thread"``.
    **fields
        The fields of `AcquisitionSettings`, instead of `settings`:
        ``create_stream(root_path="run.ome.zarr", dimensions=..., dtype="uint16")``.

    Raises
    ------
    TypeError
        Neither settings nor fields are given, or both.
    SettingsError
        A field is unknown or invalid (also a `pydantic.ValidationError`), or the settings are incomplete (ValueError).
    EngineMissingError
        The backend is unknown or not installed (ValueError); the message contains the install command.
    UnsupportedError
        No backend supports the settings (NotImplementedError); the message lists the reason for each backend.
    OutputExistsError
        The output path exists (FileExistsError). Nothing on disk is changed.
    WriteError
        The output cannot be created (OSError). Nothing is left on disk.
    """
    if settings is None and fields and not unnamed:
        settings = AcquisitionSettings(**fields)
    elif unnamed or fields or not isinstance(settings, AcquisitionSettings):
        from ome_writers.streaming.setting_notes import argument_error

        raise argument_error(settings, unnamed, fields)
    settings = settings.model_copy(deep=True)
    settings.validate_stream_ready()
    folder = _working_folder(settings)
    if writer is not None or "OME_WRITERS_WRITER" in os.environ:
        from ome_writers.streaming.writer_process import create_process_stream, in_own_process

        if in_own_process(writer, settings):
            return create_process_stream(settings, folder, resume=resume)
    if resume:
        from ome_writers.streaming.resumption import resume_existing

        if (stream := resume_existing(settings, folder)) is not None:
            return stream
    output = create_output(settings, folder=folder)
    log_setting_notes(settings, output)
    try:
        return OMEStream(output, partial(create_output, folder=folder))
    except BaseException:
        output.dataset_writer.discard()
        raise


# Editors and IPython complete the keywords that a signature lists.
create_stream.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # PEP 362
    [
        *[p for n, p in inspect.signature(create_stream).parameters.items() if n not in _VARIADIC],
        *inspect.signature(AcquisitionSettings).parameters.values(),
    ]
)


def _working_folder(settings: AcquisitionSettings) -> str:
    """Return the folder that a relative root path refers to, even if the working folder changes later."""
    try:
        return os.getcwd() if settings.root_path else ""
    except OSError as error:
        if os.path.isabs(settings.root_path):
            return ""
        raise WriteError(
            f"root_path {settings.root_path!r} is relative, and the working folder does not exist "
            f"({type(error).__name__}: {error}). Give an absolute path."
        ) from error


def create_output(
    settings: AcquisitionSettings, companions: Companions | None = None, *, folder: str
) -> Output:
    """Create an output; `companions` are those of the output that it replaces."""
    plan = resolve(settings)
    if settings.companion_fields or companions is not None:
        from ome_writers.streaming.companions import checked_companions

        companions = checked_companions(settings, companions)
    plan, layout = lay_out(plan)
    if settings.root_path:
        layout = _absolute(plan, layout, folder)
    row = choose(settings.format.backend, plan)
    existing = _existing_parent(layout.output)
    claim = _claim(layout, settings) if settings.root_path else None
    try:
        dataset_writer = _open_writer(plan, row, layout, claim)
        dataset_writer.companions = companions
        if claim is not None and settings.durability == "disk":
            sync_folders(layout.root.absolute(), existing)
    except BaseException as error:
        if claim is not None:
            claim.rollback()
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise _not_created(layout, error) from error
        raise
    if claim is not None:
        claim.commit()
        if settings.durability == "disk":
            # syncs removals only: of the claim file and the replaced dataset
            with suppress(OSError):
                sync_folder(layout.output.parent)
    return Output(plan, row, dataset_writer)


def log_setting_notes(settings: AcquisitionSettings, output: Output) -> None:
    y, x = settings.frame_dimensions
    chunked = any(d.shard_size_chunks for d in settings.dimensions)
    for d in settings.array_dimensions:
        chunked |= d.chunk_size not in (None, d.count if d is y or d is x else 1)
    temporary = not settings.root_path and "format" not in settings.model_fields_set
    if chunked or temporary or (y.name, x.name) == ("x", "y"):
        from ome_writers.streaming.setting_notes import log_notes

        log_notes(settings, output)


def _existing_parent(output: Path) -> Path:
    return next(folder for folder in output.parents if os.path.exists(folder))


def _absolute(plan: Plan, layout: Layout, folder: str) -> Layout:
    """Return the layout with an absolute path without ``..``; a symbolic link as its last part is not resolved."""
    path = os.path.join(folder, layout.output)
    check_output_path(path, (*(image.array.key for image in plan.images), *layout.journals))
    try:
        os.fsencode(path)
        parent, name = os.path.split(path)
        # Windows resolves ".." textually, POSIX after symbolic links.
        if os.name != "nt" and ".." in path.split("/"):
            parent = os.path.realpath(path if name == ".." else parent)
            path = parent if name == ".." else os.path.join(parent, name)
        os.lstat(path)
    except ValueError as error:  # NUL, or a character that the file system encoding lacks
        raise SettingsError(
            f"root_path {plan.settings.root_path!r} cannot be the name of a file: {error}."
        ) from error
    except OSError:
        pass  # it does not exist yet, or `OutputClaim` raises a better message
    output = Path(os.path.abspath(path))
    root = output if layout.root == layout.output else output.parent
    return dataclasses.replace(layout, root=root, output=output)


def _claim(layout: Layout, settings: AcquisitionSettings) -> OutputClaim:
    """Claim the output path; nothing is left on disk if that fails."""
    try:
        return OutputClaim(layout, overwrite=settings.overwrite)
    except OutputExistsError as error:
        if not layout.entry:  # only a set has one
            raise
        name = Path(settings.root_path).name
        raise type(error)(
            f"{error} ({name} becomes the folder {layout.output.name}, with one file per position.)"
        ) from None
    except OSError as error:
        raise _not_created(layout, error) from error


def _not_created(layout: Layout, error: OSError) -> WriteError:
    reason = f"{type(error).__name__}: {str(error).rpartition('] ')[2]}"  # without the number
    return WriteError(
        f"The output {layout.output} could not be created: {reason}. Choose another root_path."
    )


def _open_engine(
    row: EngineRow, layout: Layout, targets: Sequence[LevelSpec], options: Options
) -> Engine:
    """Open an engine; exceptions of its library become a WriteError."""
    try:
        return open_engine(row, layout.root, targets, options)
    except (OMEWritersError, OSError):
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise WriteError(
            f"{row.name} could not create the arrays of {layout.output}: {type(error).__name__}: {message}. "
            f"Use another backend, or smaller dimensions or chunks."
        ) from error


def _open_writer(
    plan: Plan, row: EngineRow, layout: Layout, claim: OutputClaim | None
) -> DatasetWriter:
    settings = plan.settings
    durable = settings.durability == "disk"
    options = Options(
        settings.buffer_bytes,
        durable=durable,
        direct_io=settings.direct_io,
        file_set=layout.root == layout.output,
        **settings.format.engine_options(settings.root_path),
    )
    engine = open_with_stages(partial(_open_engine, row, layout), plan, options)
    try:
        metadata = create_metadata(plan, layout)
        if settings.quantize is not None:
            metadata.set_global_metadata("quantization", settings.quantize.describe())
        for key, content in metadata.render():
            engine.put(key, content)
        # journals beside the output may be left from a crash of an earlier stream
        if layout.root != layout.output:
            for key in layout.journals:
                (layout.root / key).unlink(missing_ok=True)
        journal = Journal(
            layout.root, layout.journals, durable=durable, encode_address=layout.encode_address
        )
        synced_folder = layout.root if durable and claim is not None else None
        return DatasetWriter(plan, layout, engine, metadata, journal, claim, synced_folder)
    except BaseException:
        engine.close([level.shape for image in plan.images for level in image.levels])
        raise
