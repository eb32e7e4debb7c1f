"""What was checked in a dataset, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ome_writers.storage import Finding

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Check", "Finding", "Validation"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name
        What: ``"documents"``, ``"pixels"``, ``"yaozarrs 0.3"`` ...
    findings
        What is not as it should be.
    skipped
        Why it could not be looked at; None when it was.
    """

    name: str
    findings: tuple[Finding, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True)
class Validation:
    """What `validate` says of a dataset.

    Attributes
    ----------
    path
        The dataset.
    checks
        All that was looked at, also what could not be.
    """

    path: Path
    checks: tuple[Check, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that is not as it should be."""
        return tuple(finding for check in self.checks for finding in check.findings)

    @property
    def valid(self) -> bool:
        """Whether nothing was found."""
        return not self.findings
