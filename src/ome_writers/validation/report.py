"""The result of a validation: all checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ome_writers.formats import Check, Finding


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
