"""Build the documentation of the last patch version of each minor version, and of the current commit.

``python docs/build_versions.py`` writes ``site/1.0``, ..., ``site/dev``, the list of versions that the selector of the
pages reads (``versions.json``, in the format of mike), and a start page that leads to the newest version.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
SITE = REPOSITORY / "site"
DEVELOPMENT = "dev"
_TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


def releases() -> dict[str, str]:
    """Return minor version to the tag of its last patch version, newest first."""
    listed = subprocess.check_output(["git", "tag", "--list"], cwd=REPOSITORY, text=True)
    tags = [match for match in map(_TAG.fullmatch, listed.split()) if match]
    tags.sort(key=lambda match: tuple(map(int, match.groups())))
    minor_versions = {f"{match[1]}.{match[2]}": match[0] for match in tags}
    return dict(reversed(minor_versions.items()))


def build(folder: Path, version: str) -> None:
    """Build the documentation in a checkout and move it to ``site/VERSION``."""
    environment = {**os.environ, "MIKE_DOCS_VERSION": version}
    command = ["zensical", "build", "--clean", "--strict"]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    shutil.move(folder / "site", SITE / version)


def main() -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    found = releases()
    with tempfile.TemporaryDirectory() as temporary:
        for version, tag in {DEVELOPMENT: "HEAD", **found}.items():
            checkout = Path(temporary, version)
            git = ["git", "worktree"]
            subprocess.run([*git, "add", "--detach", checkout, tag], cwd=REPOSITORY, check=True)
            try:
                build(checkout, version)
            finally:
                subprocess.run([*git, "remove", "--force", checkout], cwd=REPOSITORY, check=True)
    newest = next(iter(found), DEVELOPMENT)
    versions = [
        {"version": version, "title": version, "aliases": ["latest"] if version == newest else []}
        for version in (*found, DEVELOPMENT)
    ]
    (SITE / "versions.json").write_text(json.dumps(versions, indent=2), encoding="utf-8")
    page = f'<!doctype html><meta http-equiv="refresh" content="0; url={newest}/"><title>ome-writers</title>'
    (SITE / "index.html").write_text(page, encoding="utf-8")
    print(f"{SITE}: {', '.join(entry['version'] for entry in versions)}")


if __name__ == "__main__":
    main()
