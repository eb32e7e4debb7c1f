"""Lock files: which are held, which are stale."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ome_writers import OutputLockedError
from ome_writers.storage.exclusive_lock import acquire_lock, hold_claim, remove_attempts
from ome_writers.storage.lock_file import lock_content, lock_owner, sibling_path
from support.links import create_link

HOST = socket.gethostname()
DEAD = 2**22 + 12345  # above the maximum process ID of Linux


def lock_with(**fields: object) -> bytes:
    """Return the lock of this process with other fields."""
    return json.dumps({**json.loads(lock_content()), **fields}).encode()


def lock_without_start(pid: int, host: str = HOST) -> bytes:
    """Return a lock of an earlier version, without start time."""
    return json.dumps({"pid": pid, "host": host}).encode()


@pytest.mark.parametrize(
    ("content", "held"),
    [
        (lock_with(), True),
        (lock_with(start="another start"), False),  # same ID, another process
        (lock_with(pid=DEAD), False),
        (lock_with(pid=DEAD, host="elsewhere.invalid"), True),
        (lock_without_start(DEAD), False),
        (lock_without_start(os.getpid()), False),  # not written by this process
        (lock_with(pid=10**30), False),
        (lock_with(pid=-1), False),
        (b'{"pid": 1e400, "host": "%s"}' % HOST.encode(), True),
        (b'{"pid": true, "host": "%s"}' % HOST.encode(), True),
        (b"[" * 2000, True),
        (b"[" * 1000000, True),
        (b'{"pid": 1, "x": ' + b"[" * 1500 + b"]" * 1500 + b"}", True),
        (b"[]", True),
        (b'{"host": "%s"}' % HOST.encode(), True),
        (b'{"pid": ' + b"9" * 4400 + b"}", True),
        (b'{"pid": 1', False),
        (b"", False),
        (b"\0" * 64, False),
    ],
    ids=[f"lock-{number}" for number in range(19)],  # identical in all processes of pytest-xdist
)
def test_lock_is_held_or_stale_by_content(tmp_path: Path, content: bytes, held: bool) -> None:
    lock = tmp_path / "lock"
    lock.write_bytes(content)
    assert (lock_owner(lock) is not None) == held
    if held:
        with pytest.raises(OutputLockedError, match=r"is being written by .*remove .*lock"):
            acquire_lock(lock, tmp_path / "x")
        assert lock.read_bytes() == content
    else:
        acquired = acquire_lock(lock, tmp_path / "x")
        assert acquired.replaced == content
        assert lock.read_bytes() == lock_content()
        acquired.release()
        assert not list(tmp_path.iterdir())


def test_lock_without_start_time_of_a_running_process_is_held(tmp_path: Path) -> None:
    """Earlier versions did not store the start time."""
    waiting = [sys.executable, "-c", "input()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as process:
        (tmp_path / "lock").write_bytes(lock_without_start(process.pid))
        owner = lock_owner(tmp_path / "lock")
        process.communicate(b"\n")
    assert owner is not None
    assert owner.pid == process.pid


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "device"])
def test_lock_that_is_not_a_regular_file_is_held(tmp_path: Path, kind: str) -> None:
    """FIFOs must not block."""
    lock = tmp_path / "lock"
    if os.name == "nt" and kind in ("fifo", "device"):
        pytest.skip(f"lock that is a {kind}: Windows has no such files in folders")
    if kind == "fifo":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        target = Path("/dev/zero") if kind == "device" else tmp_path / "nowhere"
        create_link(lock, target, "lock that is a link is held")
    with pytest.raises(OutputLockedError, match="cannot be identified.*lock cannot be read"):
        acquire_lock(lock, tmp_path / "x")
    assert os.path.lexists(lock)


def test_files_of_killed_attempts_are_removed(tmp_path: Path) -> None:
    """Files of running processes, and other files, are kept."""
    lock = tmp_path / ".x.claim"
    stale = [
        f"{lock.name}.{DEAD}-1.tmp",
        f"{lock.name}.{'0' * 16}",
        f"{lock.name}.{'a' * 16}.{DEAD}-2.tmp",
    ]
    kept = [
        f"{lock.name}.{os.getpid()}-1.tmp",
        f"{lock.name}.txt",
        f"{lock.name}.{10**25}-1.tmp",
        ".x.claims",
    ]
    for name in (*stale, *kept):
        (tmp_path / name).touch()
    (tmp_path / f"{lock.name}.{'b' * 16}").write_bytes(lock_content())
    remove_attempts(lock, [p.name for p in tmp_path.iterdir()])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, f"{lock.name}.{'b' * 16}"])


def test_claims_of_long_names_are_distinct(tmp_path: Path) -> None:
    first, second = (tmp_path / f"{'é' * 120}{end}.zarr" for end in "ab")
    assert sibling_path(first, "claim") != sibling_path(second, "claim")
    with hold_claim(first), hold_claim(second):
        assert len(list(tmp_path.iterdir())) == 2
        with pytest.raises(OutputLockedError), hold_claim(first):
            pass
    assert not list(tmp_path.iterdir())


def test_no_lock_if_the_path_is_too_long(tmp_path: Path) -> None:
    assert lock_owner(tmp_path / ("x" * 300) / ".ome-writers.lock") is None


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid"),
    reason="lock that may not be read: Windows has no such mode",
)
def test_unreadable_lock_is_held(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("lock that may not be read: root can read every file")
    lock = tmp_path / "lock"
    lock.write_bytes(lock_with())
    lock.chmod(0)
    with pytest.raises(OutputLockedError, match="cannot be read"):
        acquire_lock(lock, tmp_path / "x")
