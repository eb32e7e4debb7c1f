"""Kills `create_stream` at each of its calls, in forked processes.

``killed_starts.py FOLDER KIND WITH_OLD``: creates one directory per call below FOLDER and prints their number.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from faults import claim_worker
from ome_writers import create_stream

OLD, MOST = 1, 200


def main(folder: Path, kind: str, with_old: bool) -> int:
    """Return the number of calls of a start; one process was killed at each of them."""
    sys.addaudithook(claim_worker.run_hooks)
    template = folder / "template"
    template.mkdir()
    if with_old:
        wanted = claim_worker.settings(template, kind, overwrite=False)
        claim_worker.fill(create_stream(wanted), OLD)
    for number in range(1, MOST):
        killed = folder / str(number)
        shutil.copytree(template, killed)
        child = os.fork()
        if not child:
            claim_worker.kill_at(killed, number)
            create_stream(claim_worker.settings(killed, kind, overwrite=True))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            shutil.rmtree(killed)
            return number - 1
        assert os.waitstatus_to_exitcode(status) == 9
    raise AssertionError(f"a start takes more than {MOST} calls")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "old"))
