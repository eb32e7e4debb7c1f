"""What `repair` and `validate` report of a dataset: findings, and checks with their findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """A problem in a dataset, found by repair or validation.

    Attributes
    ----------
    path
        The file or directory.
    what
        The problem and, after a colon, what repair does about it, in a few words.
    solved
        Whether repair solves it.
    """

    path: Path
    what: str
    solved: bool = True

    @property
    def problem(self) -> str:
        """`what` without the repair."""
        return self.what.partition(": ")[0] if self.solved else self.what


QUICK = "pixels are not read in a quick check"
"""Why a check is skipped."""


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
