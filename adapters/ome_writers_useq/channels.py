"""The channel axis that all positions share, channel names, and display colours of common dyes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ome_writers import Channel

if TYPE_CHECKING:
    import useq

    from ome_writers_useq.parsed_sequence import ParsedSequence


def channel_axis(parsed: ParsedSequence) -> tuple[list[useq.Channel], npt.NDArray[np.int32]]:
    """Merge the channels of all positions into one axis.

    Channels with the same group, config and camera are the same item. The channels of the sequence are first, followed
    by those of sub-sequences.

    The table contains the index on the axis by (position, event index ``c``), shape (n_positions or 1, n_channels); -1
    for none.
    """
    channels: list[useq.Channel] = []
    index_of: dict[tuple[str, str, str | None, int], int] = {}
    cache: dict[tuple[Any, ...], list[int]] = {}

    def indices(position_channels: Sequence[useq.Channel]) -> list[int]:
        key = tuple((c.group, c.config, c.camera) for c in position_channels)
        if key in cache:
            return cache[key]
        found: list[int] = []
        for number, channel in enumerate(position_channels):
            # A repeated channel (with another exposure, for example) is a separate item.
            repeat = key[:number].count(key[number])
            item = (*key[number], repeat)
            if item not in index_of:
                index_of[item] = len(channels)
                channels.append(channel)
            found.append(index_of[item])
        return cache.setdefault(key, found)

    rows = [indices(parsed.top.channels)]
    if parsed.positions:
        rows = [indices(parsed.channels_of(p)) for p in range(len(parsed.positions))]
    table = np.full((len(rows), max(1, *map(len, rows))), -1, dtype=np.int32)
    for table_row, row in zip(table, rows, strict=True):
        table_row[: len(row)] = row
    return channels, table


def channel_indices(
    event_indices: npt.NDArray[np.int32], table: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Return each frame's index on the channel axis, -1 for frames without a channel index.

    `event_indices` has shape (n_frames, 5) and columns ``tpgcz``; `table` is that of `channel_axis`.
    """
    position, channel = np.maximum(event_indices[:, 1], 0), event_indices[:, 3]
    return np.where(channel >= 0, table[position, channel], np.int32(-1))


def convert_channels(channels: Sequence[useq.Channel]) -> list[Channel]:
    """Convert the channels of an acquisition and make their names unique.

    A name that is already used gets the group, else the camera, else a number as suffix: ``DAPI``, ``DAPI (Laser)``,
    ``DAPI (2)``.
    """
    used = {channel.config for channel in channels}
    converted: list[Channel] = []
    for number, channel in enumerate(channels):
        same_config = [c for c in channels[:number] if c.config == channel.config]
        name = channel.config or "channel"
        if same_config or any(earlier.name == name for earlier in converted):
            suffixes = []
            if all(c.group != channel.group for c in same_config):
                suffixes.append(channel.group)
            if channel.camera and all(c.camera != channel.camera for c in same_config):
                suffixes.append(channel.camera)
            suffixes += [str(n) for n in range(2, len(channels) + 2)]
            name = next(n for n in (f"{name} ({suffix})" for suffix in suffixes) if n not in used)
        used.add(name)
        fields: dict[str, Any] = {
            "name": name,
            "color": channel_colour(channel.config),
            "exposure_ms": channel.exposure,
            "group": channel.group,
            "camera": channel.camera,
        }
        converted.append(Channel(**fields))
    return converted


def channel_colour(config: str) -> str | None:
    """Return the display colour of a common dye, fluorescent protein, laser line or contrast method, else None.

    Case and punctuation are ignored: ``"Alexa 488"``, ``"AF-488"`` and ``"conf_eGFP 20x"`` are all green.

    Examples
    --------
    >>> channel_colour("DAPI"), channel_colour("Alexa Fluor 647"), channel_colour("my dye")
    ('#0000FF', '#FF00FF', None)
    """
    words = re.findall(r"[a-z0-9]+", config.lower())
    # Join adjacent words as well: "Cy 5", "Tx-Red".
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
