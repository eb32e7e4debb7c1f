"""The channel axis that all positions share, and channel names."""

from __future__ import annotations

from collections.abc import Sequence
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
            "color": Channel(name=channel.config or "channel").display_color,
            "exposure_ms": channel.exposure,
            "group": channel.group,
            "camera": channel.camera,
        }
        converted.append(Channel(**fields))
    return converted
