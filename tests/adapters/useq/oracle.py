"""Reference implementation: frame indices from the real events and the converted settings only."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import useq

if TYPE_CHECKING:
    from collections.abc import Mapping


def image_events(seq: useq.MDASequence) -> list[useq.MDAEvent]:
    """Return the events that deliver a frame: not those of autofocus and custom actions."""
    return [event for event in seq if isinstance(event.action, useq.AcquireImage | None)]


def sizes_of(settings: Mapping[str, Any]) -> dict[str, int | None]:
    """Return the extents of the axes without y and x, in acquisition order."""
    return {dim.name: dim.count for dim in settings["dimensions"][:-2]}


def places_of(settings: Mapping[str, Any], frames: int) -> list[dict[str, int]]:
    """Return the acquisition index of each frame, as defined by the settings.

    Without a schedule, nested loops; with one, its rows, and loops over the axes that it does
    not have; also beyond the cycle of an unbounded acquisition.
    """
    sizes = sizes_of(settings)
    schedule = settings.get("schedule")
    named = list(schedule.axes) if schedule is not None else []
    loops = [axis for axis in sizes if axis not in named]
    shape = [sizes[axis] for axis in loops]
    if shape and shape[0] is None:
        shape[0] = frames
    turns = math.prod(shape)  # type: ignore[arg-type]  # only the first can be None
    places = []
    for frame in range(frames):
        row, turn = divmod(frame, turns) if schedule is not None else (0, frame)
        place: dict[str, int] = {}
        if schedule is not None:
            cycle, row = divmod(row, len(schedule.indices))
            place = dict(zip(named, map(int, schedule.indices[row]), strict=True))
            assert cycle == 0 or sizes[named[0]] is None, "the schedule is too short"
            place[named[0]] += cycle * (int(schedule.indices[:, 0].max()) + 1)
        found = np.unravel_index(turn, shape) if loops else ()
        place.update(zip(loops, map(int, found), strict=True))
        places.append({axis: place[axis] for axis in sizes})
    return places


def check_places(
    seq: useq.MDASequence, settings: Mapping[str, Any], events: list[useq.MDAEvent]
) -> None:
    """Assert that each frame is at the index of its event: by coordinates, names and indices."""
    places = places_of(settings, len(events))
    by_name = {dim.name: dim for dim in settings["dimensions"]}
    pairs: dict[tuple[int | None, int | None], int] = {}
    indices = [{str(axis): number for axis, number in event.index.items()} for event in events]
    visits = Counter(frozenset(index.items()) for index in indices)
    revisited = {(dict(i).get("p"), dict(i).get("g")) for i, count in visits.items() if count > 1}
    latest: dict[frozenset[tuple[str, int]], int] = {}
    for event, index, place in zip(events, indices, places, strict=True):
        assert place.get("z", 0) == index.get("z", 0), (index, place)
        if (index.get("p"), index.get("g")) in revisited:
            assert place["t"] > latest.get(frozenset(index.items()), -1), (index, place)
            latest[frozenset(index.items())] = place["t"]
        else:
            assert place.get("t", 0) == index.get("t", 0), (index, place)
        if event.channel is None:
            assert place.get("c", 0) == 0, (index, place)
        else:
            channel = by_name["c"].coords[place["c"]]
            assert channel.name.split(" (")[0] == event.channel.config, (index, place)
            assert channel.group == event.channel.group, (index, place)
        if "p" in place:
            position = by_name["p"].coords[place["p"]]
            assert pairs.setdefault((index.get("p"), index.get("g")), place["p"]) == place["p"]
            np.testing.assert_allclose(
                [math.nan if v is None else v for v in (position.x_coord, position.y_coord)],
                [math.nan if v is None else v for v in (event.x_pos, event.y_pos)],
            )
    assert len(set(pairs.values())) == len(pairs), "two positions share an image"
    assert len({tuple(place.values()) for place in places}) == len(places), "two frames, one index"
    # No axis is longer than what is acquired.
    for axis, size in sizes_of(settings).items():
        assert size is None or size == 1 + max(place[axis] for place in places), axis
