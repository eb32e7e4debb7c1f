"""`process`: write what a function returns for each block of a dataset to a new OME-Zarr."""

from __future__ import annotations

import hashlib
import itertools
import json
import pickle
import sys
import time
import uuid
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from os import PathLike
from typing import Any, Protocol

from ome_writers import AcquisitionSettings, OutputExistsError, OutputLockedError, SettingsError
from ome_writers.toolkit import checked_call, lay_out, path_or_url, resolve, resolve_entry_file
from ome_writers_tools.conversion import (
    Conversion,
    Selection,
    derived_names,
    describe_source,
    provenance,
    refuse_overlap,
)
from ome_writers_tools.mirroring import is_growing
from ome_writers_tools.processing.functions import Crop, PlaneFunction
from ome_writers_tools.processing.growing import ready_tasks, wait_for_end
from ome_writers_tools.processing.output_plan import (
    ResultPlan,
    output_path,
    output_settings,
    plan_result,
)
from ome_writers_tools.processing.staged_output import StagedOutput
from ome_writers_tools.processing.tasks import Task, regions

NAMESPACE = "processing"
"""Namespace of the global metadata that describe source and function."""

_MAX_PENDING = 256  # tasks that were submitted and have not ended


class Executor(Protocol):
    """`concurrent.futures.Executor`, `dask.distributed.Client`, or another class with this method."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Return a future with the methods `result` and `cancel`."""
        ...


@checked_call
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
    follow: bool = False,
    on_task: Callable[[int, int], object] | None = None,
) -> Conversion:
    """Apply a function to each block of a dataset, and write the results to a new OME-Zarr.

    Scales, channels, positions, plate and global metadata are those of the source. Each task computes one shard of the
    output (without sharding, one chunk) of all pixels of its planes, so that no two tasks write to the same file.

    The output is written to a hidden folder beside `output`, and renamed when it is complete. If it is interrupted, or
    a worker is killed, call it again with the same arguments: tasks whose shards are complete are not repeated.

    Parameters
    ----------
    source
        Path of an OME-Zarr or OME-TIFF, or URL of an OME-Zarr, whose images have the same shape.
    function
        A function of ``ome_writers.processing``, such as ``Maximum("z")``; or a function that takes a block, an
        array with the axes that are not in `over`, in acquisition order, and returns an array of the same dtype and
        shape for all blocks. The axes of the result are the last ones of the block: a result (y, x) of a block
        (z, y, x) does not have z. If it has another extent along an axis, the scale of that axis is unknown. For
        executors in other processes, it must be possible to pickle it.
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
    follow
        Whether `source` may be an acquisition that is running on this machine: a task starts when its frames are on
        disk, and the call returns after the writer has closed the dataset. Frames that are replaced afterwards, with
        ``append(index=...)``, are not processed again.
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
        If a running process is writing `source` (without `follow`) or `output`.
    SettingsError
        If `over` does not fit, `follow` is combined with a `Crop` along t, c or z, or the results of `function` are
        empty, or differ in shape or dtype.
    """
    began = time.perf_counter()
    if not callable(function):
        raise TypeError(
            "function must be one of ome_writers.processing, such as Maximum('t'), or take a block; "
            f"got {function!r}."
        )
    path = resolve_entry_file(path_or_url(source))
    final = output_path(output)
    if follow and isinstance(function, Crop) and (function.t or function.c or function.z):
        raise SettingsError(
            f"{function!r} cannot follow an acquisition. Crop along y and x only, or process the closed dataset."
        )
    if final.exists():
        raise OutputExistsError(f"{final} exists. Choose another output, or remove it first.")
    refuse_overlap(path, final)
    if is_growing(path) and not follow:
        raise OutputLockedError(
            f"{path} is being written. Process it meanwhile with follow=True, or wait until its writer has closed it."
        )

    def plan(described: Selection) -> _Run:
        result = plan_result(described, function, over)
        settings = output_settings(
            described, result, final, compression, chunk_shapes, shard_shapes
        )
        digest = _digest(described, function, result, settings, follow=follow)
        return _Run(described, function, result, settings, StagedOutput(final, digest))

    on_task = on_task or (lambda *_: None)
    if follow:
        if is_growing(path):
            described = describe_source(path, growing=True)
            if described.spec.frames_expected is not None:  # else its extents are known after close
                plan(described).write(executor, on_task, growing=True)
        wait_for_end(path)
    described = describe_source(path)
    run = plan(described)
    run.write(executor, on_task)
    images, frames = run.plan.images, run.plan.frames or 0
    return Conversion(
        source=path,
        destination=final,
        images=len(images),
        frames=frames,
        empty=0,
        pixel_bytes=frames * images[0].array.frame_bytes,
        seconds=time.perf_counter() - began,
        verified=False,
        not_copied=derived_names(described),
    )


class _Run:
    """The tasks for the frames of a dataset as it is now."""

    def __init__(
        self,
        source: Selection,
        function: Callable[..., Any],
        result: ResultPlan,
        settings: AcquisitionSettings,
        output: StagedOutput,
    ) -> None:
        self.plan, _ = lay_out(resolve(settings))
        self._source, self._function, self._settings = source, function, settings
        self._output = output
        view = source.dataset.view()
        self._tasks = [
            Task(
                view,
                function,
                output.staged_path,
                image.array,
                image.number,
                region,
                result.block,
                result.kept,
            )
            for image in self.plan.images
            for region in regions(image.array, result.kept)
        ]

    def write(
        self,
        executor: Executor | None,
        on_task: Callable[[int, int], object],
        *,
        growing: bool = False,
    ) -> None:
        """Run the tasks that have not ended in an earlier run, and publish the output.

        With `growing`, run them when their frames are on disk, and return when the writer has ended.
        """
        frames, total = self.plan.frames or 0, len(self._tasks)
        with self._output.create(self._settings, frames):
            tasks = [task for task in self._tasks if not task.is_done()]
            done = itertools.count(total - len(tasks) + 1)
            ready = ready_tasks(self._source, tasks) if growing and tasks else tasks
            _run_tasks(ready, executor, lambda: on_task(next(done), total))
            if growing:
                return
            date = datetime.now(timezone.utc).isoformat(timespec="seconds")
            record = {**provenance(self._source), **_description(self._function), "date": date}
            self._output.publish(frames, {**self._source.spec.metadata, NAMESPACE: record})


def _run_tasks(
    tasks: Iterable[Task | None], executor: Executor | None, on_task: Callable[[], object]
) -> None:
    """Run tasks; None waits for those that were submitted. After an error, wait for the running ones."""
    pending: deque[Any] = deque()

    def complete() -> None:
        pending.popleft().result()
        on_task()

    try:
        for task in tasks:
            if task is not None and executor is None:
                task.run()
                on_task()
            elif task is not None and executor is not None:
                pending.append(executor.submit(Task.run, task))
            while pending and (task is None or len(pending) >= _MAX_PENDING):
                complete()
        while pending:
            complete()
    except BaseException:
        for future in pending:
            future.cancel()
        for future in pending:
            with suppress(Exception, CancelledError):  # keep the original error
                future.result()
        raise


def _description(function: Callable[..., Any]) -> dict[str, Any]:
    """Return name, version and parameters of a function, for the metadata of the output."""
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
    return {
        "function": f"{module}.{getattr(named, '__qualname__', type(named).__qualname__)}",
        "function_version": getattr(package, "__version__", None),
        "parameters": parameters,
    }


def _digest(
    source: Selection,
    function: Callable[..., Any],
    result: ResultPlan,
    settings: AcquisitionSettings,
    *,
    follow: bool,
) -> str:
    """Return a name for all that determines the pixels of the output."""
    spec = source.spec
    # each flush of a growing dataset changes `updated`
    version = spec.started if follow else spec.updated or spec.path.stat().st_mtime_ns
    described = [str(spec.path.absolute()), version, result.block, result.kept]
    digest = hashlib.sha256(json.dumps([*described, settings.model_dump(mode="json")]).encode())
    try:
        digest.update(pickle.dumps(function))
    except Exception:
        digest.update(uuid.uuid4().bytes)  # what cannot be pickled cannot be compared
    return digest.hexdigest()[:12]
