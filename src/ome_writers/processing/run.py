"""`process`: write what a function returns for each block of a dataset to a new OME-Zarr."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from ome_writers.conversion import (
    Conversion,
    Source,
    describe_source,
    provenance,
    refuse_overlap,
)
from ome_writers.errors import OutputExistsError
from ome_writers.file_sharing import rename
from ome_writers.formats import lay_out
from ome_writers.processing.functions import PlaneFunction
from ome_writers.processing.output_plan import output_settings, plan_result
from ome_writers.processing.tasks import Task, TaskJournal, regions, run_task
from ome_writers.routing import resolve
from ome_writers.settings import AcquisitionSettings
from ome_writers.storage import ArrayTarget, acquire_lock, atomic_write, lock_path, sibling_path
from ome_writers.streaming import create_stream
from ome_writers.untrusted import path_or_url, read_json

NAMESPACE = "processing"
"""Namespace of the global metadata that describe source and function."""

_NOT_STORED = ("path", "settings", "digest")  # of the description, in the metadata of the output
_MAX_PENDING = 256  # tasks that were submitted and have not ended


class Executor(Protocol):
    """`concurrent.futures.Executor`, `dask.distributed.Client`, or another class with this method."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Return a future with the methods `result` and `cancel`."""
        ...


def process(
    source: str | PathLike[str],
    function: Callable[..., Any],
    output: str | PathLike[str],
    *,
    over: Sequence[str] | None = None,
    executor: Executor | None = None,
    compression: str | None = None,
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
    on_task: Callable[[int, int], object] | None = None,
) -> Conversion:
    """Apply a function to each block of a dataset, and write the results to a new OME-Zarr.

    Scales, channels, positions, plate and global metadata are those of the source. Each task computes one shard of the
    output (without sharding, one chunk) of all pixels of its planes, so that no two tasks write to the same file.

    The output is written to a hidden folder beside `output`, and renamed when it is complete. If it is interrupted, or
    a worker is killed, call it again with the same arguments: tasks that have ended are not repeated.

    Parameters
    ----------
    source
        An OME-Zarr or OME-TIFF that is not being written, whose images have the same shape.
    function
        A function of ``ome_writers.processing``, such as ``Maximum("z")``; or a function that takes a block, an array
        with the axes that are not in `over`, in acquisition order, and returns an array of the same dtype and shape for
        all blocks. The axes of the result are the last ones of the block: a result (y, x) of a block (z, y, x) does not
        have z. If it has another extent along an axis, the scale of that axis is unknown. For executors in other
        processes, it must be possible to pickle it.
    output
        Path of the new OME-Zarr.
    over
        Axes along which blocks are independent; ``"p"`` are the positions, and always one of them. The default is all
        axes but z, y and x.
    executor
        Runs the tasks: a `concurrent.futures.Executor`, a `dask.distributed.Client`, or another object with `submit`.
        Workers must reach source and output by the same paths. None: this thread.
    compression, chunk_shapes, shard_shapes
        As in `convert`.
    on_task
        Called after each task with the number of tasks that have ended and the total.

    Raises
    ------
    FileNotFoundError
        If `source` does not exist.
    UnsupportedError
        If `source` is not supported, or `output` is not the path of an OME-Zarr directory.
    OutputExistsError
        If `output` exists.
    OutputLockedError
        If a running process is writing `source` or `output`.
    SettingsError
        If `over` does not fit, or the results of `function` differ in shape or dtype.
    """
    began = time.perf_counter()
    described = describe_source(path_or_url(source))
    result = plan_result(described, function, over)
    settings = output_settings(described, result, output, compression, chunk_shapes, shard_shapes)
    final = Path(settings.output_path).absolute()
    if final.exists():
        raise OutputExistsError(f"{final} exists. Choose another output, or remove it first.")
    refuse_overlap(described.spec.path, final)
    folder = sibling_path(final, "processing")
    folder.mkdir(parents=True, exist_ok=True)
    staged = settings.model_copy(update={"root_path": str(folder / final.name)})
    plan = resolve(staged)
    tasks = [
        Task(
            described.view,
            function,
            folder,
            ArrayTarget(f"{final.name}/{key}", image.array),
            image.number,
            region,
            result.block,
            result.kept,
        )
        for image, key in zip(plan.images, lay_out(plan).arrays, strict=True)
        for region in regions(image.array, result.kept)
    ]
    lock = acquire_lock(lock_path(folder, folder=True), final)
    try:
        journal = _create(described, staged, _description(function, described, settings))
        try:
            _run(tasks, executor, journal, on_task or (lambda *_: None))
        finally:
            journal.close()
        _finish(folder / final.name, settings, plan.frames)
        rename(folder / final.name, final)
    finally:
        lock.release()
    shutil.rmtree(folder, ignore_errors=True)
    frames = plan.frames or 0
    return Conversion(
        source=described.spec.path,
        destination=final,
        images=len(plan.images),
        frames=frames,
        empty=0,
        pixel_bytes=frames * plan.images[0].array.frame_bytes,
        seconds=time.perf_counter() - began,
        verified=False,
    )


def _description(
    function: Callable[..., Any], source: Source, settings: AcquisitionSettings
) -> dict[str, Any]:
    """Return what identifies a run: it is resumed if all of this is equal."""
    named, parameters = function, dict[str, str]()
    if isinstance(function, partial):
        named = function.func
        parameters = {str(i): repr(value) for i, value in enumerate(function.args)}
        parameters |= {name: repr(value) for name, value in function.keywords.items()}
    elif isinstance(function, PlaneFunction):
        named = type(function)
        parameters = {n: repr(v) for n, v in vars(function).items() if not n.startswith("_")}
    module = getattr(named, "__module__", None) or type(named).__module__
    package = sys.modules.get(module.partition(".")[0])
    digest = uuid.uuid4().hex  # a function that cannot be pickled cannot be compared
    with suppress(Exception):
        digest = hashlib.sha256(pickle.dumps(function)).hexdigest()
    return {
        **provenance(source),
        "path": str(source.spec.path.absolute()),
        "updated": source.spec.updated,
        "function": f"{module}.{getattr(named, '__qualname__', type(named).__qualname__)}",
        "function_version": getattr(package, "__version__", None),
        "parameters": parameters,
        "digest": digest,
        "settings": settings.model_dump(mode="json"),
    }


def _create(
    source: Source, staged: AcquisitionSettings, description: Mapping[str, Any]
) -> TaskJournal:
    """Create the output without pixels, unless an interrupted run has; return its journal."""
    output = Path(staged.output_path)
    journal = TaskJournal(output.parent / "tasks.jsonl", description)
    if not (journal.resumed and output.exists()):
        journal.clear()
        shutil.rmtree(output, ignore_errors=True)
        with create_stream(staged) as stream:
            for namespace, metadata in source.spec.metadata.items():
                stream.set_global_metadata(namespace, metadata)
            date = datetime.now(timezone.utc).isoformat(timespec="seconds")
            own = {name: value for name, value in description.items() if name not in _NOT_STORED}
            stream.set_global_metadata(NAMESPACE, {**own, "date": date})
            stream.skip(frames=resolve(staged).frames or 0)
    journal.start()
    return journal


def _run(
    tasks: Sequence[Task],
    executor: Executor | None,
    journal: TaskJournal,
    on_task: Callable[[int, int], object],
) -> None:
    """Run the tasks that the journal does not contain. After an error, no task is running."""
    pending: deque[tuple[Task, Any]] = deque()

    def complete(task: Task, future: Any) -> None:
        future.result()
        record(task)

    def record(task: Task) -> None:
        journal.add(task.key)
        on_task(len(journal.done), len(tasks))

    try:
        for task in tasks:
            if task.key in journal.done:
                continue
            if executor is None:
                run_task(task)
                record(task)
                continue
            pending.append((task, executor.submit(run_task, task)))
            if len(pending) >= _MAX_PENDING:
                complete(*pending.popleft())
        while pending:
            complete(*pending.popleft())
    except BaseException:
        for _, future in pending:
            future.cancel()
        for task, future in pending:
            with suppress(Exception):  # keep the original error
                complete(task, future)
        raise


def _finish(output: Path, settings: AcquisitionSettings, frames: int | None) -> None:
    """Record that all frames are written, and the path that the output will have."""
    content = read_json(output / "zarr.json", root=output)
    own = content["attributes"]["ome_writers"]
    own["frames"]["written"] = frames
    own["settings"]["root_path"] = settings.root_path
    text = json.dumps(content, allow_nan=False, ensure_ascii=False)
    atomic_write(output / "zarr.json", text.encode(errors="replace"), durable=True)
