"""Terminal output: with rich where it is installed, as plain text otherwise.

Results go to stdout, progress and errors to stderr, so that a pipe receives results only.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ome_writers.toolkit import printable, printable_json

Advance = Callable[[str], None]
"""Called once per step with a short status ("212 frames/s")."""
Show = Callable[[Mapping[str, str]], None]
"""Called with the current names and values."""
Relabel = Callable[[str], None]
"""Called with a new label for a progress display."""

_PROGRESS_INTERVAL_S = 60.0  # between lines in a log


class PlainOutput:
    """Plain text, for pipes, logs and installations without rich."""

    def line(self, text: str) -> None:
        try:
            print(text, flush=True)
        except OSError as error:
            # of a pipe that its reader has closed
            if os.name == "nt" and error.errno == errno.EINVAL:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
            raise

    def fields(self, title: str, rows: Mapping[str, str]) -> None:
        self.line(title)
        width = max(map(len, rows), default=0)
        for name, value in rows.items():
            self.line(f"  {name:<{width}}  {value}")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        lines = [columns, *rows]
        widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
        self.line(title)
        for line in lines:
            cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
            self.line("  " + "  ".join(cells).rstrip())

    def json(self, content: Mapping[str, Any]) -> None:
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        # not `self.line`, which may color
        PlainOutput.line(self, printable_json(content, ascii_only=not unicode))

    def error(self, text: str) -> None:
        print(f"ome-writers: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def spinner(self, label: str) -> Iterator[Relabel]:
        """Print each label as a line to stderr, if that is a terminal."""

        def show(text: str) -> None:
            if sys.stderr.isatty():
                print(f"{text} ...", file=sys.stderr, flush=True)

        show(label)
        yield show

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """Print a line to stderr after the last step, and every minute before."""
        done, printed = 0, time.monotonic()

        def advance(detail: str) -> None:
            nonlocal done, printed
            done += 1
            if done == total or time.monotonic() - printed > _PROGRESS_INTERVAL_S:
                printed = time.monotonic()
                print(f"{label}: {done} of {total}  {detail}", file=sys.stderr, flush=True)

        yield advance

    @contextmanager
    def live(self, title: str, keys: Sequence[str]) -> Iterator[Show]:
        """Print a line whenever one of the values `keys` has changed."""
        self.line(title)
        printed: list[str | None] = []

        def show(rows: Mapping[str, str]) -> None:
            nonlocal printed
            values = [rows.get(key) for key in keys]
            if values != printed:
                printed = values
                self.line("  " + "; ".join(f"{k} {v}" for k, v in rows.items()))

        yield show


class RichOutput:
    """Colors, tables and an animated progress bar; rich itself honours NO_COLOR and FORCE_COLOR."""

    def __init__(self) -> None:
        from rich.console import Console

        # rich takes a pipe on Windows for a console without escape sequences
        legacy = [None if stream.isatty() else False for stream in (sys.stdout, sys.stderr)]
        self._out = Console(highlight=False, legacy_windows=legacy[0])
        self._stderr = Console(stderr=True, highlight=False, legacy_windows=legacy[1])

    def line(self, text: str) -> None:
        self._out.print(text, markup=False, soft_wrap=True)

    def fields(self, title: str, rows: Mapping[str, str]) -> None:
        from rich.text import Text

        self._out.print(Text(title, style="bold"))
        self._out.print(_grid(rows))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table, or each row as fields if the terminal is too narrow for the words of a column."""
        longest = [max(map(_longest_word, column)) for column in zip(columns, *rows, strict=True)]
        if sum(longest) + 3 * len(columns) > self._out.width:
            for row in rows:
                cells = zip(columns[1:], row[1:], strict=True)
                self.fields(f"{title}: {row[0]}", {name: cell for name, cell in cells if cell})
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=box.SIMPLE_HEAD, title=Text(title, style="bold"), title_justify="left")
        for column, width in zip(columns, longest, strict=True):
            grid.add_column(Text(column), overflow="fold", min_width=width)
        for row in rows:
            grid.add_row(*map(Text, row))
        self._out.print(grid)

    def json(self, content: Mapping[str, Any]) -> None:
        """Print without colors or wrapping, for scripts."""
        PlainOutput().json(content)

    def error(self, text: str) -> None:
        from rich.text import Text

        line = Text.assemble(("ome-writers: ", "bold red"), text)
        self._stderr.print(line, soft_wrap=True)

    @contextmanager
    def spinner(self, label: str) -> Iterator[Relabel]:
        from rich.text import Text

        spinner = "dots" if self._stderr.encoding.startswith("utf") else "line"
        with self._stderr.status(Text(label), spinner=spinner) as status:
            yield lambda text: status.update(Text(text))

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._stderr) as bar:
            task = bar.add_task(label, total=total, detail="")
            yield lambda detail: bar.update(task, advance=1, detail=detail)

    @contextmanager
    def live(self, title: str, keys: Sequence[str]) -> Iterator[Show]:  # of a pipe
        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        with Live(console=self._out, auto_refresh=False) as area:

            def show(rows: Mapping[str, str]) -> None:
                area.update(Group(Text(title, style="bold"), _grid(rows)), refresh=True)

            yield show


class StaticOutput(PlainOutput):
    """Colors and tables without animation: for a pipe or a log with FORCE_COLOR."""

    def __init__(self) -> None:
        rich = RichOutput()
        self.line = rich.line  # type: ignore[method-assign] # everything but the animations is rich's
        self.fields = rich.fields  # type: ignore[method-assign] # likewise
        self.table = rich.table  # type: ignore[method-assign] # likewise
        self.error = rich.error  # type: ignore[method-assign] # likewise


def _longest_word(text: str) -> int:
    """Return the length of a text's longest word, at most 20: longer words may be broken."""
    return min(20, max(map(len, text.split()), default=0))


def _grid(rows: Mapping[str, str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        grid.add_row(Text(name), Text(value))
    return grid


class Screen:
    """What a command prints to, by default the terminal.

    Control characters of texts, which may be from files, are escaped; line breaks stay in `line` and before a title.
    """

    def __init__(self, output: PlainOutput | RichOutput | None = None) -> None:
        self._output = open_output() if output is None else output

    def line(self, text: str) -> None:
        """Print one line."""
        self._output.line(printable(text, breaks=True))

    def fields(self, title: str, rows: Mapping[str, str]) -> None:
        """Print names and values."""
        self._output.fields(_title(title), _rows(rows))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table of formatted cells."""
        cells = [tuple(map(printable, row)) for row in rows]
        self._output.table(_title(title), columns, cells)

    def json(self, content: Mapping[str, Any]) -> None:
        self._output.json(content)

    def error(self, text: str) -> None:
        """Print an error to stderr."""
        self._output.error(printable(text))

    def note(self, text: str) -> None:
        """Print a line to stderr that is not an error."""
        print(printable(text), file=sys.stderr, flush=True)

    @contextmanager
    def spinner(self, label: str) -> Iterator[Relabel]:
        """Show on stderr that work of unknown length is in progress."""
        with self._output.spinner(printable(label)) as relabel:
            yield lambda text: relabel(printable(text))

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """Show a progress bar of ``total`` steps on stderr."""
        with self._output.progress(printable(label), total) as advance:
            yield lambda detail: advance(printable(detail))

    @contextmanager
    def live(self, title: str, keys: Sequence[str]) -> Iterator[Show]:
        """Print names and values that change; the last ones stay on the screen.

        In a pipe, a line is printed whenever one of the values `keys` has changed.
        """
        with self._output.live(_title(title), keys) as show:
            yield lambda rows: show(_rows(rows))


def _title(title: str) -> str:
    return "\n" * title.startswith("\n") + printable(title.removeprefix("\n"))


def _rows(rows: Mapping[str, str]) -> dict[str, str]:
    return {printable(name): printable(value) for name, value in rows.items()}


def open_output() -> PlainOutput | RichOutput:
    """Return the rich output on a terminal with rich installed, else the plain one.

    A non-empty FORCE_COLOR enables colors in pipes and files too, unless NO_COLOR is set.
    """
    forced = bool(os.environ.get("FORCE_COLOR")) and not os.environ.get("NO_COLOR")
    animated = sys.stdout.isatty() and (sys.stderr.isatty() or not forced)
    if not animated and not forced:
        return PlainOutput()
    try:
        return RichOutput() if animated else StaticOutput()
    except ImportError:
        return PlainOutput()
