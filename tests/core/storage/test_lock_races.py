"""Lock files across processes and threads."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from ome_writers import OutputLockedError
from ome_writers.storage.exclusive_lock import acquire_lock
from ome_writers.storage.lock_file import lock_content
from support.sweeps import SWEEPS
from support.waiting import WAIT_S

DEAD = 2**22 + 12345  # above the maximum process ID of Linux


def test_lock_of_an_earlier_container_is_stale(tmp_path: Path) -> None:
    """After a restart of the container another process has the same ID."""
    lock = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from ome_writers.storage.lock_file import lock_content; "
        "Path(sys.argv[1]).write_bytes(lock_content())"
    )
    subprocess.run([sys.executable, "-c", code, str(lock)], check=True, timeout=300)
    content = json.loads(lock.read_bytes())
    lock.write_bytes(json.dumps({**content, "pid": os.getpid()}).encode())
    acquire_lock(lock, tmp_path / "x").release()
    assert not lock.exists()


def test_one_thread_replaces_a_stale_lock(tmp_path: Path) -> None:
    """Six threads find the same stale lock; exactly one acquires it."""
    rounds = 200 if SWEEPS else 50
    for number in range(rounds):
        lock = tmp_path / f"lock-{number}"
        lock.write_bytes(json.dumps({"pid": DEAD, "host": socket.gethostname()}).encode())
        start = threading.Barrier(6)
        holders: list[int] = []
        errors: list[BaseException] = []

        def try_acquire(
            lock: Path = lock,
            start: threading.Barrier = start,
            holders: list[int] = holders,
            errors: list[BaseException] = errors,
        ) -> None:
            start.wait(WAIT_S)
            try:
                acquire_lock(lock, tmp_path / "x")
                holders.append(1)
            except OutputLockedError:
                pass
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=try_acquire) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert not errors
        assert len(holders) == 1
        assert lock.read_bytes() == lock_content()
    assert len(list(tmp_path.iterdir())) == rounds
