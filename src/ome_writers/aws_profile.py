"""Profiles of AWS: the keys, region and endpoint in the files of the AWS command line, which obstore does not read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Any

from ome_writers.errors import SettingsError

_OTHER_SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
# by option of obstore: its name in the files, and the variables that are used instead
_KEYS = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}
_OTHERS = {
    "region": ("region", ("AWS_REGION", "AWS_DEFAULT_REGION")),
    "endpoint": ("endpoint_url", ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")),
}


def profile_options(given: Mapping[str, Any]) -> dict[str, str]:
    """Return obstore's options for the profile AWS_PROFILE, or else ``default``, that are neither given nor variables.

    Empty if there are credentials in `given` or in the environment.

    Raises SettingsError if AWS_PROFILE does not exist, or does not contain keys.
    """
    named = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    credentials = {"access_key_id", "aws_access_key_id", "credential_provider", "skip_signature"}
    if any(map(os.environ.get, _OTHER_SOURCES)) or credentials & given.keys():
        return {}
    found = _profile(named or "default")
    if "aws_access_key_id" not in found or "aws_secret_access_key" not in found:
        if not named:
            return {}
        raise SettingsError(
            f"AWS_PROFILE: the profile {named!r} does not contain keys in {_credentials_file()}. For a profile with "
            f'SSO or a role, run: eval "$(aws configure export-credentials --profile {named} --format env)"'
        )
    options = {option: found[name] for option, name in _KEYS.items() if name in found}
    for option, (name, variables) in _OTHERS.items():
        if name in found and option not in given and not any(map(os.environ.get, variables)):
            options[option] = found[name]
    return options


def _profile(name: str) -> dict[str, str]:
    """Return the entries of a profile; those of the file with credentials replace those of the other one."""
    entries: dict[str, str] = {}
    config = Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    section = name if name == "default" else f"profile {name}"
    for file, title in ((config, section), (_credentials_file(), name)):
        parser = ConfigParser(interpolation=None, default_section="")
        try:
            parser.read(file, encoding="utf-8")
        except (Error, ValueError) as error:  # its text may contain a key
            raise SettingsError(
                f"{file} is not a valid file of AWS profiles ({type(error).__name__}). Correct it."
            ) from None
        if parser.has_section(title):
            entries |= dict(parser.items(title))
    return entries


def _credentials_file() -> Path:
    return Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
