"""Current extents of an acquisition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.routing.test_router import plan_of
from ome_writers.routing import Progress


@given(st.integers(0, 24))
def test_extents_cover_all_frames(frames: int) -> None:
    plan = plan_of({"t": 3, "p": 2, "z": 4})
    progress = Progress(plan)
    progress.advance(frames // 2)
    progress.advance(frames)
    images, index = plan.router.addresses(0, frames)
    for image, shape in enumerate(progress.final_shapes(trim=True)):
        reached = [i[0] + 1 for m, i in zip(images, index, strict=True) if m == image]
        assert shape == (max(reached, default=1), 4, 4, 4)


def test_unbounded_axis_has_extent_reached() -> None:
    progress = Progress(plan_of({"t": None, "p": 2}))
    assert progress.shapes() == [(1, 4, 4), (1, 4, 4)]
    progress.advance(5)
    assert progress.shapes() == [(3, 4, 4), (2, 4, 4)]
    assert progress.extents == {"t": 3, "p": 2}


def test_axis_of_extent_one_is_not_trimmed() -> None:
    progress = Progress(plan_of({"t": 1, "z": 5}))
    progress.advance(2)
    assert progress.final_shapes(trim=True) == [(1, 2, 4, 4)]
    assert progress.final_shapes(trim=False) == [(1, 5, 4, 4)]


def test_frame_with_index_extends_shape() -> None:
    plan = plan_of({"t": None, "z": 2})
    progress = Progress(plan)
    progress.include({"t": 6, "z": 1}, plan.router.address_of((6, 1)))
    assert progress.shapes() == [(7, 2, 4, 4)]
