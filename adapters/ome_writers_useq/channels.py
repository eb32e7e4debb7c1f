"""One channel axis for all positions, its names, and the colours everybody expects."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import Channel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    import useq

    from ome_writers_useq.nested_sequences import Reading

__all__ = ["channel_axis", "channel_numbers", "colour_of", "described"]


def channel_axis(reading: Reading) -> tuple[list[useq.Channel], npt.NDArray[np.int32]]:
    """Join the channels of all levels into one axis.

    A channel is the same one at every position that uses the same config of the same group
    with the same camera; the sequence's own channels come first, then those that only a position's
    sequence has, as they appear. So a position's frames lie in the channel that they were taken
    with, also where its event index counts another list.

    Returns
    -------
    channels
        The items of the axis.
    places
        Shape (n_positions or 1, longest list): the place on the axis of the event index ``c`` at
        a position; -1 beyond the end of its list.
    """
    channels: list[useq.Channel] = []
    place_of: dict[tuple[str, str, str | None, int], int] = {}
    known: dict[tuple[Any, ...], list[int]] = {}

    def places(listed: Sequence[useq.Channel]) -> list[int]:
        key = tuple((c.group, c.config, c.camera) for c in listed)
        if key in known:
            return known[key]
        found: list[int] = []
        for number, channel in enumerate(listed):
            # The second time that one list names a channel (with another exposure, say) is
            # another channel.
            earlier = key[:number].count(key[number])
            item = (*key[number], earlier)
            if item not in place_of:
                place_of[item] = len(channels)
                channels.append(channel)
            found.append(place_of[item])
        return known.setdefault(key, found)

    lists = [places(reading.top.channels)]
    if reading.positions:
        lists = [places(reading.channels_of(p)) for p in range(len(reading.positions))]
    table = np.full((len(lists), max(1, *map(len, lists))), -1, dtype=np.int32)
    for row, found in zip(table, lists, strict=True):
        row[: len(found)] = found
    return channels, table


def channel_numbers(
    rows: npt.NDArray[np.int32], places: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Return each frame's place on the channel axis, -1 for frames without a channel index.

    Parameters
    ----------
    rows
        Event indices, shape (n_frames, 5), columns ``tpgcz``.
    places
        The table of `channel_axis`.
    """
    position, channel = np.maximum(rows[:, 1], 0), rows[:, 3]
    return np.where(channel >= 0, places[position, channel], np.int32(-1))


def described(channels: Iterable[useq.Channel]) -> list[Channel]:
    """Describe the channels of an acquisition, each with a name of its own.

    Of two channels of one config, the later one is told apart by its group, else by its
    camera, else by a number: ``DAPI``, ``DAPI (Laser)``, ``DAPI (2)``.
    """
    listed = list(channels)
    taken = {channel.config for channel in listed}
    named: list[Channel] = []
    seen: list[useq.Channel] = []
    for channel in listed:
        namesakes = [c for c in seen if c.config == channel.config]
        seen.append(channel)
        name = channel.config or "channel"
        if namesakes or any(done.name == name for done in named):
            hints = []
            if all(c.group != channel.group for c in namesakes):
                hints.append(channel.group)
            if channel.camera and all(c.camera != channel.camera for c in namesakes):
                hints.append(channel.camera)
            hints += [str(number) for number in range(2, len(listed) + 2)]
            name = next(n for n in (f"{name} ({hint})" for hint in hints) if n not in taken)
        taken.add(name)
        told: dict[str, Any] = {
            "name": name,
            "color": colour_of(channel.config),
            "exposure_ms": channel.exposure,
            "group": channel.group,
            "camera": channel.camera,
        }
        named.append(Channel(**told))
    return named


def colour_of(config: str) -> str | None:
    """Return the display colour of a well-known dye, protein, line or contrast, else None.

    Words are compared without regard to case and punctuation: ``"Alexa 488"``, ``"AF-488"`` and
    ``"conf_eGFP 20x"`` are all green.

    Examples
    --------
    >>> colour_of("DAPI"), colour_of("Alexa Fluor 647"), colour_of("my dye")
    ('#0000FF', '#FF00FF', None)
    """
    words = re.findall(r"[a-z0-9]+", config.lower())
    # Neighbours too, since people write "Cy 5" and "Tx-Red".
    joined = [a + b for a, b in pairwise(words)]
    joined += [a + b + c for a, b, c in zip(words, words[1:], words[2:], strict=False)]
    return next((_COLOURS[word] for word in [*joined, *words] if word in _COLOURS), None)


_BLUE, _CYAN, _GREEN, _YELLOW = "#0000FF", "#00FFFF", "#00FF00", "#FFFF00"
_ORANGE, _RED, _MAGENTA, _WHITE = "#FF8000", "#FF0000", "#FF00FF", "#FFFFFF"

_COLOURS: dict[str, str] = {
    word: colour
    for colour, words in {
        _BLUE: "dapi hoechst hoechst33342 hoechst33258 bfp ebfp ebfp2 tagbfp mtagbfp2 dylight405 "
        "alexa350 alexa405 alexafluor350 alexafluor405 af405 pacificblue cascadeblue "
        "405 405nm uv",
        _CYAN: "cfp ecfp cerulean mcerulean turquoise mturquoise mturquoise2 mtfp1 445 445nm",
        _GREEN: "gfp egfp sfgfp mgfp mneongreen neongreen mclover clover mstaygold staygold "
        "emerald zsgreen fitc "
        "fluorescein cy2 alexa488 alexafluor488 af488 atto488 dylight488 gcamp gcamp6 gcamp6f "
        "gcamp6s gcamp7f gcamp8m fluo4 calcein sytogreen sytoxgreen oregongreen bodipy "
        "488 488nm 470nm",
        _YELLOW: "yfp eyfp venus mvenus citrine mcitrine ypet 514 514nm alexa532 alexafluor532",
        _ORANGE: "tritc cy3 rhodamine tmr tmrm alexa546 alexa555 alexafluor546 alexafluor555 "
        "af546 af555 atto550 atto565 dsred tdtomato mko mko2 morange 532 532nm 546nm 555nm",
        _RED: "mcherry rfp mrfp mrfp1 tagrfp mscarlet mscarlet3 mruby mruby2 mruby3 mkate mkate2 "
        "texasred txred txr alexa568 alexa594 alexafluor568 alexafluor594 af568 af594 rcamp jrgeco "
        "propidiumiodide cy35 561 561nm 594 594nm",
        _MAGENTA: "cy5 cy55 cy7 alexa633 alexa647 alexa680 alexa750 alexafluor633 alexafluor647 "
        "alexafluor680 alexafluor750 af633 af647 af680 af750 atto633 atto647 atto647n atto655 "
        "sir jf646 irfp irfp670 irfp720 mirfp670 draq5 farred "
        "633 633nm 635 635nm 640 640nm 642nm 647nm",
        _WHITE: "bf brightfield bright white trans transmitted transmission tl dia phase ph phc "
        "phasecontrast ph1 ph2 ph3 dic pol darkfield reflection",
    }.items()
    for word in words.split()
}
