"""What is to be acquired: a sequence and a microscope become acquisition settings, and events become places."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers import AcquisitionSettings, Dimension, SettingsError
from ome_writers_pymmcore.cameras import with_cameras
from ome_writers_useq import EventPlaces, useq_to_acquisition_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import useq

    from ome_writers_pymmcore.microscope import Camera, Microscope

    IndexOf = Callable[[Mapping[str, int]], dict[str, int]]

__all__ = ["AcquisitionPlan", "chosen_settings", "free_output", "plan_for"]

AcquisitionPlan = tuple[AcquisitionSettings, "IndexOf | None"]
"""Settings, and where an event's frame goes; None: frames go where they come, in order."""


def chosen_settings(output: object, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a user set, checked as far as can be done without a camera.

    Parameters
    ----------
    output
        A path, ``"memory"`` or ``"scratch"``, or `AcquisitionSettings`.
    settings
        Further fields of AcquisitionSettings.

    Raises
    ------
    ValueError
        If a field is unknown or has a wrong value.
    """
    chosen: dict[str, Any]
    if isinstance(output, AcquisitionSettings):
        chosen = {name: getattr(output, name) for name in output.model_fields_set}
    elif str(output).rstrip("/:").lower() in ("memory", "scratch"):
        chosen = {"format": "scratch"}
    else:
        chosen = {"root_path": str(output)}
    chosen.update(settings)
    AcquisitionSettings(**chosen)
    if "plate" in chosen and not chosen.get("dimensions"):
        raise SettingsError(
            "A plate comes from the sequence's positions; given by itself it needs dimensions as well."
        )
    return chosen


def plan_for(
    sequence: useq.MDASequence | None,
    microscope: Microscope,
    chosen: Mapping[str, Any],
    *,
    one_a_channel: bool = False,
    frames: int | None = None,
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
) -> AcquisitionPlan:
    """Return what a run acquires.

    Parameters
    ----------
    sequence
        What the run goes through. None, or the empty one that pymmcore-plus makes for an iterator of events: then
        the frames become one time axis, unless dimensions were chosen.
    microscope
        What is known before the first frame; `cameras` are those that deliver.
    one_a_channel
        Whether the camera of an event follows from its channel.
    chosen
        The user's settings. With ``dimensions`` among them, events are addressed by the axes of that name.
    frames
        Length of that time axis; None for one without end.
    chunk_shapes, shard_shapes
        Axis name to chunk size (pixels) and shard size (chunks).

    Raises
    ------
    ome_writers.UnsupportedError
        If the sequence cannot be represented.
    """
    camera = microscope.cameras[0]
    height, width = _frame_shape(camera)
    chunks, shards = chunk_shapes or {}, shard_shapes or {}
    found: dict[str, Any] = {}
    places: IndexOf | None = None
    if chosen.get("dimensions"):
        axes = [
            (d if isinstance(d, Dimension) else Dimension.model_validate(d)).name
            for d in chosen["dimensions"][:-2]
        ]
        places = _named(axes)
    elif sequence is None or not tuple(sequence.axis_order):
        found["dimensions"] = [
            Dimension(
                name="t",
                type="time",
                count=frames,
                chunk_size=chunks.get("t", 1),
                shard_size_chunks=shards.get("t"),
            ),
            *_frame_dimensions(camera, microscope.pixel_size_um, chunks, shards),
        ]
    else:
        found.update(
            useq_to_acquisition_settings(
                sequence,
                width,
                height,
                pixel_size_um=microscope.pixel_size_um,
                chunk_shapes=chunk_shapes,
                shard_shapes=shard_shapes,
            )
        )
        places = EventPlaces(sequence)
    if "dimensions" in found:
        found = with_cameras(found, microscope, one_a_channel=one_a_channel)
    found["dtype"] = camera.dtype
    found["rgb"] = camera.shape is not None and len(camera.shape) == 3
    return AcquisitionSettings(**{**found, **chosen}), places


def free_output(settings: AcquisitionSettings) -> AcquisitionSettings:
    """Return settings whose output does not exist yet: ``x.ome.tiff``, else ``x_1.ome.tiff``, ``x_2.ome.tiff`` ...

    What is asked for is what would be written: the folder of a multi-position OME-TIFF has another name than
    its path.
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


def _frame_shape(camera: Camera) -> tuple[int, int]:
    if camera.shape is None and not camera.label:
        raise SettingsError("No camera is selected: core.setCameraDevice(LABEL) selects one.")
    if camera.shape is None:
        raise SettingsError(
            f"The size of the frames of camera {camera.label!r} is not known: the engine's summary metadata "
            "have no 'image_infos' for it."
        )
    return camera.shape[0], camera.shape[1]


def _frame_dimensions(
    camera: Camera, pixel_size_um: float, chunks: Mapping[str, int], shards: Mapping[str, int]
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


def _named(axes: list[str]) -> IndexOf:
    """Return what finds a frame's place by the axes that its event names, p and g taken as they are."""

    def places(index: Mapping[str, int]) -> dict[str, int]:
        return {str(axis): int(i) for axis, i in index.items() if str(axis) in axes}

    return places
