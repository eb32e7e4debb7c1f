"""The contents of a disk after power loss at some moment of a recorded run.

The contents of a file and the names in a directory are certain up to their last fsync. Later changes may have reached
the medium or not, and three kinds of disk differ in what they may lose:

``ordered``
    Names and truncations reach the medium in order, and each fsync includes all earlier ones. Data that was not synced
    may be dropped, torn at sectors or reordered.
``sizes first``
    Likewise, and a file has its new length at once: dropped data reads as zeros.
``strict``
    What POSIX guarantees and no more: each name in a directory that was not synced since, and each truncation, may have
    happened or not, independently of the others.
"""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["MARKS", "MODES", "ROOT", "Op", "crash_points", "read_log", "store_crashed"]

MARKS = "marks"
ROOT = 1

MODES = ("ordered", "sizes first", "strict")
_SECTOR_BYTES = 512  # bytes, written atomically
_KEPT_FRACTIONS = (0.0, 0.1, 0.5, 0.9, 1.0)  # fractions of unsynced data that reach the medium


class Op(NamedTuple):
    """One change. Files and directories are numbered in the order of their creation; `ROOT` is the root.

    `kind` and `args` are one of: ``create folder name number``, ``mkdir folder name number``, ``link folder name
    number``, ``unlink folder name``, ``rmdir folder name``, ``rename folder name folder name``, ``write number offset
    data``, ``truncate number size``, ``fsync number`` (of a file or directory), ``mark data``.
    """

    kind: str
    args: tuple[Any, ...]


class _NameChange(NamedTuple):
    """Names that appear (with a number) and disappear (None) atomically; an fsync of `folder` makes it certain."""

    at: int
    folder: int
    names: tuple[tuple[int, str, int | None], ...]


@dataclass
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, Op]] = field(default_factory=list)


class _Disk:
    """Files and directories by number, after the first `end` changes of a run."""

    def __init__(self, ops: Sequence[Op], end: int) -> None:
        self.files: dict[int, _File] = {}
        self.synced: dict[int, dict[str, int]] = {ROOT: {}}
        self.pending: list[_NameChange] = []
        self.last_sync = 0
        self._now: dict[int, dict[str, int]] = {ROOT: {}}
        for at, op in enumerate(ops[:end]):
            self._do(at, op)

    def _do(self, at: int, op: Op) -> None:
        kind, args = op
        if kind in ("write", "truncate"):
            self.files[args[0]].pending.append((at, op))
        elif kind == "fsync":
            self.last_sync = at
            self._sync(args[0])
        elif kind == "rename":
            folder, name, to_folder, to_name = args
            number = self._now[folder][name]
            self._change(at, to_folder, (folder, name, None), (to_folder, to_name, number))
        elif kind in ("unlink", "rmdir"):
            self._change(at, args[0], (*args, None))
        elif kind != "mark":
            folder, name, number = args
            if kind == "create":
                self.files[number] = _File()
            elif kind == "mkdir":
                self.synced[number], self._now[number] = {}, {}
            self._change(at, folder, (folder, name, number))

    def _change(self, at: int, folder: int, *names: tuple[int, str, int | None]) -> None:
        self.pending.append(_NameChange(at, folder, names))
        _apply_names(self._now, names)

    def _sync(self, number: int) -> None:
        if number in self.files:
            file = self.files[number]
            for _, op in file.pending:
                _apply(file.synced, op)
            file.pending.clear()
            return
        for change in self.pending:
            if change.folder == number:
                _apply_names(self.synced, change.names)
        self.pending = [change for change in self.pending if change.folder != number]


def read_log(log: Path) -> list[Op]:
    """Return the recorded changes."""
    ops = []
    with log.open("rb") as file:
        while file.peek(1):
            ops.append(Op(*pickle.load(file)))
    return ops


def crash_points(ops: Sequence[Op]) -> list[int]:
    """Return the numbers of changes after which power may fail: from the first mark on."""
    first = next(at for at, op in enumerate(ops) if op.kind == "mark")
    return list(range(first + 1, len(ops) + 1))


def store_crashed(ops: Sequence[Op], end: int, mode: str, draw: random.Random, root: Path) -> None:
    """Store below `root` the contents of a disk whose power fails after the first `end` changes."""
    disk = _Disk(ops, end)
    # with ordering, the first part of the changes since the last fsync is certain
    certain = draw.randint(disk.last_sync, end)
    share = draw.choice(_KEPT_FRACTIONS)
    names = {number: dict(found) for number, found in disk.synced.items()}
    for change in disk.pending:
        if draw.random() < share if mode == "strict" else change.at < certain:
            _apply_names(names, change.names)
    share = draw.choice(_KEPT_FRACTIONS)

    def store(folder: int, path: Path) -> None:
        path.mkdir()
        for name, number in names[folder].items():
            if number in names:
                store(number, path / name)
            else:
                file = disk.files[number]
                content = bytearray(file.synced)
                for at, op in file.pending:
                    if op.kind == "truncate":
                        if draw.random() < share if mode == "strict" else at < certain:
                            _apply(content, op)
                    else:
                        _write_partially(content, op.args, mode, share, draw)
                (path / name).write_bytes(content)

    store(ROOT, root)


def _write_partially(
    content: bytearray, args: tuple[Any, ...], mode: str, share: float, draw: random.Random
) -> None:
    """Apply all, none or some sectors of a write."""
    _, offset, data = args
    length = len(content)
    if draw.random() < 0.5:  # all or nothing
        if draw.random() < share:
            _write(content, offset, data)
    else:
        begin = offset
        while begin < offset + len(data):
            end = min((begin // _SECTOR_BYTES + 1) * _SECTOR_BYTES, offset + len(data))
            if draw.random() < share:
                _write(content, begin, data[begin - offset : end - offset])
            begin = end
    if mode == "sizes first" and offset + len(data) > length:
        content.extend(bytes(max(0, offset + len(data) - len(content))))


def _apply_names(
    names: dict[int, dict[str, int]], changes: Sequence[tuple[int, str, int | None]]
) -> None:
    for folder, name, number in changes:
        if number is None:
            names[folder].pop(name, None)
        else:
            names[folder][name] = number


def _apply(content: bytearray, op: Op) -> None:
    if op.kind == "truncate":
        size = op.args[1]
        del content[size:]
        content.extend(bytes(size - len(content)))
    else:
        _write(content, *op.args[1:])


def _write(content: bytearray, offset: int, data: bytes) -> None:
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data
