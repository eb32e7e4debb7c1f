"""``ome-writers completion``: bash, zsh and fish complete the parsers' options."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ome_writers_tools.cli import main
from ome_writers_tools.cli.commands.completion import SHELLS
from ome_writers_tools.cli.program import COMMANDS


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("inf", {"info"}),
        ("info --a", {"--all"}),
        ("preview --ov", {"--overwrite"}),
        ("advise --fr", {"--frame"}),
        ("info x", set()),
        ("bench --engine d", {"direct"}),
        ("bench --durability ''", {"process", "disk"}),
        ("convert --compression blosc-z", {"blosc-zstd", "blosc-zstd-bitshuffle"}),
        ("advise --durability ''", set()),
        ("completion ''", {"bash", "zsh", "fish"}),
    ],
)
@pytest.mark.skipif(
    shutil.which("bash") is None, reason="completion in bash, which is not installed"
)
def test_bash_completes(
    typed: str, completed: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    words = ["ome-writers", *typed.split()]
    query = (
        f"\nCOMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _ome_writers;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", capsys.readouterr().out + query], capture_output=True, text=True, timeout=300
    )
    assert done.stderr == ""
    assert set(done.stdout.split()) == completed


@pytest.mark.parametrize("shell", SHELLS)
def test_script_of_each_shell_names_every_command(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in COMMANDS)
