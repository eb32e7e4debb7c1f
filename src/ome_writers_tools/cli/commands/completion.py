"""``ome-writers completion``: prints the script with which a shell completes commands, options and paths."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from ome_writers_tools.cli.command import SUCCESS, Command
from ome_writers_tools.cli.console import Screen

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Words:
    """The completions of a command."""

    options: tuple[str, ...]  # its options, with dashes
    # option to its choices; the key "" is the positional argument
    values: Mapping[str, tuple[str, ...]]


def script(shell: str, commands: Mapping[str, Words]) -> str:
    if shell == "fish":
        return "\n".join(_fish(commands))
    cases = "\n".join(
        f'    {command}) options="{" ".join(words.options)}" choices="{" ".join(words.values.get("", ()))}" ;;'
        for command, words in commands.items()
    )
    values = "\n".join(
        f'    {command},{option}) choices="{" ".join(choices)}" ;;'
        for command, words in commands.items()
        for option, choices in words.values.items()
        if option
    )
    # bashcompinit enables bash completion scripts in zsh
    head = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n" * (shell == "zsh")
    return f"""{head}_ome_writers() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" options="" choices=""
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
    -*) COMPREPLY=( $(compgen -W "$options" -- "$word") ) ;;
    *) COMPREPLY=( $(compgen -W "$choices" -- "$word") ) ;;
  esac
}}
complete -o default -F _ome_writers ome-writers"""


def _fish(commands: Mapping[str, Words]) -> Iterator[str]:
    yield f"complete -c ome-writers -n __fish_use_subcommand -f -a '{' '.join(commands)}'"
    for command, words in commands.items():
        seen = f"complete -c ome-writers -n '__fish_seen_subcommand_from {command}'"
        for option in words.options:
            if option.startswith("--"):
                choices = words.values.get(option)
                values = f" -x -a '{' '.join(choices)}'" if choices else ""
                yield f"{seen} -l {option[2:]}{values}"
        if choices := words.values.get(""):
            yield f"{seen} -f -a '{' '.join(choices)}'"


def _words(actions: Collection[Action]) -> Words:
    options = tuple(option for action in actions for option in action.option_strings)
    values = {
        option: tuple(action.choices)
        for action in actions
        if action.choices
        for option in action.option_strings or ("",)
    }
    return Words(options, values)


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")


def _run(options: Namespace, screen: Screen) -> int:
    commands = {name: _words(parser.actions) for name, parser in options.parsers.items()}
    print(script(options.shell, commands), flush=True)
    return SUCCESS


COMMAND = Command(
    name="completion",
    summary="Print the completion script of a shell",
    examples=(
        ('eval "$(ome-writers completion bash)"', "in ~/.bashrc; with zsh in ~/.zshrc"),
        ("ome-writers completion fish | source", "in ~/.config/fish/config.fish"),
    ),
    arguments=_arguments,
    run=_run,
    json_replaces=None,
)
