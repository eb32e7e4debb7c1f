"""`python -m benchmarks`: measure this project, its peers and the hardware limits side by side."""

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

from benchmarks import (
    amplification,
    analysis,
    competitors,
    environments,
    plot,
    prediction,
    report,
    stored,
    visible,
    workloads,
    writer_process,
)
from benchmarks.runner import Conditions, run_contest

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """\
Times are measured from the first append to the return of close. In each round every competitor runs
once, in a new process; the table shows medians over the rounds. Frames are Poisson noise (mean 100,
uint16) in a ring of buffers that are overwritten as soon as append returns; generating them is not
timed. Afterwards some frames are read back and compared. "vs limit" is the speed relative to a plain
write to the same disk (1.00 = the disk's limit), "vs best peer" relative to the fastest peer (marked
with a star). The limit of resolution levels (P1 to P3) is the same run without levels; that of levels
added later (P4) is reading the dataset once and writing a third as many bytes. Workloads about
creation, memory and latency compare the first column instead.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 after a usage error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--visible" in arguments:
        return visible.main([argument for argument in arguments if argument != "--visible"])
    if "--writer-process" in arguments:
        return writer_process.main([a for a in arguments if a != "--writer-process"])
    if "--prediction" in arguments:
        return prediction.main([a for a in arguments if a != "--prediction"])
    if "--amplification" in arguments:
        return amplification.main([a for a in arguments if a != "--amplification"])
    if "--stored" in arguments:
        return stored.main([argument for argument in arguments if argument != "--stored"])
    options = _parser().parse_args(arguments)
    try:
        selected = workloads.select(options.workloads)
        selected_competitors = competitors.select(options.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if options.quick:
        selected = [workload.lengthened(workload.quick) for workload in selected]
    elif options.scale != 1.0:
        selected = [workload.scaled(options.scale) for workload in selected]
    python = Path(sys.executable)
    if any(c.side == "peer" for c in selected_competitors):
        python = environments.peers_python(options.peers_env)
    conditions = Conditions(
        rounds=1 if options.quick and options.rounds is None else options.rounds or 5,
        timeout_s=options.patience,
        peers_python=python,
        log=(lambda line: None)
        if options.silent
        else (lambda line: print("  .", line, flush=True)),
    )
    machine = _machine(python)
    print(f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['system']}")
    contests = []
    for workload in selected:
        for folder in options.dir or _default_folders():
            contests.append(run_contest(workload, folder, selected_competitors, conditions))
            report.show(contests[-1])
            if options.json is not None:  # after each contest: a long run may be interrupted
                content = {"machine": machine, "contests": analysis.to_json(contests)}
                options.json.write_text(json.dumps(content, indent=1))
    if options.plot is not None:
        caption = f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores"
        try:
            plot.draw(contests, options.plot, caption)
        except ImportError:
            print("--plot needs matplotlib: pip install matplotlib", file=sys.stderr)
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
        "--dir", action="append", type=Path, help="directory to write to; default: tmpfs and a disk"
    )
    parser.add_argument("--rounds", type=int, help="runs per competitor (default: 5)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="factor for the length of the slowest axis"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round of tiny workloads, as a smoke test"
    )
    parser.add_argument("--only", help="competitors, such as limit,direct,peers,0.3.2-*")
    parser.add_argument("--peers-env", type=Path, help="an environment with the peers installed")
    parser.add_argument(
        "--patience", type=float, default=180.0, help="timeout of a run in seconds (default: 180)"
    )
    parser.add_argument("--json", type=Path, help="write the results of all runs to this file")
    parser.add_argument("--plot", type=Path, help="write a plot to this file (PNG)")
    parser.add_argument(
        "--visible", action="store_true", help="V1 instead: when another process can read a frame"
    )
    parser.add_argument(
        "--stored",
        action="store_true",
        help="R1, R2 and I2 instead: reading, resuming and validating",
    )
    parser.add_argument(
        "--writer-process",
        action="store_true",
        help="X1 to X3 instead: a writer in its own process",
    )
    parser.add_argument(
        "--amplification", action="store_true", help="D3 instead: bytes written per byte stored"
    )
    parser.add_argument(
        "--prediction", action="store_true", help="what `advise` predicts, beside what is measured"
    )
    parser.add_argument("--silent", action="store_true", help="print tables only, without progress")
    return parser


def _default_folders() -> list[Path]:
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
    output = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=False
    ).stdout
    versions: dict[str, str] = json.loads(output or "{}")
    return versions


if __name__ == "__main__":
    sys.exit(main())
