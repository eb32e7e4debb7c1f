"""The metadata of an OME-Zarr that is resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from ome_writers.formats.dataset_metadata import Outcome, settings_to_store
from ome_writers.formats.frame_metadata import Journal
from ome_writers.formats.omezarr.metadata import ZarrMetadata
from ome_writers.formats.resumption import Attempt, finish_attempts


class ContinuedMetadata(ZarrMetadata):
    """The metadata of a dataset that several streams have written."""

    def resume(
        self,
        groups: Mapping[str, Any],
        shapes: Sequence[tuple[int, ...]],
        outcome: Outcome,
        attempts: Sequence[Attempt],
    ) -> dict[tuple[int, int], tuple[float, float]]:
        """Continue the attributes of a closed dataset, by group path, whose images have these shapes.

        Returns the values that display windows start and end with, by image and channel; without those that are the
        whole range of the camera or an integer type, because no frame was sampled.
        """
        self.adopt(groups)
        with suppress(KeyError, TypeError, ValueError):
            began = datetime.fromisoformat(self._groups[""]["ome_writers"]["started"][:-1])
            self._began = began.replace(tzinfo=timezone.utc)
        self._frames.clear()
        with suppress(KeyError, IndexError, TypeError):  # the dataset may have been renamed
            first = self._plan.images[0].key
            self._name = str(self._groups[first]["ome"]["multiscales"][0]["name"])
        # first as it was closed, to find what clients have edited
        windows = {
            (image.number, channel): window
            for image in self._plan.images
            for channel, window in _windows(self._groups[image.key]).items()
        }
        self._windows.update({at: (start, end) for at, (start, end, _) in windows.items()})
        self._outcome = replace(outcome, shapes=tuple(shapes))
        for image in self._plan.images:
            own = self._groups[image.key].get("ome_writers", {})
            measured = own.pop("measured", None)
            if own.pop("frame_metadata", None) is not None:  # they are in the journal again
                self._dirty.add(image.key)
            if isinstance(measured, dict):
                self._intervals[image.number] = measured["time_interval"]
            self._generated[image.key] = self._image(image)
        self._intervals.clear()
        self._outcome = outcome
        for image in self._plan.images:
            if self._image(image) != self._generated[image.key]:
                self._refresh(image)
        own = self._groups[""]["ome_writers"]
        own.update(self._status())
        own["settings"] = settings_to_store(self._plan.settings)
        own["attempts"] = list(attempts)
        self._dirty.add("")
        self._render_ome_xml()
        return {at: (start, end) for at, (start, end, whole) in windows.items() if not whole}

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        super().finish(outcome, journal)
        finish_attempts(self._groups[""]["ome_writers"], outcome.frames_written)


def _windows(attributes: Mapping[str, Any]) -> dict[int, tuple[float, float, bool]]:
    """Return start and end of the display windows in the attributes of an image group, by channel number.

    The third value is whether the window is the whole range of an integer type.
    """
    found: dict[int, tuple[float, float, bool]] = {}
    ome = attributes.get("ome")
    omero = ome.get("omero") if isinstance(ome, dict) else None
    channels = omero.get("channels") if isinstance(omero, dict) else None
    for number, channel in enumerate(channels if isinstance(channels, list) else ()):
        window = channel.get("window") if isinstance(channel, dict) else None
        if isinstance(window, dict):
            start, end = window.get("start"), window.get("end")
            if isinstance(start, (int, float)) and isinstance(end, (int, float)):
                whole = (start, end) == (window.get("min"), window.get("max"))
                found[number] = start, end, whole and isinstance(start, int)
    return found
