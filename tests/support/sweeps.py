"""Exhaustive sweeps: of many similar cases a test run includes some, and ``tox -e sweeps`` all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SWEEPS = bool(os.environ.get("OME_WRITERS_SWEEPS"))


def swept(
    cases: Iterable[Any], included: Callable[[Any], bool], id_of: Callable[[Any], str] | None = None
) -> list[Any]:
    """Return all cases as parameters; those that are not `included` get the mark ``sweep``."""
    marks = {True: (), False: pytest.mark.sweep}
    return [
        pytest.param(case, marks=marks[bool(included(case))], id=id_of(case) if id_of else None)
        for case in cases
    ]
