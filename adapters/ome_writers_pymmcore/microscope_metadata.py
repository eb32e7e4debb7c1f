"""Write microscope metadata to a stream: JSON in both formats, and OME-XML elements in OME-TIFF."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ome_writers import OmeTiffFormat, OmeZarrFormat
from ome_writers_pymmcore.frame_metadata import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ome_types.model import OME, Detector, DetectorSettings, Instrument

    from ome_writers import OMEStream
    from ome_writers_pymmcore.microscope import Camera, Microscope

__all__ = ["detector_settings", "set_display_range", "write_microscope_metadata"]

_SUMMARY_NAMESPACE = (
    "pymmcore_plus"  # the complete summary metadata, as pymmcore-plus' own sink stores it
)
_MICROSCOPE_NAMESPACE = "microscope"  # the values parsed from it

_log = logging.getLogger("ome_writers")
_INSTRUMENT_ID, _OBJECTIVE_ID = "Instrument:0", "Objective:0:0"


def write_microscope_metadata(stream: OMEStream, microscope: Microscope) -> None:
    """Write the metadata of the microscope to a new stream, before the first frame.

    Both formats store the complete summary and the values parsed from it as JSON. OME-XML also has elements for date,
    instrument, objective, detectors and significant bits; writing them needs ome-types.
    """
    summary = {"summary_metadata": _summary_json(microscope.summary)}
    stream.set_global_metadata(_SUMMARY_NAMESPACE, summary)
    stream.set_global_metadata(_MICROSCOPE_NAMESPACE, _microscope_json(microscope))
    if not isinstance(stream.settings.format, OmeTiffFormat):
        return
    try:
        import ome_types  # noqa: F401  # checked once; the functions below import it as needed
    except ImportError:
        _log.warning(
            "OME-XML: instrument, objective and detectors are not written, ome-types is not installed. "
            "To write them: pip install ome-types"
        )
        return
    models = stream.get_metadata()
    complete = [model for model in models.values() if model.binary_only is None]
    _add_instrument(complete, microscope, [image.camera for image in stream.plan.images])
    stream.update_metadata(models)


def set_display_range(stream: OMEStream, microscope: Microscope) -> None:
    """Set ``min`` and ``max`` of each omero window to the camera's bit depth; call it after `stream.close`.

    ``start`` and ``end``, the initial contrast limits, are not changed.
    """
    if not isinstance(stream.settings.format, OmeZarrFormat):
        return
    bits_of = {camera.label: camera.bits for camera in microscope.cameras}
    groups = stream.get_metadata()
    for attributes, image in zip(groups.values(), stream.plan.images, strict=True):
        bits = bits_of.get(image.camera, microscope.cameras[0].bits)
        if not bits:
            continue
        for channel in attributes.get("ome", {}).get("omero", {}).get("channels", ()):
            window = channel["window"]
            window["min"], window["max"] = 0, max(2**bits - 1, window["end"])
    stream.update_metadata(groups)


def _summary_json(summary: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(summary)
    sequence = fields.pop("mda_sequence", None)
    converted: dict[str, Any] = to_json(fields)
    if sequence is not None:
        converted["mda_sequence"] = sequence.model_dump(mode="json", exclude_unset=True)
    return converted


def _microscope_json(microscope: Microscope) -> dict[str, Any]:
    objective = microscope.objective
    fields: dict[str, Any] = {
        "acquisition_date": microscope.began.isoformat() if microscope.began else None,
        "cameras": [_drop_empty(vars(camera)) for camera in microscope.cameras],
        "objective": _drop_empty(vars(objective)) if objective else None,
        "pixel_size_um": microscope.pixel_size_um,
        "pixel_size_affine": list(microscope.affine) if microscope.affine else None,
        "magnification_factor": microscope.magnification_factor,
        "software": dict(microscope.software),
    }
    return _drop_empty(fields)


def _drop_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: to_json(value) for key, value in fields.items() if value not in (None, "", [])}


def _add_instrument(
    models: Sequence[OME], microscope: Microscope, image_cameras: Sequence[str]
) -> None:
    """Add the instrument to OME models, and to their images the settings of the camera that recorded them.

    `image_cameras` has the camera label of each image; an empty label means the first camera.
    """
    from ome_types.model import InstrumentRef, ObjectiveSettings

    detectors = {camera.label: f"Detector:0:{i}" for i, camera in enumerate(microscope.cameras)}
    instrument = _instrument(microscope, detectors)
    for model in models:
        model.instruments = [instrument]
    # The models of a file set share their image objects: change each of them once.
    images = {id(image): image for model in models for image in model.images}
    by_label = {camera.label: camera for camera in microscope.cameras}
    for image in images.values():
        label = image_cameras[int(image.id.rpartition(":")[2])]
        image_camera = by_label.get(label, microscope.cameras[0])
        if microscope.began is not None:
            image.acquisition_date = microscope.began
        image.instrument_ref = InstrumentRef(id=_INSTRUMENT_ID)
        if microscope.objective is not None:
            image.objective_settings = ObjectiveSettings(id=_OBJECTIVE_ID)
        if image_camera.bits and not image.pixels.type.value.startswith(("float", "double")):
            image.pixels.significant_bits = image_camera.bits
        for channel in image.pixels.channels:
            # With several cameras, the channel name ends with the label: "DAPI / Camera-1".
            label = (channel.name or "").rsplit(" / ", 1)[-1]
            camera = by_label.get(label, image_camera)
            channel.detector_settings = detector_settings(camera, detectors[camera.label])


def _instrument(microscope: Microscope, detectors: Mapping[str, str]) -> Instrument:
    from ome_types.model import Instrument, Objective, Objective_Immersion
    from ome_types.model import Microscope as OMEMicroscope

    objective = microscope.objective
    objectives = []
    if objective is not None:
        calibrated = None
        if objective.magnification is not None and microscope.magnification_factor != 1:
            calibrated = objective.magnification * microscope.magnification_factor
        objectives = [
            Objective(
                id=_OBJECTIVE_ID,
                model=objective.label,
                nominal_magnification=objective.magnification,
                calibrated_magnification=calibrated,
                lens_na=objective.aperture,
                immersion=Objective_Immersion(objective.immersion) if objective.immersion else None,
            )
        ]
    software = ", ".join(f"{name} {version}" for name, version in microscope.software.items())
    return Instrument(
        id=_INSTRUMENT_ID,
        microscope=OMEMicroscope(
            model=f"Micro-Manager: {software}" if software else "Micro-Manager"
        ),
        detectors=[_detector(camera, detectors[camera.label]) for camera in microscope.cameras],
        objectives=objectives,
    )


def _detector(camera: Camera, identifier: str) -> Detector:
    from ome_types.model import Detector

    source = "/".join(word for word in (camera.library, camera.adapter) if word)
    return Detector(id=identifier, model=camera.model or camera.label, manufacturer=source or None)


def detector_settings(camera: Camera, identifier: str) -> DetectorSettings:
    """Return a camera's settings as an OME-XML element; `identifier` is the ID of its Detector."""
    from ome_types.model import Binning, DetectorSettings

    binning = None
    if camera.binning is not None:
        sizes = {1: "1x1", 2: "2x2", 4: "4x4", 8: "8x8"}
        binning = Binning(sizes.get(camera.binning, "Other"))
    return DetectorSettings(
        id=identifier,
        binning=binning,
        gain=camera.gain,
        offset=camera.offset,
        read_out_rate=camera.readout_mhz,
    )
