"""A filter in front of the terminal: text from files cannot emit control characters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ome_writers.cli.console import Advance, Relabel, Screen, Show
from ome_writers.untrusted import printable


class SafeScreen:
    """A `Screen` that escapes control characters; line breaks stay in `line` and before a title."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def line(self, text: str) -> None:
        self._screen.line(printable(text, breaks=True))

    def fields(self, title: str, rows: Mapping[str, str]) -> None:
        self._screen.fields(_title(title), _rows(rows))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        cells = [tuple(map(printable, row)) for row in rows]
        self._screen.table(_title(title), columns, cells)

    def json(self, content: Mapping[str, Any]) -> None:
        self._screen.json(content)

    def error(self, text: str) -> None:
        self._screen.error(printable(text))

    @contextmanager
    def spinner(self, label: str) -> Iterator[Relabel]:
        with self._screen.spinner(printable(label)) as relabel:
            yield lambda text: relabel(printable(text))

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        with self._screen.progress(printable(label), total) as advance:
            yield lambda detail: advance(printable(detail))

    @contextmanager
    def live(self, title: str) -> Iterator[Show]:
        with self._screen.live(_title(title)) as show:
            yield lambda rows: show(_rows(rows))


def _title(title: str) -> str:
    return "\n" * title.startswith("\n") + printable(title.removeprefix("\n"))


def _rows(rows: Mapping[str, str]) -> dict[str, str]:
    return {printable(name): printable(value) for name, value in rows.items()}
