"""What is wrong with the arguments of a call; see `errors.checked_call`. Imported when one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

_MAX_VALUE_CHARACTERS = 40


def problem_of_call(
    function: Callable[..., Any],
    values: Sequence[Any],
    named: Mapping[str, Any],
    suggestion: Callable[[str, Sequence[str]], str],
) -> str:
    """Return what is wrong with the arguments of a call, and what to write; "" if nothing is.

    `suggestion` returns the question whether a similar argument was meant.
    """
    parameters = [p for p in signature(function).parameters.values() if p.name != "self"]
    if "self" in signature(function).parameters:
        values = values[1:]
    name = function.__qualname__.replace("open_dataset", "ome_writers.open")
    known = [p.name for p in parameters]
    for argument, value in named.items():
        if argument not in known:
            hint = suggestion(argument, known) or f" Its arguments are: {', '.join(known)}."
            shown = _short(value)
            return f"{name} has no argument {argument}={shown}.{hint}"
    positional = [p.name for p in parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
    if len(values) > len(positional):
        surplus = [_short(v) for v in values[len(positional) :]]
        rest = known[len(positional) :]
        hint = (
            f"Pass it by name: {' or '.join(f'{n}=...' for n in rest)}."
            if rest
            else "Leave it out."
        )
        if len(rest) == len(surplus) == 1:
            hint = f"Write {rest[0]}={surplus[0]}."
        return (
            f"{name} takes {_listed(positional)} by position, got also {', '.join(surplus)}. {hint}"
        )
    required = [p.name for p in parameters if p.default is Parameter.empty]
    missing = [n for n in required[len(values) :] if n not in named]
    return (
        f"{name} needs {_listed(missing)}. Write {name}({', '.join(required)})." if missing else ""
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) or "no arguments"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_CHARACTERS else f"{text[:_MAX_VALUE_CHARACTERS]}..."
