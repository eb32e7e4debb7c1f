"""``ome-writers completion``: prints what a shell needs to complete commands, options and paths."""

from __future__ import annotations

from argparse import _SubParsersAction
from typing import TYPE_CHECKING

from ome_writers.cli.command import SUCCESS, Command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

    from ome_writers.cli.screen import Screen

SHELLS = ("bash", "zsh", "fish")


def script(shell: str, options: Mapping[str, tuple[str, ...]]) -> str:
    """Return the lines that a shell reads at its start.

    Parameters
    ----------
    shell
        One of `SHELLS`.
    options
        Name of each command to its options.
    """
    if shell == "fish":
        lines = [
            "complete -c ome-writers -n __fish_use_subcommand -f -a '" + " ".join(options) + "'"
        ]
        for command, words in options.items():
            seen = f"complete -c ome-writers -n '__fish_seen_subcommand_from {command}'"
            lines += [f"{seen} -l {word[2:]}" for word in words if word.startswith("--")]
        return "\n".join(lines)
    cases = "\n".join(
        f'    {command}) words="{" ".join(words)}" ;;' for command, words in options.items()
    )
    # zsh knows bash's way of completing, when it is told to
    head = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n" * (shell == "zsh")
    return f"""{head}_ome_writers() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=( $(compgen -W "{" ".join(options)}" -- "$word") )
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  case "$word" in
    -*) COMPREPLY=( $(compgen -W "$words" -- "$word") ) ;;
    *) COMPREPLY=() ;;
  esac
}}
complete -o default -F _ome_writers ome-writers"""


def options_of(parser: ArgumentParser) -> dict[str, tuple[str, ...]]:
    """Return each command's options, as its parser has them."""
    found: dict[str, tuple[str, ...]] = {}
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for name, child in action.choices.items():
                words = (word for own in child._actions for word in own.option_strings)
                found[name] = tuple(words)
    return found


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell that is to complete")


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers.cli.program import parser

    print(script(options.shell, options_of(parser())), flush=True)
    return SUCCESS


COMMAND = Command(
    name="completion",
    summary="Print what a shell needs to complete commands and options",
    examples=(
        ('eval "$(ome-writers completion bash)"', "in ~/.bashrc; with zsh in ~/.zshrc"),
        ("ome-writers completion fish | source", "in ~/.config/fish/config.fish"),
    ),
    arguments=_arguments,
    run=_run,
)
