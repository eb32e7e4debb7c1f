"""Credentials of S3: profiles of AWS, and the error without any."""

from __future__ import annotations

from pathlib import Path

import pytest

import ome_writers
from ome_writers import SettingsError, UploadError, mirror
from support.acquisitions import write

pytest.importorskip("obstore", reason="obstore is not installed")


@pytest.fixture(autouse=True)
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_endpoint: str) -> Path:
    """Remove all credentials from the environment; return the path of the file for profiles."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAOTHER\n[lab]\n"
        "aws_access_key_id = AKIATEST\naws_secret_access_key = geheim-%123\n[sso]\nsso_region = eu-west-1\n"
    )
    (tmp_path / "config").write_text(
        f"[profile lab]\nregion = us-east-1\nendpoint_url = {s3_endpoint}\n"
    )
    return tmp_path / "credentials"


def test_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lab")
    path = write(tmp_path / "a.ome.zarr")
    mirror(path, "s3://bucket/profile/a.ome.zarr")
    assert ome_writers.read("s3://bucket/profile/a.ome.zarr").status == "complete"


def test_variables_precede_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: str
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "sso")
    mirror(write(tmp_path / "a.ome.zarr"), f"{s3}/variables/a.ome.zarr")


@pytest.mark.parametrize("name", ["none", "sso"])
def test_profile_without_keys_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", name)
    with pytest.raises(
        SettingsError, match=f"the profile '{name}' does not contain keys in .*credentials"
    ):
        mirror(write(tmp_path / "a.ome.zarr"), "s3://bucket/x")


def test_damaged_file_of_profiles_is_named_without_its_content(tmp_path: Path, aws: Path) -> None:
    aws.write_text("geheim-123\n")
    with pytest.raises(SettingsError, match="credentials is not a valid file") as raised:
        mirror(write(tmp_path / "a.ome.zarr"), "s3://bucket/x")
    assert "geheim" not in str(raised.value)


def test_missing_credentials_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_endpoint: str, aws: Path
) -> None:
    """Not the address of the machine that has them in the cloud."""
    aws.unlink()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setattr("ome_writers.object_store._RETRY", {"max_retries": 0})
    path = write(tmp_path / "a.ome.zarr")
    with pytest.raises(
        UploadError, match="no credentials were found. Set AWS_ACCESS_KEY_ID"
    ) as raised:
        mirror(path, "s3://bucket/x", interval=0)
    assert "169.254" not in str(raised.value)
    with pytest.raises(OSError, match="no credentials were found") as read:
        ome_writers.read("s3://bucket/x")
    assert "169.254" not in str(read.value)
