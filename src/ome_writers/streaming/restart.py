"""Restart of a stream: replace its output by one with other settings, and write the frames so far again.

Frames keep their acquisition index by axis name; they are at index 0 of an axis that is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import RestartError
from ome_writers.routing import Address, Plan, resolve
from ome_writers.settings import AcquisitionSettings
from ome_writers.storage import choose
from ome_writers.streaming.frame_writer import FrameWriter

if TYPE_CHECKING:
    from ome_writers.storage import EngineRow
    from ome_writers.streaming.companions import Companions
    from ome_writers.streaming.dataset_writer import Output
    from ome_writers.streaming.first_frame import FirstFrameInference

    Step = int | tuple[NDArray[np.generic], Mapping[str, int] | None, bytes | None]
    """A number of frames to skip, or a frame with its explicit index and its encoded metadata."""


def restart_output(
    earlier: FrameWriter,
    settings: AcquisitionSettings,
    create_output: Callable[[AcquisitionSettings, Companions | None], Output],
    inference: FirstFrameInference,
) -> FrameWriter:
    """Remove the output of `earlier`, and create one with its frames and the user's metadata.

    Settings and frames are checked before anything is removed. An output at another path is created first.

    Raises RestartError if there are too many frames, or the new output cannot store them.
    """
    plan = resolve(settings)
    row = choose(settings.format.backend, plan)
    try:
        steps = _steps(earlier, plan, row)
    except RestartError as error:
        raise RestartError(
            f"The stream that writes to {earlier.image_set.layout.output} cannot be restarted with these settings: "
            f"{error} Restart before the first frame, or close the stream and create another one."
        ) from error
    same_path = settings.root_path == earlier.plan.settings.root_path
    if same_path:
        earlier.dataset_writer.discard()
    plan, row, dataset_writer, _ = create_output(settings, earlier.dataset_writer.companions)
    try:
        dataset_writer.carry_over_metadata(earlier.dataset_writer)
        writer = FrameWriter(plan, row, dataset_writer, inference)
        for step in steps:
            if isinstance(step, int):
                writer.skip(step)
            else:
                writer.write(*step, copy=False)
        if not same_path:
            earlier.dataset_writer.discard()
    except BaseException:
        dataset_writer.discard()
        raise
    writer.cursor.continue_repeats(earlier.cursor)
    writer.longest_append_s = earlier.longest_append_s
    return writer


def _steps(earlier: FrameWriter, plan: Plan, row: EngineRow) -> list[Step]:
    """Return what writes the frames of `earlier` to an output of `plan`; an address occurs once."""
    if earlier.accepted > earlier.max_restart_frames:
        raise RestartError(
            f"it has {earlier.accepted} frames, of which it would write at most the first "
            f"{earlier.max_restart_frames} again."
        )
    if earlier.cursor.pending:
        earlier.recover()
    cursor = earlier.cursor
    steps: list[Step] = []
    written: set[Address] = set()
    for run, gap in cursor.runs():
        for number in run:
            address = earlier.plan.router.address(number)
            index, pixels, encoded = _frame(earlier, plan, address)
            if index != plan.router.indices(number):
                raise RestartError(f"frame {number} would not be the next in order at {index}.")
            steps.append(1 if address in written else (pixels, None, encoded))
            written.add(address)
        if gap:
            steps.append(len(gap))
    if plan.frames is not None and cursor.offset > plan.frames:
        raise RestartError(f"{cursor.offset} frames were appended or skipped, of {plan.frames}.")
    for address in sorted(cursor.explicit - written):
        index, pixels, encoded = _frame(earlier, plan, address)
        if not row.random_access:
            raise RestartError(
                f"the frame at {index} was appended with index, which {row.name!r} does not support."
            )
        steps.append((pixels, index, encoded))
    return steps


def _frame(
    earlier: FrameWriter, plan: Plan, address: Address
) -> tuple[dict[str, int], NDArray[Any], bytes | None]:
    """Return the acquisition index in `plan`, the pixels and the encoded metadata of an earlier frame."""
    number, stored = address
    router, acquired = plan.router, earlier.plan.router.index_of(address)
    try:
        index = router.complete_index({a: i for a, i in acquired.items() if i or a in router.axes})
    except IndexError as error:
        raise RestartError(f"its frame at {acquired} would be lost: {error}") from error
    pixels = earlier.read(number, stored)
    image = plan.images[router.address_of(list(index.values()))[0]]
    if (pixels.shape, pixels.dtype) != (image.frame_shape, image.array.numpy_dtype):
        raise RestartError(
            f"its frame at {index} has shape {pixels.shape} and dtype {pixels.dtype}, the settings require "
            f"{image.frame_shape} and {image.array.dtype}."
        )
    plane = earlier.plan.images[number].addressing.plane(stored)
    return index, pixels, earlier.frame_metadata().get((number, plane))
