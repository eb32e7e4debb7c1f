"""Which planes of an OME-TIFF were reached when its writer died, and which pages they are: arithmetic, no writing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ome_writers.formats import latest_entries
from ome_writers.untrusted import MAX_FRAMES, check_count, read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ome_writers.formats.ometiff import RecoveryXml, Run
    from ome_writers.storage.tiff.ifd_repair import IfdRepair

__all__ = ["Left", "Told"]


class Left:
    """What is left of an acquisition.

    Parameters
    ----------
    text
        What is said of it.
    chains
        The pages of each file; empty when nobody asks for what was reached.
    home
        The name of the file that the text is in, when it does not name its files.
    journals
        Image number to the journal of its frames.

    Attributes
    ----------
    sizes
        Extents that each image gets.
    kept
        File name to the pages that stay, sorted.
    runs
        Where each image's planes are when the others are gone.
    frames
        How many frames there are, by pixels or metadata.
    status
        How the acquisition ended.
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
        pages = [self._pages(number) for number in range(len(text.images))]
        told = [self._told(number, journals) for number in range(len(text.images))]
        landed = [self._landed(number, pages[number]) for number in range(len(text.images))]
        self.frames = sum(
            max(len(planes), places) for planes, (places, _) in zip(landed, told, strict=True)
        )
        self.status = "complete" if self.frames == text.frames_expected else "failed"
        self.sizes = [
            self._extents(number, len(pages[number]), landed[number], told[number][1])
            for number in range(len(text.images))
        ]
        stay = [
            found[: math.prod(sizes.values())]
            for found, sizes in zip(pages, self.sizes, strict=True)
        ]
        self.kept: dict[str, list[int]] = {name: [] for name in chains}
        for name, found in zip(self._files, stay, strict=True):
            self.kept.setdefault(name, []).extend(found)
        for found in self.kept.values():
            found.sort()
        places = {name: {page: i for i, page in enumerate(f)} for name, f in self.kept.items()}
        self.runs = [
            _runs([places[name][page] for page in found])
            for name, found in zip(self._files, stay, strict=True)
        ]

    def _slow(self, number: int) -> str:
        """Return the axis along which an image may be shorter, or longer, than it says."""
        image = self._text.images[number]
        several = (letter for letter in image.axes if image.sizes[letter] > 1)
        return self._text.growing_axis or next(several, image.axes[-1])

    def _inner(self, number: int) -> int:
        image = self._text.images[number]
        return image.plane_count // image.sizes[self._slow(number)]

    def _pages(self, number: int) -> list[int]:
        """Return the page of each plane; of an image without an end, of all that the chain leads to."""
        image, name = self._text.images[number], self._files[number]
        if not self._text.growing_axis or not self._chains:
            check_count(image.plane_count, f"{name}: the number of planes", MAX_FRAMES)
            found = [0] * image.plane_count
            for plane, page, count in image.runs:
                check_count(plane + count, f"{name}: the last plane", image.plane_count)
                found[plane : plane + count] = range(page, page + count)
            return found
        members = [n for n, other in enumerate(self._files) if other == name]
        row = sum(self._inner(n) for n in members)
        before = sum(self._inner(n) for n in members if n < number)
        inner, rows = self._inner(number), len(self._chains[name].pages) // row
        return [r * row + before + i for r in range(rows) for i in range(inner)]

    def _landed(self, number: int, pages: Sequence[int]) -> list[int]:
        """Return the planes that have pixels of their own."""
        chain = self._chains.get(self._files[number])
        return (
            [] if chain is None else [n for n, page in enumerate(pages) if chain.has_pixels(page)]
        )

    def _told(self, number: int, journals: Mapping[int, Path]) -> tuple[int, int]:
        """Return how many places have metadata, and how far they reach along the slow axis."""
        if number not in journals:
            return 0, 0
        frames = latest_entries(read_lines(journals[number]))
        reached = 0
        for frame in frames:
            index = frame["storage_index"]
            axis = self._text.axis_indices(number, len(index)).get(self._slow(number))
            reached = max(reached, index[axis] + 1 if axis is not None else 1)
        return len(frames), reached

    def _extents(self, number: int, pages: int, landed: Sequence[int], told: int) -> dict[str, int]:
        image, slow = self._text.images[number], self._slow(number)
        planned = image.sizes[slow]
        reached = max(told, landed[-1] // self._inner(number) + 1 if landed else 0)
        if self._text.growing_axis:
            extent = min(max(planned, reached), pages // self._inner(number))
        elif self._text.keeps_planned_shape or self.status == "complete":
            extent = planned
        else:
            extent = min(planned, max(1, reached))
        return {**image.sizes, slow: extent if self._chains else planned}


class Told:
    """What finished documents say, where the writer died before all was as they say.

    Parameters
    ----------
    text
        One of them.
    chains
        The pages of each file.
    home
        The name of the file that the text is in, when it does not name its files.

    Attributes
    ----------
    sizes, kept, runs, frames, status
        As those of `Left`; pages between those that are told of stay, so that these keep their numbers.
    """

    def __init__(self, text: RecoveryXml, chains: Mapping[str, IfdRepair], home: str) -> None:
        self.sizes = [image.sizes for image in text.images]
        self.runs = [image.runs for image in text.images]
        self.frames = text.frames_written
        self.status = text.status
        ends = dict.fromkeys(chains, 0)
        for image in text.images:
            name = image.file or home
            ends[name] = max(ends.get(name, 0), *(page + count for _, page, count in image.runs))
        self.kept = {
            name: list(range(min(end, len(chains[name].pages)))) for name, end in ends.items()
        }


def _runs(pages: Sequence[int]) -> list[Run]:
    """Return (first plane, first page, planes) of pages side by side."""
    runs: list[Run] = []
    for plane, page in enumerate(pages):
        if runs and runs[-1][1] + runs[-1][2] == page:
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((plane, page, 1))
    return runs
