"""What a dataset says of its microscope: facts that no frame and no axis tells."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ome_writers_pymmcore.frame_metadata import only_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ome_types.model import OME, Detector, DetectorSettings, Instrument

    from ome_writers import OMEStream
    from ome_writers_pymmcore.microscope import Camera, Microscope

__all__ = ["describe", "detector_settings", "show_bit_depth"]

SUMMARY = "pymmcore_plus"
"""Namespace of all that pymmcore-plus says at the start of a run, as its own sink has it."""
FACTS = "microscope"
"""Namespace of what is known of the microscope, for those who do not want to search the summary."""

_log = logging.getLogger("ome_writers")
_INSTRUMENT, _OBJECTIVE = "Instrument:0", "Objective:0:0"


def describe(stream: OMEStream, microscope: Microscope) -> None:
    """Attach all that is known to a stream that has just begun.

    Both formats get it as JSON (the summary as it is, once; the facts beside it). OME-XML has words of its own for
    date, instrument, objective, detectors and significant bits: an OME-TIFF gets those where ome-types is
    installed.
    """
    stream.set_global_metadata(SUMMARY, {"summary_metadata": _summary(microscope.summary)})
    stream.set_global_metadata(FACTS, _facts(microscope))
    if stream.settings.format.name != "ome-tiff":
        return
    try:
        import ome_types  # noqa: F401  # asked here, so that nothing below has to
    except ImportError:
        _log.warning("The OME-XML says nothing of the microscope: pip install ome-types")
        return
    models = stream.get_metadata()
    whole = [model for model in models.values() if model.binary_only is None]
    _enrich(whole, microscope, [image.camera for image in stream.plan.images])
    stream.update_metadata(models)


def show_bit_depth(stream: OMEStream, microscope: Microscope) -> None:
    """Have viewers of an OME-Zarr offer the range that the camera's bits span; after `stream.close`.

    What is displayed at first (``start`` to ``end``) stays as the data have it.
    """
    if stream.settings.format.name != "ome-zarr":
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


def _summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``SummaryMetaV1`` in the words of JSON."""
    told = dict(summary)
    sequence = told.pop("mda_sequence", None)
    plain: dict[str, Any] = only_plain(told)
    if sequence is not None:
        plain["mda_sequence"] = sequence.model_dump(mode="json", exclude_unset=True)
    return plain


def _facts(microscope: Microscope) -> dict[str, Any]:
    """Return what is known, without what is not."""
    objective = microscope.objective
    told: dict[str, Any] = {
        "acquisition_date": microscope.began.isoformat() if microscope.began else None,
        "cameras": [_without_gaps(vars(camera)) for camera in microscope.cameras],
        "objective": _without_gaps(vars(objective)) if objective else None,
        "pixel_size_um": microscope.pixel_size_um,
        "pixel_size_affine": list(microscope.affine) if microscope.affine else None,
        "magnification_factor": microscope.magnification_factor,
        "software": dict(microscope.software),
    }
    return _without_gaps(told)


def _without_gaps(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: only_plain(value) for key, value in fields.items() if value not in (None, "", [])}


def _enrich(models: Sequence[OME], microscope: Microscope, own: Sequence[str]) -> None:
    """Tell OME models what their words suffice for; `own` is the camera of each image that has one of its own.

    The files of a set have the same elements, each of which is told once.
    """
    from ome_types.model import InstrumentRef, ObjectiveSettings

    detectors = {camera.label: f"Detector:0:{i}" for i, camera in enumerate(microscope.cameras)}
    instrument = _instrument(microscope, detectors)
    for model in models:
        model.instruments = [instrument]
    images = {id(image): image for model in models for image in model.images}
    by_label = {camera.label: camera for camera in microscope.cameras}
    for image in images.values():
        seen_by = by_label.get(own[int(image.id.rpartition(":")[2])], microscope.cameras[0])
        if microscope.began is not None:
            image.acquisition_date = microscope.began
        image.instrument_ref = InstrumentRef(id=_INSTRUMENT)
        if microscope.objective is not None:
            image.objective_settings = ObjectiveSettings(id=_OBJECTIVE)
        if seen_by.bits and not image.pixels.type.value.startswith(("float", "double")):
            image.pixels.significant_bits = seen_by.bits
        for channel in image.pixels.channels:
            # channels of several cameras are called after them: "DAPI / Camera-1"
            named = (channel.name or "").rsplit(" / ", 1)[-1]
            camera = by_label.get(named, seen_by)
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
                id=_OBJECTIVE,
                model=objective.label,
                nominal_magnification=objective.magnification,
                calibrated_magnification=calibrated,
                lens_na=objective.aperture,
                immersion=Objective_Immersion(objective.immersion) if objective.immersion else None,
            )
        ]
    software = ", ".join(f"{name} {version}" for name, version in microscope.software.items())
    return Instrument(
        id=_INSTRUMENT,
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
    """Return how a camera is set, in the words of OME-XML; `identifier` is that of its Detector."""
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
