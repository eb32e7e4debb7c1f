"""What somebody who looks through files has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes
    ----------
    path
        The file or folder.
    what
        What was found, and what becomes of it, in a few words.
    solved
        Whether repairing makes it as it should be.
    """

    path: Path
    what: str
    solved: bool = True
