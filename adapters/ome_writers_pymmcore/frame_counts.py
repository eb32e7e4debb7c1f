"""How many frames came, how many are written, how many were lost."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counts"]


@dataclass(frozen=True)
class Counts:
    """The frames of one acquisition, so far or in all.

    Attributes
    ----------
    received
        Frames that came from the camera.
    written
        Frames that are on disk; all that were received, once the stream is closed.
    dropped
        Frames that should have come and did not: a snap that failed, or a number that the camera's own
        count left out.
    expected
        Frames that were asked for; None when nobody can know.
    seconds
        Time since the acquisition began, or that it took.
    overflowed
        Whether the camera's buffer was full, so that it had to stop.
    """

    received: int = 0
    written: int = 0
    dropped: int = 0
    expected: int | None = None
    seconds: float = 0.0
    overflowed: bool = False

    @property
    def rate(self) -> float:
        """Frames that came in a second."""
        return self.received / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        of = "" if self.expected is None else f" of {self.expected}"
        text = (
            f"{self.received}{of} frames received, {self.written} written, {self.dropped} dropped"
        )
        if self.overflowed:
            text += ", the camera's buffer overflowed"
        return f"{text} ({self.rate:.0f} frames/s)"
