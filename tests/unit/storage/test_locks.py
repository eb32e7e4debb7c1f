"""Locks name a process; what cannot be checked counts as held, what a crash left does not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ome_writers import OutputLockedError
from ome_writers.storage.exclusive_lock import acquire, hold_claim, remove_attempts
from ome_writers.storage.lock_file import lock_content, lock_owner, sibling_path

HOST = socket.gethostname()
DEAD = 2**22 + 12345  # above the largest process number of any Linux


def document(**fields: object) -> bytes:
    """Return a lock of this process with some fields changed."""
    return json.dumps({**json.loads(lock_content()), **fields}).encode()


def earlier(pid: int, host: str = HOST) -> bytes:
    """Return a lock as earlier versions wrote it."""
    return json.dumps({"pid": pid, "host": host}).encode()


@pytest.mark.parametrize(
    ("content", "held"),
    [
        (document(), True),
        (document(start="another start"), False),  # same number, another process
        (document(pid=DEAD), False),
        (document(pid=DEAD, host="elsewhere.invalid"), True),
        (earlier(os.getppid()), True),
        (earlier(DEAD), False),
        (earlier(os.getpid()), False),  # this process has written none of that kind
        (document(pid=10**30), False),
        (document(pid=-1), False),
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
    ids=[f"lock-{number}" for number in range(20)],  # the same in each process of pytest-xdist
)
def test_who_holds_a_lock(tmp_path: Path, content: bytes, held: bool) -> None:
    """A lock of any content is held or stale, by one rule; taking it raises nothing else."""
    lock = tmp_path / "lock"
    lock.write_bytes(content)
    assert (lock_owner(lock) is not None) == held
    if held:
        with pytest.raises(OutputLockedError, match=r"is being written by .*remove .*lock"):
            acquire(lock, tmp_path / "x")
        assert lock.read_bytes() == content
    else:
        taken = acquire(lock, tmp_path / "x")
        assert taken.replaced == content
        assert lock.read_bytes() == lock_content()
        taken.release()
        assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="neither FIFOs nor links that anybody may make")
@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "device"])
def test_what_is_not_a_file_is_a_held_lock(tmp_path: Path, kind: str) -> None:
    """A FIFO, a folder or a link where a lock should be is respected, at once, and named."""
    lock = tmp_path / "lock"
    if kind == "fifo":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to("/dev/zero" if kind == "device" else tmp_path / "nowhere")
    with pytest.raises(OutputLockedError, match="cannot be identified.*lock cannot be read"):
        acquire(lock, tmp_path / "x")
    assert os.path.lexists(lock)


def test_a_lock_that_was_not_released_in_a_container_of_this_name(tmp_path: Path) -> None:
    """After a restart the same number is another process: on Linux another boot or another tick."""
    lock = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from ome_writers.storage.lock_file import lock_content; "
        "Path(sys.argv[1]).write_bytes(lock_content())"
    )
    subprocess.run([sys.executable, "-c", code, str(lock)], check=True, timeout=60)
    told = json.loads(lock.read_bytes())
    lock.write_bytes(json.dumps({**told, "pid": os.getpid()}).encode())
    acquire(lock, tmp_path / "x").release()
    assert not lock.exists()


def test_of_threads_that_replace_a_stale_lock_one_holds_it(tmp_path: Path) -> None:
    """However many see the same stale lock, one at a time replaces it, and is not disturbed."""
    for number in range(200):
        lock = tmp_path / f"lock-{number}"
        lock.write_bytes(earlier(DEAD))
        together = threading.Barrier(6)
        holders: list[int] = []
        errors: list[BaseException] = []

        def take(
            lock: Path = lock,
            together: threading.Barrier = together,
            holders: list[int] = holders,
            errors: list[BaseException] = errors,
        ) -> None:
            together.wait(60)
            try:
                acquire(lock, tmp_path / "x")
                holders.append(1)
            except OutputLockedError:
                pass
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=take) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not errors
        assert len(holders) == 1
        assert lock.read_bytes() == lock_content()
    assert len(list(tmp_path.iterdir())) == 200


def test_what_killed_attempts_left_is_removed(tmp_path: Path) -> None:
    """Files of attempts that were killed go; those of running processes, and of others, stay."""
    lock = tmp_path / ".x.claim"
    gone = [
        f"{lock.name}.{DEAD}-1.tmp",
        f"{lock.name}.{'0' * 16}",
        f"{lock.name}.{'a' * 16}.{DEAD}-2.tmp",
    ]
    stay = [
        f"{lock.name}.{os.getpid()}-1.tmp",
        f"{lock.name}.txt",
        f"{lock.name}.{10**25}-1.tmp",
        ".x.claims",
    ]
    for name in (*gone, *stay):
        (tmp_path / name).touch()
    (tmp_path / f"{lock.name}.{'b' * 16}").write_bytes(lock_content())
    remove_attempts(lock, [p.name for p in tmp_path.iterdir()])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*stay, f"{lock.name}.{'b' * 16}"])


def test_a_claim_beside_a_long_name(tmp_path: Path) -> None:
    """Names as long as file systems take can be claimed, and each has a claim of its own."""
    first, second = (tmp_path / f"{'é' * 120}{end}.zarr" for end in "ab")
    assert sibling_path(first, "claim") != sibling_path(second, "claim")
    with hold_claim(first), hold_claim(second):
        assert len(list(tmp_path.iterdir())) == 2
        with pytest.raises(OutputLockedError), hold_claim(first):
            pass
    assert not list(tmp_path.iterdir())


def test_lock_in_a_folder_with_too_long_a_name(tmp_path: Path) -> None:
    """Where the name of a folder is too long for the file system, no process holds a lock."""
    assert lock_owner(tmp_path / ("x" * 300) / ".ome-writers.lock") is None


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_a_lock_that_may_not_be_read_is_held(tmp_path: Path) -> None:
    """The lock of another user, which this one may not read, is respected."""
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    lock = tmp_path / "lock"
    lock.write_bytes(document())
    lock.chmod(0)
    with pytest.raises(OutputLockedError, match="cannot be read"):
        acquire(lock, tmp_path / "x")
