"""The two environments: the current one, and that of the peers with `peers/requirements.txt`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "benchmarks"
_REQUIREMENTS = Path(__file__).with_name("peers") / "requirements.txt"


def peers_python(given: Path | None) -> Path:
    """Return the interpreter of the peers; without `given`, create its environment once.

    Parameters
    ----------
    given
        An environment folder or an interpreter.

    Raises
    ------
    FileNotFoundError
        If `given` contains no interpreter.
    subprocess.CalledProcessError
        If the packages cannot be installed.
    """
    if given is not None:
        for candidate in (given, _python_of(given)):
            if candidate.is_file():
                return candidate.absolute()
        raise FileNotFoundError(
            f"--peers-env {given}: neither an interpreter nor an environment with one."
        )
    requirements = _REQUIREMENTS.read_bytes() + sys.version.encode()
    folder = CACHE / f"peers-{hashlib.sha256(requirements).hexdigest()[:12]}"
    python = _python_of(folder)
    if not (folder / "complete").exists():
        print(f"Installing the peers in {folder} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(_REQUIREMENTS)]
        subprocess.run(command, check=True)
        (folder / "complete").touch()
    return python


def variables() -> dict[str, str]:
    """Return the environment variables of a competitor, with this repository on PYTHONPATH.

    Bytecode is cached, so that compiling imports is not timed.
    """
    removed = (
        "PYTHONPATH",
        "PYTHONSAFEPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "PYTHONDONTWRITEBYTECODE",
    )
    inherited = {name: value for name, value in os.environ.items() if name not in removed}
    bytecode = str(CACHE.absolute() / "bytecode")
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": bytecode}


def medium(folder: Path) -> str:
    """Return the type of the file system of `folder`, or the path where it is unknown."""
    resolved = folder.resolve()
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return str(folder)
    file_systems = [
        (len(Path(where).parts), kind)
        for _, where, kind, *_ in (line.split() for line in mounts)
        if resolved.is_relative_to(where)
    ]
    return max(file_systems)[1] if file_systems else str(folder)


def _python_of(folder: Path) -> Path:
    if sys.platform == "win32":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"
