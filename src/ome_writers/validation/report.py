"""The result of a validation: checks and their findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ome_writers.storage import Finding


@dataclass(frozen=True)
class Check:
    """One check of a dataset.

    Attributes
    ----------
    name
        ``"metadata"``, ``"pixels"``, ``"yaozarrs 0.3"`` ...
    findings
        The defects; empty if the check passed.
    skipped
        The reason if the check could not run, otherwise None.
    """

    name: str
    findings: tuple[Finding, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True)
class Validation:
    """The result of `validate`.

    Attributes
    ----------
    path
        The dataset.
    checks
        All checks, including the skipped ones.
    """

    path: Path
    checks: tuple[Check, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all checks."""
        return tuple(finding for check in self.checks for finding in check.findings)

    @property
    def valid(self) -> bool:
        """Whether there are no findings."""
        return not self.findings
