"""``ome-writers completion``: prints what a shell needs to complete commands, options and paths."""

from __future__ import annotations

from argparse import _SubParsersAction
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ome_writers.cli.command import SUCCESS, Command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Mapping

    from ome_writers.cli.console import Screen

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Words:
    """What can follow a command.

    Attributes
    ----------
    options
        Its options, as they are typed.
    values
        Option to the words it takes, where these are few; "" stands for the command's own argument.
    """

    options: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]


def script(shell: str, commands: Mapping[str, Words]) -> str:
    """Return the lines that a shell reads at its start.

    Parameters
    ----------
    shell
        One of `SHELLS`.
    commands
        Name of each command to what can follow it.
    """
    if shell == "fish":
        return "\n".join(_fish(commands))
    cases = "\n".join(
        f'    {command}) words="{" ".join(words.options)}" own="{" ".join(words.values.get("", ()))}" ;;'
        for command, words in commands.items()
    )
    values = "\n".join(
        f'    {command},{option}) own="{" ".join(own)}" ;;'
        for command, words in commands.items()
        for option, own in words.values.items()
        if option
    )
    # zsh knows bash's way of completing, when it is told to
    head = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n" * (shell == "zsh")
    return f"""{head}_ome_writers() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words="" own=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=( $(compgen -W "{" ".join(commands)}" -- "$word") )
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  case "${{COMP_WORDS[1]}},${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}
  esac
  case "$word" in
    -*) COMPREPLY=( $(compgen -W "$words" -- "$word") ) ;;
    *) COMPREPLY=( $(compgen -W "$own" -- "$word") ) ;;
  esac
}}
complete -o default -F _ome_writers ome-writers"""


def _fish(commands: Mapping[str, Words]) -> Iterator[str]:
    yield f"complete -c ome-writers -n __fish_use_subcommand -f -a '{' '.join(commands)}'"
    for command, words in commands.items():
        seen = f"complete -c ome-writers -n '__fish_seen_subcommand_from {command}'"
        for option in words.options:
            if option.startswith("--"):
                own = words.values.get(option)
                yield f"{seen} -l {option[2:]}" + (f" -x -a '{' '.join(own)}'" if own else "")
        if own := words.values.get(""):
            yield f"{seen} -f -a '{' '.join(own)}'"


def words_of(parser: ArgumentParser) -> dict[str, Words]:
    """Return what can follow each command, as its parser has it."""
    found: dict[str, Words] = {}
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for name, child in action.choices.items():
                options = tuple(word for own in child._actions for word in own.option_strings)
                values = {
                    word: tuple(own.choices)
                    for own in child._actions
                    if own.choices
                    for word in own.option_strings or ("",)
                }
                found[name] = Words(options, values)
    return found


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "shell",
        choices=SHELLS,
        metavar="SHELL",
        help="the shell that is to complete: bash, zsh or fish",
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers.cli.program import parser

    print(script(options.shell, words_of(parser())), flush=True)
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
