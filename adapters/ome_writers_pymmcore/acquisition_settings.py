"""Build `AcquisitionSettings` from a sequence, a microscope and the user's own settings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ome_writers import AcquisitionSettings, Dimension, SettingsError
from ome_writers_pymmcore.cameras import add_camera_axis
from ome_writers_useq import convert_sequence

if TYPE_CHECKING:
    import useq

    from ome_writers_pymmcore.microscope import CameraDevice, Microscope

    IndexOf = Callable[[Mapping[str, int]], dict[str, int]]

Function = TypeVar("Function", bound=Callable[..., Any])
AcquisitionPlan = tuple[AcquisitionSettings, "IndexOf | None"]
"""Settings, and a function from event index to acquisition index; None: frames are stored in order of arrival."""


def list_settings(function: Function) -> Function:
    """Replace ``**settings`` in the signature of a function by the settings, so that editors complete them."""
    own = inspect.signature(function).parameters
    fields = inspect.signature(AcquisitionSettings).parameters
    parameters = [p for n, p in {**own, **fields}.items() if n not in ("settings", "root_path")]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # PEP 362
    return function


def user_settings(output: object, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the user set, validated as far as possible without a camera.

    `output` is a path, ``"memory"``, ``"scratch"`` or `AcquisitionSettings`; `settings` has further fields.
    """
    fields: dict[str, Any]
    if isinstance(output, AcquisitionSettings):
        fields = {name: getattr(output, name) for name in output.model_fields_set}
    elif str(output).rstrip("/:").lower() in ("memory", "scratch"):
        fields = {"format": "scratch"}
    else:
        fields = {"root_path": output}
    fields.update(settings)
    AcquisitionSettings(**fields)
    if "plate" in fields and not fields.get("dimensions"):
        raise SettingsError(
            "plate: given without dimensions. Pass dimensions as well, or let the sequence's positions define the "
            "plate."
        )
    return fields


def plan_acquisition(
    sequence: useq.MDASequence | None,
    microscope: Microscope,
    user: Mapping[str, Any],
    *,
    camera_per_channel: bool = False,
    n_frames: int | None = None,
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
) -> AcquisitionPlan:
    """Return the settings of a run, and how its event indices map to acquisition indices.

    Without a sequence, or with the empty one that pymmcore-plus creates for an iterator of events, frames are stored
    along one time axis of `n_frames` (None: unbounded). The `user` settings take precedence; with ``dimensions`` among
    them, events are addressed by those axis names.

    Raises ome_writers.UnsupportedError if the sequence cannot be represented.
    """
    camera = microscope.cameras[0]
    height, width = _frame_shape(camera)
    chunks, shards = chunk_shapes or {}, shard_shapes or {}
    derived: dict[str, Any] = {}
    index_of: IndexOf | None = None
    if user.get("dimensions"):
        axes = [
            (d if isinstance(d, Dimension) else Dimension.model_validate(d)).name
            for d in user["dimensions"][:-2]
        ]
        index_of = _index_by_axis_name(axes)
    elif sequence is None or not tuple(sequence.axis_order):
        derived["dimensions"] = [
            Dimension(
                name="t",
                type="time",
                count=n_frames,
                chunk_size=chunks.get("t", 1),
                shard_size_chunks=shards.get("t"),
            ),
            *_frame_dimensions(camera, microscope.pixel_size_um, chunks, shards),
        ]
    else:
        converted, index_of = convert_sequence(
            sequence,
            width,
            height,
            pixel_size_um=microscope.pixel_size_um,
            chunk_shapes=chunk_shapes,
            shard_shapes=shard_shapes,
        )
        derived.update(converted)
    if "dimensions" in derived:
        derived = add_camera_axis(derived, microscope, camera_per_channel=camera_per_channel)
    derived["dtype"] = camera.dtype
    derived["rgb"] = camera.shape is not None and len(camera.shape) == 3
    derived["instrument"], derived["acquisition_date"] = microscope.instrument, microscope.began
    return AcquisitionSettings(**{**derived, **user}), index_of


def unused_output(settings: AcquisitionSettings) -> AcquisitionSettings:
    """Return settings whose output does not exist yet: ``x.ome.tiff``, else ``x_1.ome.tiff``, ``x_2.ome.tiff`` ...

    Both `root_path` and `output_path` are checked: a multi-position OME-TIFF is written to a directory of another name.
    """
    path = Path(settings.root_path)
    stem, suffix = re.fullmatch(r"(.*?)((?:\.ome)?(?:\.[^.]*)?)", path.name).groups()  # type: ignore[union-attr]  # it matches everything
    number = 0
    while Path(settings.root_path).exists() or Path(settings.output_path).exists():
        number += 1
        settings = settings.model_copy(
            update={"root_path": str(path.with_name(f"{stem}_{number}{suffix}"))}
        )
    return settings


def _frame_shape(camera: CameraDevice) -> tuple[int, int]:
    if camera.shape is None and not camera.label:
        raise SettingsError("No camera is selected. Select one: core.setCameraDevice(LABEL).")
    if camera.shape is None:
        raise SettingsError(
            f"Camera {camera.label!r}: unknown frame size. The engine's summary metadata needs an entry for it in "
            "'image_infos'."
        )
    return camera.shape[0], camera.shape[1]


def _frame_dimensions(
    camera: CameraDevice, pixel_size_um: float, chunks: Mapping[str, int], shards: Mapping[str, int]
) -> list[Dimension]:
    return [
        Dimension(
            name=name,
            type="space",
            count=count,
            scale=pixel_size_um,
            unit="micrometer",
            chunk_size=chunks.get(name),
            shard_size_chunks=shards.get(name),
        )
        for name, count in zip("yx", _frame_shape(camera), strict=True)
    ]


def _index_by_axis_name(axes: list[str]) -> IndexOf:
    """Map an event index to an acquisition index by axis name, without merging p and g."""

    def index_of(event_index: Mapping[str, int]) -> dict[str, int]:
        return {str(axis): int(i) for axis, i in event_index.items() if str(axis) in axes}

    return index_of
