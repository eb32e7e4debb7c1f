"""Where frame n goes."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome_writers import AcquisitionSettings, Dimension, Schedule, dims_from_standard_axes
from ome_writers.errors import UnsupportedError
from ome_writers.routing import Plan, resolve

AXES = {
    "t": "time",
    "p": "position",
    "c": "channel",
    "z": "space",
    "cam": "other",
    "angle": "other",
    "phase": "other",
}


def plan_of(counts: dict[str, int | None], **settings: object) -> Plan:
    """Return the plan of an acquisition over axes of these counts, slowest first."""
    index = [Dimension(name=n, count=c, type=AXES[n]) for n, c in counts.items()]
    frame = [Dimension(name=n, count=4, type="space") for n in "yx"]
    return resolve(
        AcquisitionSettings(
            **{"root_path": "x.ome.zarr", "dtype": "uint8", **settings},
            dimensions=[*index, *frame],
        )
    )


@st.composite
def counts(draw: st.DrawFn) -> dict[str, int]:
    """Some of the axes in any order, each with one to four places."""
    names = draw(st.lists(st.sampled_from(sorted(AXES)), unique=True, max_size=6))
    return {name: draw(st.integers(1, 4)) for name in names}


@given(counts())
def test_addresses_are_a_bijection(sizes: dict[str, int]) -> None:
    """Every frame has a place of its own, and every place of every image is filled."""
    plan = plan_of(sizes)
    assert plan.frames == math.prod(sizes.values())
    found = {plan.router.address(n) for n in range(plan.frames)}
    places = {
        (image.number, index)
        for image in plan.images
        for index in itertools.product(*map(range, image.array.index_shape))
    }
    assert found == places
    assert len(found) == plan.frames


@given(counts(), st.data())
def test_addresses_agree_with_nested_loops(sizes: dict[str, int], data: st.DataObject) -> None:
    """Frame n is the n-th turn of nested loops over the acquisition axes."""
    plan = plan_of(sizes)
    for number, index in enumerate(itertools.product(*map(range, sizes.values()))):
        assert plan.router.address(number) == plan.router.address_of(index)
        assert list(plan.router.indices(number).values()) == list(index)


@given(counts())
def test_index_of_inverts_address_of(sizes: dict[str, int]) -> None:
    plan = plan_of(sizes)
    for index in itertools.product(*map(range, sizes.values())):
        assert tuple(plan.router.index_of(plan.router.address_of(index)).values()) == index


@given(counts())
def test_iter_addresses_equals_address(sizes: dict[str, int]) -> None:
    plan = plan_of(sizes)
    assert plan.frames is not None
    for start in (0, plan.frames // 2):
        expected = [plan.router.address(n) for n in range(start, plan.frames)]
        assert list(plan.router.iter_addresses(start)) == expected


@given(st.permutations(["t", "c", "z"]))
def test_storage_order_is_a_permutation_of_acquisition_order(order: list[str]) -> None:
    """In an image stored as t, c, z an index of any acquisition order is only permuted."""
    sizes = dict(zip(order, (2, 3, 4), strict=True))
    plan = plan_of(sizes)
    assert [d.name for d in plan.images[0].array.dimensions] == ["t", "c", "z", "y", "x"]
    for index in itertools.product(*map(range, sizes.values())):
        _, stored = plan.router.address_of(index)
        named = dict(zip(order, index, strict=True))
        assert stored == (named["t"], named["c"], named["z"])


def test_index_of_along_unbounded_axis() -> None:
    router = plan_of({"t": None, "p": 3, "c": 2, "cam": 2}).router
    index = {"t": 1000, "p": 2, "c": 1, "cam": 1}
    assert router.index_of(router.address_of(list(index.values()))) == index


def test_unbounded_axis_has_no_last_address() -> None:
    plan = plan_of({"t": None, "p": 2, "z": 2})
    assert plan.frames is None
    assert plan.router.address(4 * 10**9) == (0, (10**9, 0))
    assert list(itertools.islice(plan.router.iter_addresses(), 5)) == [
        (0, (0, 0)),
        (0, (0, 1)),
        (1, (0, 0)),
        (1, (0, 1)),
        (0, (1, 0)),
    ]


def test_cameras_become_channels() -> None:
    """The axis of cameras folds into the channel axis, whose names carry both."""
    dims = dims_from_standard_axes({"t": 2, "c": ["DAPI", "FITC"], "y": 4, "x": 4})
    dims.insert(2, Dimension(name="cam", count=2, type="other"))
    plan = resolve(AcquisitionSettings(root_path="x.ome.zarr", dimensions=dims, dtype="uint8"))
    (image,) = plan.images
    assert image.array.index_shape == (2, 4)
    coords = image.array.dimensions[1].coords
    assert coords is not None
    assert [c.name for c in coords] == [
        "DAPI / Camera-1",
        "DAPI / Camera-2",
        "FITC / Camera-1",
        "FITC / Camera-2",
    ]
    assert plan.router.addresses(0, 4)[1] == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_surplus_axis_becomes_images() -> None:
    plan = plan_of({"p": 2, "c": 2, "angle": 3})
    assert [i.name for i in plan.images][:4] == [
        "0 / angle0",
        "0 / angle1",
        "0 / angle2",
        "1 / angle0",
    ]
    assert plan.router.address_of((1, 0, 2)) == (5, (0,))


@pytest.mark.parametrize("names", [*itertools.permutations(["z", "cam", "angle", "phase"])])
@pytest.mark.parametrize(("path", "rgb"), [("x.ome.zarr", True), ("x.ome.tiff", False)])
def test_cameras_and_rgb_exclude_another_surplus_axis(
    names: tuple[str, ...], path: str, rgb: bool
) -> None:
    plan = plan_of({"t": 2, **dict.fromkeys(names, 2)}, rgb=rgb, root_path=path)
    assert [d.type for d in plan.images[0].array.dimensions].count("channel") == 1
    assert len(plan.images[0].array.index_shape) == 3
    places = {plan.router.address(n) for n in range(32)}
    assert len(places) == 32


def test_unbounded_channel_axis_with_cameras() -> None:
    plan = plan_of({"c": None, "cam": 2}, rgb=True)
    assert plan.images[0].array.growing == 0
    assert plan.router.addresses(0, 3)[1] == [(0,), (1,), (2,)]


def test_unbounded_camera_axis_raises() -> None:
    with pytest.raises(UnsupportedError, match="unbounded axis 'cam'"):
        plan_of({"cam": None, "t": 2})


def test_rgb_samples_are_channels_in_zarr() -> None:
    """The three samples of a frame are planes side by side along the channel axis."""
    plan = plan_of({"t": 2, "c": 2}, rgb=True)
    assert (plan.images[0].addressing.planes, plan.images[0].addressing.plane_axis) == (3, 1)
    assert plan.images[0].array.index_shape == (2, 6)
    assert plan.router.addresses(0, 4)[1] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [plan.images[0].addressing.plane((1, 1), s) for s in range(3)] == [
        (1, 3),
        (1, 4),
        (1, 5),
    ]


def test_schedule_defines_frame_indices() -> None:
    schedule = Schedule(("p", "z"), [[0, 0], [1, 0], [1, 2]])
    plan = plan_of({"p": 2, "z": 3, "cam": 2}, schedule=schedule)
    assert plan.frames == 6
    assert [i.array.index_shape for i in plan.images] == [(2, 1), (2, 3)]
    assert [plan.router.address(n) for n in range(6)] == [
        (0, (0, 0)),
        (0, (1, 0)),
        (1, (0, 0)),
        (1, (1, 0)),
        (1, (0, 2)),
        (1, (1, 2)),
    ]


def test_schedule_may_omit_an_image() -> None:
    plan = plan_of({"p": 3, "z": 3}, schedule=Schedule(("p", "z"), [[1, 0], [1, 2]]))
    assert [i.array.index_shape for i in plan.images] == [(1,), (3,), (1,)]


def test_schedule_repeats_along_unbounded_axis() -> None:
    schedule = Schedule(("t", "z"), [[0, 0], [0, 1], [1, 0]])
    plan = plan_of({"t": None, "z": 2}, schedule=schedule)
    assert plan.router.addresses(3, 7)[1] == [(2, 0), (2, 1), (3, 0), (4, 0)]


def test_partial_index_advances_omitted_axes() -> None:
    router = plan_of({"t": 3, "c": 2, "cam": 2}).router
    assert router.complete_index({"t": 2, "c": 1}) == {"t": 2, "c": 1, "cam": 0}
    assert router.complete_index({"t": 2, "c": 1}, 1) == {"t": 2, "c": 1, "cam": 1}
    assert router.complete_index({"t": 2, "c": 1}, 2) == {"t": 2, "c": 1, "cam": 0}


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"q": 0}, r"index names \['q'\], but the axes .* \['t', 'c'\]"),
        ({"t": 3}, "'t': 3.* count 3"),
    ],
)
def test_invalid_index_raises(index: dict[str, int], message: str) -> None:
    with pytest.raises(IndexError, match=message):
        plan_of({"t": 3, "c": 2}).router.complete_index(index)


def test_camera_indices_count_the_frames_of_one_camera() -> None:
    dims = dims_from_standard_axes({"t": 3, "c": 2, "y": 4, "x": 4})
    cameras = Dimension(name="camera", type="other", coords=["left", "right"])
    dims.insert(2, cameras)
    router = resolve(
        AcquisitionSettings(root_path="x.ome.zarr", dimensions=dims, dtype="u1")
    ).router
    assert router.camera_indices(3, 1) == {"t": 1, "c": 1, "camera": 1}
    with pytest.raises(IndexError, match="6 frames per camera"):
        router.camera_indices(6, 0)
