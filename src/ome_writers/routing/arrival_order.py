"""The order in which the planes of an array arrive, for engines that only write sequentially."""

from __future__ import annotations

from ome_writers.routing.plan import ImagePlan, Plan


def arrival_order(plan: Plan, image: ImagePlan) -> tuple[int, ...] | None:
    """Return the index axes of an image's array in the order of nested loops, slowest first.

    Axes of extent 1 keep their storage index where possible. None if planes do not arrive in nested loops: with a
    schedule, or if two acquisition axes interleave in one stored axis (two cameras, each going through all channels).
    """
    if plan.router.schedule is not None:
        return None
    loops = [
        (step.axis, image.planes_along(step.axis, step.stride), count)
        for step, count in zip(plan.router.steps, plan.router.counts, strict=True)
        if step.axis is not None and count != 1
    ]
    if image.plane_axis is not None:
        loops.append((image.plane_axis, 1, image.planes))
    order: list[int] = []
    for i, (axis, stride, count) in enumerate(loops):
        if order and order[-1] == axis:
            if loops[i - 1][1] != stride * (count or 1):
                return None
        elif axis in order:
            return None
        else:
            order.append(axis)
    for axis in range(plan.router.rank):
        if axis not in order:
            order.insert(axis, axis)
    return tuple(order)
