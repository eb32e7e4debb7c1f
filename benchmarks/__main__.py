"""`python -m benchmarks`: limits, this project and its peers, measured side by side."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import competitors, environments, figures, picture, report, workloads
from benchmarks.rounds import Conditions, contest

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """\
Time counts from the first append to the return of close; medians over the rounds, in which every
competitor runs once, in turn, in a process of its own. Frames are Poisson noise (mean 100, uint16)
in a ring of buffers that are overwritten as soon as append returns; making them is in nobody's
time. After the clock has stopped some frames are read back and compared. "x limit" and "x best
peer" say how many times as fast as these a row is (a star marks the best peer); for the workloads
about creating, memory and latency the first column is what is compared.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status, which says nothing about speed."""
    given = _parser().parse_args(arguments)
    try:
        selected = workloads.chosen(given.workloads)
        contestants = competitors.chosen(given.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if given.quick:
        selected = [workload.lengthened(workload.quick) for workload in selected]
    elif given.scale != 1.0:
        selected = [workload.scaled(given.scale) for workload in selected]
    python = Path(sys.executable)
    if any(c.side == "peer" for c in contestants):
        python = environments.peers_python(given.peers_env)
    conditions = Conditions(
        rounds=1 if given.quick and given.rounds is None else given.rounds or 5,
        patience=given.patience,
        peers_python=python,
        say=(lambda line: None) if given.silent else (lambda line: print("  .", line, flush=True)),
    )
    machine = _machine(python)
    print(f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['system']}")
    contests = []
    for workload in selected:
        for place in given.dir or _places():
            contests.append(contest(workload, place, contestants, conditions))
            report.show(contests[-1])
            if given.json is not None:  # after each contest, so that a long run may be cut short
                content = {"machine": machine, "contests": figures.document(contests)}
                given.json.write_text(json.dumps(content, indent=1))
    if given.plot is not None:
        caption = f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores"
        try:
            picture.draw(contests, given.plot, caption)
        except ImportError:
            print("The plot needs matplotlib: pip install matplotlib", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", metavar="W1", help="default: all")
    parser.add_argument(
        "--dir", action="append", type=Path, help="a folder to write in; default: tmpfs and a disk"
    )
    parser.add_argument("--rounds", type=int, help="turns of each competitor, 5")
    parser.add_argument("--scale", type=float, default=1.0, help="length of the slowest axis")
    parser.add_argument("--quick", action="store_true", help="tiny, one round: does it all run?")
    parser.add_argument("--only", help="limit,direct,peers,0.3.2-*: who takes part")
    parser.add_argument("--peers-env", type=Path, help="an environment that has the peers")
    parser.add_argument(
        "--patience", type=float, default=180.0, help="seconds until a run is stopped, 180"
    )
    parser.add_argument("--json", type=Path, help="write every run here")
    parser.add_argument("--plot", type=Path, help="write a picture here (PNG)")
    parser.add_argument("--silent", action="store_true", help="tables only, no line a run")
    return parser


def _places() -> list[Path]:
    memory = Path("/dev/shm")
    disk = environments.CACHE / "disk"
    return [memory, disk] if memory.is_dir() else [disk]


def _machine(peers_python: Path) -> dict[str, Any]:
    return {
        "date": datetime.date.today().isoformat(),
        "system": platform.platform(),
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "ours": _versions(sys.executable),
        "peers": _versions(str(peers_python)),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions(python: str) -> dict[str, str]:
    names = "ome-writers acquire-zarr tensorstore zarr zarrs tifffile numpy numcodecs pymmcore-plus"
    code = (
        "import json, importlib.metadata as m\n"
        "found = {}\n"
        f"for name in {names.split()!r}:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout
    found: dict[str, str] = json.loads(said or "{}")
    return found


if __name__ == "__main__":
    sys.exit(main())
