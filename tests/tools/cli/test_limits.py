"""Each number from the command line has a limit: none allocates memory or threads in proportion to a typing error."""

from __future__ import annotations

import pytest

from ome_writers_tools.cli import main

HUGE = "9" * 20


@pytest.mark.parametrize("number", [HUGE, "9" * 5000, "1001"])
@pytest.mark.parametrize(
    "command", ["upload a.ome.zarr file:///b", "process a.ome.zarr b.ome.zarr"]
)
def test_workers(command: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--workers", number]) == 2
    assert "argument --workers: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        f"upload a.ome.zarr file:///b --limit {HUGE}",
        f"process a.ome.zarr b.ome.zarr --bin {HUGE}",
        f"pyramid a.ome.zarr --levels {HUGE}",
        f"preview a.ome.zarr --rows {HUGE}",
        f"demo a.ome.zarr --timepoints {HUGE}",
        f"convert a.ome.zarr b.ome.zarr --chunk y={HUGE}",
        f"convert a.ome.zarr b.ome.zarr --shard t={HUGE}",
        f"bench --frame {HUGE}x{HUGE} --fps 1",
        "bench --frame 9999999x9999999",
        f"bench --fps 1 --seconds {HUGE}",
        f"advise --frame 8x8 --fps {HUGE}",
        f"advise --frame 8x8 --fps 1 --duration {HUGE}",
        f"watch a.ome.zarr --interval {HUGE}",
    ],
)
def test_other_numbers(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    assert " is not " in capsys.readouterr().err
