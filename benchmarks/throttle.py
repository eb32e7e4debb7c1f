"""A disk of a given speed for one process, without root: `throttle.c`, compiled and preloaded."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_name("throttle.c")


def environment(bytes_per_second: float, cache: Path) -> dict[str, str] | str:
    """Return the environment variables that slow a process down, or the reason why it cannot be.

    Parameters
    ----------
    bytes_per_second
        Speed of the medium for all threads of the process together.
    cache
        Folder where the compiled library is kept.
    """
    if sys.platform != "linux":
        return f"slowing a disk down needs Linux, this is {sys.platform}"
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return "slowing a disk down needs a C compiler, and there is no cc, gcc or clang"
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
