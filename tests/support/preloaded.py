"""Processes that start in milliseconds, because their modules are loaded: forks of a server without threads.

On Windows, and for what depends on how the interpreter starts, tests start a new interpreter.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# What a process loads that writes, reads or runs a command. Threads would not survive the fork.
_MODULES = [
    "__main__",  # otherwise each process imports the program of the tests
    "numpy",
    "ome_writers_pymmcore.recording",
    "rich.console",
    "rich.table",
    "support.codeblocks",
    "support.preloaded",
    "tifffile",
    "ome_types",
    "pymmcore_plus",
    "PIL.PngImagePlugin",
    "zarr",
    "support.warm_up",
]


@functools.cache
def preloaded_context() -> BaseContext:
    """Return how `multiprocessing` starts such processes."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_MODULES)
    # the server ignores `sys.path`, and would not find `support`
    with patch.dict(os.environ, PYTHONPATH=_path()):
        forkserver.ensure_running()
    return context


def _path() -> str:
    """Return `sys.path` as the variable PYTHONPATH."""
    return os.pathsep.join(filter(None, sys.path))


def start_python(code: str, *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Start a process with the code, and return it and a connection to it.

    The code has the names `arguments` and `pipe`, the other end of the connection.
    """
    context = preloaded_context()
    ours, theirs = context.Pipe()
    process = context.Process(target=_execute, args=(code, arguments, theirs))
    process.start()
    theirs.close()
    return process, ours


def _execute(code: str, arguments: tuple[Any, ...], pipe: Connection) -> None:
    names = {"__name__": "__main__", "arguments": arguments, "pipe": pipe}
    exec(compile(code, "<string>", "exec"), names)


def run_python(
    arguments: Sequence[str],
    *,
    stdin: str = "",
    cwd: str | os.PathLike[str] = ".",
    env: Mapping[str, str] | None = None,
    timeout_s: float = 300.0,
    new_interpreter: bool = sys.platform == "win32",
) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS``, where the first is ``-c`` or ``-m``. `env` is added to the environment.

    Returns the exit code (negative: the number of the signal that ended the process), standard output and error. A fork
    has the plug-ins of the server, a new interpreter looks them up.
    """
    if new_interpreter:
        return subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            text=True,
            capture_output=True,
            timeout=timeout_s,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": _path(), **(env or {})},
        )
    with tempfile.TemporaryDirectory() as folder:
        process = _started(arguments, folder, stdin, cwd, env)
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout_s)
        output, errors = (Path(folder, n).read_text(encoding="utf-8") for n in "12")
        return subprocess.CompletedProcess(list(arguments), process.exitcode, output, errors)


@dataclass(frozen=True)
class Running:
    """A process that may still run."""

    is_alive: Callable[[], bool]
    wait: Callable[[float], object]
    kill: Callable[[], object]


@contextlib.contextmanager
def running_python(arguments: Sequence[str], *, stdin: str) -> Iterator[Running]:
    """Run ``python ARGUMENTS`` while the block is executed; then wait a minute for its end, and kill it."""
    with contextlib.ExitStack() as stack:
        if sys.platform == "win32":
            started = stack.enter_context(
                subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, text=True)
            )
            assert started.stdin is not None
            started.stdin.write(stdin)
            started.stdin.close()
            process = Running(lambda: started.poll() is None, started.wait, started.kill)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            forked = _started(arguments, folder, stdin)
            process = Running(forked.is_alive, forked.join, forked.kill)
            stack.callback(lambda: sys.stderr.write(Path(folder, "2").read_text(encoding="utf-8")))
            stack.callback(forked.join)
        try:
            yield process
            process.wait(60)
        finally:
            process.kill()


def _started(
    arguments: Sequence[str],
    folder: str,
    stdin: str,
    cwd: str | os.PathLike[str] = ".",
    env: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Start a fork whose standard input, output and errors are the files 0, 1 and 2 of `folder`."""
    for name, content in (("0", stdin), ("1", ""), ("2", "")):
        Path(folder, name).write_text(content, encoding="utf-8")
    process = preloaded_context().Process(
        target=_run,
        args=(list(arguments), folder, os.path.abspath(cwd), {**os.environ, **(env or {})}),
    )
    process.start()
    return process


def _run(arguments: list[str], folder: str, cwd: str, environment: dict[str, str]) -> None:
    """Be the interpreter: run the code or module, flush, and exit as `python` does."""
    for descriptor in (0, 1, 2):
        mode = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        opened = os.open(os.path.join(folder, str(descriptor)), mode)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (
        open(d, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        for d, mode in ((0, "r"), (1, "w"), (2, "w"))
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    option, target, *rest = arguments
    sys.argv = [option if option == "-c" else target, *rest]
    try:
        if option == "-c":
            exec(compile(target, "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module(target, run_name="__main__", alter_sys=True)
    finally:
        with contextlib.suppress(ValueError, OSError):
            sys.stdout.flush()
