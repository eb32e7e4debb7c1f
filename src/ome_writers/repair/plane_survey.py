"""Survey of an OME-TIFF whose writer was killed: which planes were written, and which IFDs they are. Writes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ome_writers.formats import latest_entries
from ome_writers.untrusted import MAX_FRAMES, check_count, read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ome_writers.formats.ometiff import RecoveryXml, Run
    from ome_writers.storage.tiff import IfdRepair

__all__ = ["InterruptedAcquisition", "RecoveredPlanes", "planes_of_closed"]


@dataclass(frozen=True)
class RecoveredPlanes:
    """Planes of a repaired OME-TIFF.

    Attributes
    ----------
    sizes
        By image: SizeT, SizeC and SizeZ.
    runs
        By image: its TiffData, numbered after all IFDs that are not in `ifds` are removed.
    ifds
        File name to the sorted numbers of the IFDs to keep.
    frames
        Number of frames with pixels or metadata.
    status
        Final status of the acquisition.
    """

    sizes: list[dict[str, int]]
    runs: Sequence[Sequence[Run]]
    ifds: dict[str, list[int]]
    frames: int
    status: str


def planes_of_closed(
    text: RecoveryXml, chains: Mapping[str, IfdRepair], home: str
) -> RecoveredPlanes:
    """Return the planes that OME-XML with a final status describes; parameters as of `InterruptedAcquisition`.

    IFDs between the described ones are kept, so that IFD numbers do not change.
    """
    ends = dict.fromkeys(chains, 0)
    for image in text.images:
        name = image.file or home
        ends[name] = max(ends.get(name, 0), *(ifd + count for _, ifd, count in image.runs))
    ifds = {name: list(range(min(end, len(chains[name].pages)))) for name, end in ends.items()}
    return RecoveredPlanes(
        sizes=[image.sizes for image in text.images],
        runs=[image.runs for image in text.images],
        ifds=ifds,
        frames=text.frames_written,
        status=text.status,
    )


class InterruptedAcquisition:
    """An acquisition whose OME-XML still has the status ``writing``.

    Parameters
    ----------
    text
        Its OME-XML.
    chains
        File name to IFD chain.
    home
        Name of the file that contains the OME-XML, for images that do not name their file.
    journals
        Image number to the journal of its frame metadata.
    """

    def __init__(
        self,
        text: RecoveryXml,
        chains: Mapping[str, IfdRepair],
        home: str,
        journals: Mapping[int, Path],
    ) -> None:
        self._text = text
        self._files = [image.file or home for image in text.images]
        self._chains = chains
        self._journals = journals

    def recovered(self) -> RecoveredPlanes:
        """Return the planes that were written, and the status that follows from their number."""
        numbers = range(len(self._text.images))
        ifds = [self._ifds(number) for number in numbers]
        written = [self._written(number, ifds[number]) for number in numbers]
        metadata = [self._metadata(number) for number in numbers]
        frames = sum(
            max(len(planes), count) for planes, (count, _) in zip(written, metadata, strict=True)
        )
        status = "complete" if frames == self._text.frames_expected else "failed"
        sizes = []
        for number in numbers:
            inner = self._planes_per_step(number)
            from_pixels = written[number][-1] // inner + 1 if written[number] else 0
            reached = max(metadata[number][1], from_pixels)
            sizes.append(self._sizes(number, len(ifds[number]), reached, status))
        kept = [i[: math.prod(size.values())] for i, size in zip(ifds, sizes, strict=True)]
        by_file: dict[str, list[int]] = {name: [] for name in self._chains}
        for name, image_ifds in zip(self._files, kept, strict=True):
            by_file[name].extend(image_ifds)
        for file_ifds in by_file.values():
            file_ifds.sort()
        renumbered = {
            name: {ifd: i for i, ifd in enumerate(file_ifds)} for name, file_ifds in by_file.items()
        }
        runs = [
            _runs([renumbered[name][ifd] for ifd in image_ifds])
            for name, image_ifds in zip(self._files, kept, strict=True)
        ]
        return RecoveredPlanes(sizes, runs, by_file, frames, status)

    def _slow_axis(self, number: int) -> str:
        """Return the axis along which an image may be shorter, or longer, than its OME-XML says."""
        image = self._text.images[number]
        longer = (letter for letter in image.axes if image.sizes[letter] > 1)
        return self._text.growing_axis or next(longer, image.axes[-1])

    def _planes_per_step(self, number: int) -> int:
        """Return the number of planes per index of the slow axis."""
        image = self._text.images[number]
        return image.plane_count // image.sizes[self._slow_axis(number)]

    def _ifds(self, number: int) -> list[int]:
        """Return the IFD number of each plane; of an unbounded image, of all planes in the chain."""
        image, name = self._text.images[number], self._files[number]
        if not self._text.growing_axis:
            check_count(image.plane_count, f"{name}: the number of planes", MAX_FRAMES)
            ifds = [0] * image.plane_count
            for plane, ifd, count in image.runs:
                check_count(plane + count, f"{name}: the last plane", image.plane_count)
                ifds[plane : plane + count] = range(ifd, ifd + count)
            return ifds
        members = [n for n, file in enumerate(self._files) if file == name]
        per_step = sum(self._planes_per_step(n) for n in members)
        before = sum(self._planes_per_step(n) for n in members if n < number)
        inner, steps = self._planes_per_step(number), len(self._chains[name].pages) // per_step
        return [step * per_step + before + i for step in range(steps) for i in range(inner)]

    def _written(self, number: int, ifds: Sequence[int]) -> list[int]:
        """Return the planes whose IFDs have pixels."""
        chain = self._chains[self._files[number]]
        return [plane for plane, ifd in enumerate(ifds) if chain.has_pixels(ifd)]

    def _metadata(self, number: int) -> tuple[int, int]:
        """Return the number of frames with metadata, and their extent along the slow axis."""
        if number not in self._journals:
            return 0, 0
        frames = latest_entries(read_lines(self._journals[number]))
        extent = 0
        for frame in frames:
            index = frame["storage_index"]
            axis = self._text.axis_indices(number, len(index)).get(self._slow_axis(number))
            extent = max(extent, index[axis] + 1 if axis is not None else 1)
        return len(frames), extent

    def _sizes(self, number: int, planes: int, reached: int, status: str) -> dict[str, int]:
        """Return the sizes of an image that has `planes` IFDs and was written up to `reached`."""
        image, slow = self._text.images[number], self._slow_axis(number)
        extent = planned = image.sizes[slow]
        if self._text.growing_axis:
            extent = min(max(planned, reached), planes // self._planes_per_step(number))
        elif not self._text.keeps_planned_shape and status != "complete":
            extent = min(planned, max(1, reached))
        return {**image.sizes, slow: extent}


def _runs(ifds: Sequence[int]) -> list[Run]:
    """Return (first plane, first IFD, number of planes) of each run of consecutive IFDs."""
    runs: list[Run] = []
    for plane, ifd in enumerate(ifds):
        if runs and runs[-1][1] + runs[-1][2] == ifd:
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((plane, ifd, 1))
    return runs
