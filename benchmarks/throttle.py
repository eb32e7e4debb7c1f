"""A disk of a given speed for one process, without root privileges: `throttle.c`, compiled and preloaded."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_name("throttle.c")


def environment(bytes_per_second: float, cache: Path) -> dict[str, str] | str:
    """Return the environment variables that throttle a process, or the reason if that is impossible.

    Parameters
    ----------
    bytes_per_second
        Speed of the disk for all threads of the process together.
    cache
        Directory of the compiled library.
    """
    if sys.platform != "linux":
        return f"throttling needs Linux, this is {sys.platform}"
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return "throttling needs a C compiler; install cc, gcc or clang"
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]
    library = cache / f"throttle-{digest}.so"
    if not library.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-O2", "-shared", "-fPIC", str(_SOURCE), "-o", str(library)]
        built = subprocess.run(
            [*command, "-ldl", "-lpthread"], capture_output=True, text=True, check=False
        )
        if built.returncode != 0:
            return f"{compiler} could not compile {_SOURCE.name}: {built.stderr.strip()[:300]}"
    return {"LD_PRELOAD": str(library), "BENCH_BYTES_PER_SECOND": str(bytes_per_second)}
