"""From settings to a stream: the one place where plan, documents and engine are brought together."""

from __future__ import annotations

import dataclasses
import logging
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from ome_writers.errors import OMEWritersError, OutputExistsError, SettingsError, WriteError
from ome_writers.formats import Journal, create_metadata, lay_out
from ome_writers.routing import arrival_order, resolve
from ome_writers.settings import AcquisitionSettings, ScratchFormat
from ome_writers.storage import ArrayTarget, Options, choose, open_engine
from ome_writers.storage.files import sync_folder, sync_folders
from ome_writers.streaming.output_claim import OutputClaim
from ome_writers.streaming.recorder import Recorder
from ome_writers.streaming.stream import OMEStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Unpack

    from ome_writers.formats import Layout
    from ome_writers.routing import Plan
    from ome_writers.settings import SettingsFields
    from ome_writers.storage import Engine, EngineRow

__all__ = ["create_stream"]

_log = logging.getLogger("ome_writers")


class _Beginning(NamedTuple):
    """An output that exists, ready to take frames."""

    plan: Plan
    row: EngineRow
    recorder: Recorder


@overload
def create_stream(settings: AcquisitionSettings) -> OMEStream: ...


@overload
def create_stream(**fields: Unpack[SettingsFields]) -> OMEStream: ...


def create_stream(settings: AcquisitionSettings | None = None, **fields: Any) -> OMEStream:
    """Create the output that the settings describe, ready to take frames.

    When it returns, the whole dataset exists, opens in other readers, and reads as zeros.

    Parameters
    ----------
    settings
        Complete settings (with `dimensions` and `dtype`). The stream works on a copy.
    **fields
        Instead of `settings`, the fields of `AcquisitionSettings`:
        ``create_stream(root_path="run.ome.zarr", dimensions=..., dtype="uint16")``.

    Raises
    ------
    TypeError
        If neither settings nor fields are given, or both.
    pydantic.ValidationError
        If a field is unknown or its value is wrong (ValueError).
    SettingsError
        If the settings are incomplete (ValueError).
    EngineMissingError
        If the backend is unknown or not installed (ValueError); the message has the command.
    UnsupportedError
        If the backend cannot do what is asked (NotImplementedError); the message has each backend's reason.
    OutputExistsError
        If something lies at the output path (FileExistsError). Nothing on disk is touched.
    WriteError
        If the output cannot be created there (OSError). Nothing is left on disk.
    """
    if settings is None and fields:
        settings = AcquisitionSettings(**fields)
    elif fields:
        raise TypeError(
            f"create_stream takes settings or their fields, got both: settings and {', '.join(fields)}. "
            f"Write settings.model_copy(update=...) to change fields of settings."
        )
    if not isinstance(settings, AcquisitionSettings):
        raise TypeError(
            f"create_stream takes AcquisitionSettings, got {type(settings).__name__}: write "
            f"create_stream(root_path=..., dimensions=..., dtype=...), or pass AcquisitionSettings(...)."
        )
    settings = settings.model_copy(deep=True)
    settings.validate_stream_ready()
    folder = _working_folder(settings)
    begun = _begin(settings, folder)
    _log_settings_without_effect(begun.row, begun.plan)
    try:
        return OMEStream(*begun, partial(_begin_anew, folder))
    except BaseException:
        begun.recorder.discard([i.array.shape for i in begun.plan.images])
        raise


def _working_folder(settings: AcquisitionSettings) -> str:
    """Return the folder that a relative root path starts from, as long as the stream lives."""
    try:
        return os.getcwd() if settings.root_path else ""
    except OSError as error:
        if os.path.isabs(settings.root_path):
            return ""
        raise WriteError(
            f"root_path {settings.root_path!r} is relative, and the working folder does not exist "
            f"({type(error).__name__}: {error}). Give an absolute path."
        ) from error


def _begin_anew(
    folder: str, settings: AcquisitionSettings, plan: Plan, recorder: Recorder
) -> _Beginning | None:
    """Replace the output of `plan` by that of other settings; None where that cannot be.

    What was said of the old one holds for the new one; its frames are gone.
    """
    if not recorder.can_be_replaced:
        return None
    choose(settings.format.backend, resolve(settings))  # refuses while the old one stands
    recorder.discard([i.array.shape for i in plan.images])
    begun = _begin(settings, folder)
    begun.recorder.inherit(recorder)
    return begun


def _begin(settings: AcquisitionSettings, folder: str) -> _Beginning:
    plan = resolve(settings)
    layout = lay_out(plan)
    if settings.root_path:
        layout = _absolute(layout, settings, folder)
    row = choose(settings.format.backend, plan)
    existing = _existing_parent(layout.output)
    output = _claim(layout, settings) if settings.root_path else None
    try:
        recorder = _record(plan, row, layout, output)
        if output is not None and settings.durability == "disk":
            sync_folders(layout.root.absolute(), existing)
    except BaseException as error:
        if output is not None:
            output.restore()
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise _not_created(layout, error) from error
        raise
    if output is not None:
        output.settle()
        if settings.durability == "disk":
            with suppress(OSError):  # only what was removed: the claim, and the old dataset
                sync_folder(layout.output.parent)
    return _Beginning(plan, row, recorder)


def _log_settings_without_effect(row: EngineRow, plan: Plan) -> None:
    """Log which chunks and shards were set in vain: a warning would be an error in clients that forbid warnings."""
    if row.sharding:
        return
    dimensions = plan.settings.dimensions
    whole = [1] * (len(dimensions) - 2) + [d.count for d in dimensions[-2:]]
    names = {
        "chunk_size": [
            d.name
            for d, default in zip(dimensions, whole, strict=True)
            if d.chunk_size and min(d.chunk_size, d.count or d.chunk_size) != default
        ],
        "shard_size_chunks": [d.name for d in dimensions if d.shard_size_chunks],
    }
    set_in_vain = [f"{field} of {', '.join(axes)}" for field, axes in names.items() if axes]
    if set_in_vain:
        _log.warning(
            "%s: %s: no effect, %s stores each plane by itself. Leave them out, or write OME-Zarr.",
            plan.settings.output_path or "scratch",
            " and ".join(set_in_vain),
            plan.settings.format.name,
        )


def _existing_parent(output: Path) -> Path:
    """Return the deepest of the folders above the output that exists."""
    return next(folder for folder in output.parents if os.path.exists(folder))


def _absolute(layout: Layout, settings: AcquisitionSettings, folder: str) -> Layout:
    """Return the layout with an absolute path without ``..``; a symbolic link at its end stays one."""
    path = os.path.join(folder, layout.output)
    try:
        os.fsencode(path)
        parent, name = os.path.split(path)
        if os.name != "nt" and ".." in path.split(
            "/"
        ):  # Windows itself takes the name before ".." away
            path = (
                os.path.realpath(path)
                if name == ".."
                else os.path.join(os.path.realpath(parent), name)
            )
        os.lstat(path)
    except ValueError as error:  # a NUL, or a character that no file system has
        raise SettingsError(
            f"root_path {settings.root_path!r} cannot be the name of a file: {error}."
        ) from error
    except OSError:
        pass  # it does not exist yet, or `OutputClaim` has a sentence for what is wrong
    output = Path(os.path.abspath(path))
    root = output if layout.root == layout.output else output.parent
    return dataclasses.replace(layout, root=root, output=output)


def _claim(layout: Layout, settings: AcquisitionSettings) -> OutputClaim:
    """Take the output path for this stream; nothing is left behind where that fails."""
    try:
        return OutputClaim(layout, overwrite=settings.overwrite)
    except OutputExistsError as error:
        if settings.format.name != "ome-tiff" or layout.root != layout.output:
            raise
        asked = Path(settings.root_path).name
        raise type(error)(
            f"{error} ({asked} becomes the folder {layout.output.name}, with a file for each position.)"
        ) from None
    except OSError as error:
        raise _not_created(layout, error) from error


def _not_created(layout: Layout, error: OSError) -> WriteError:
    return WriteError(
        f"The output {layout.output} could not be created: {type(error).__name__}: {error}. "
        f"Choose another root_path."
    )


def _open_engine(
    row: EngineRow, layout: Layout, targets: Sequence[ArrayTarget], options: Options
) -> Engine:
    """Open an engine; what its library raises for arrays that it cannot create becomes a WriteError."""
    try:
        return open_engine(row, layout.root, targets, options)
    except (OMEWritersError, OSError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise WriteError(
            f"{row.name} could not create the arrays of {layout.output}: {type(error).__name__}: {said}. "
            f"Use another backend, or smaller dimensions or chunks."
        ) from error


def _record(plan: Plan, row: EngineRow, layout: Layout, output: OutputClaim | None) -> Recorder:
    settings = plan.settings
    orders = {
        n: arrival_order(plan, image) for n, image in {i.planes: i for i in plan.images}.items()
    }
    targets = [
        ArrayTarget(key, image.array, orders[image.planes])
        for key, image in zip(layout.arrays, plan.images, strict=True)
    ]
    durable = settings.durability == "disk"
    scratch = settings.format if isinstance(settings.format, ScratchFormat) else None
    options = Options(
        settings.buffer_bytes,
        durable=durable,
        direct_io=settings.direct_io,
        memory_bytes=scratch.max_memory_bytes if scratch and not settings.root_path else 0,
        spill=scratch is None or scratch.spill_to_disk,
    )
    engine = _open_engine(row, layout, targets, options)
    try:
        documents = create_metadata(plan, layout)
        for key, content in documents.render():
            engine.put(key, content)
        # then journals lie beside the file, and outlive it after a crash
        if layout.root != layout.output:
            for key in layout.journals:
                (layout.root / key).unlink(missing_ok=True)
        journal = Journal(
            layout.root, layout.journals, durable=durable, encode_address=layout.encode_address
        )
        names = layout.root if durable and output is not None else None
        return Recorder(str(layout.output), engine, documents, journal, output, names)
    except BaseException:
        engine.close([t.plan.shape for t in targets])
        raise
