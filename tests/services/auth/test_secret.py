"""The shared secret: its file, its creation, its strength."""

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec

from tornado_chat import config
from tornado_chat.services.auth.secret import load_secret

SECRET = b"0123456789abcdef" * 4
AUTH = config.Auth()

PUBLIC_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_created_once(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    secret = load_secret(AUTH, state)
    assert len(secret) == 64
    assert load_secret(AUTH, state) == secret
    assert mode(state) == 0o700
    assert mode(state / "secret") == 0o600
    assert os.listdir(state) == ["secret"], "no temporary file remains"
    assert load_secret(AUTH, tmp_path / "other") != secret
    load_secret(config.Auth(algorithms=("HS512",)), state)


def test_a_secret_created_by_root_belongs_to_the_owner_of_the_state_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda file, user, group: given.append((user, group)))
    load_secret(AUTH, tmp_path)
    assert given == [(tmp_path.stat().st_uid, tmp_path.stat().st_gid)]


def test_processes_that_start_together_get_the_same_secret(tmp_path: Path) -> None:
    count = 16
    barrier = threading.Barrier(count)
    found: list[bytes] = []

    def start() -> None:
        barrier.wait()
        found.append(load_secret(AUTH, tmp_path / "state"))

    threads = [threading.Thread(target=start) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == count
    assert len(set(found)) == 1
    assert os.listdir(tmp_path / "state") == ["secret"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o644, 0o660])
def test_a_generated_secret_that_other_users_can_read_is_refused(bits: int, tmp_path: Path) -> None:
    load_secret(AUTH, tmp_path)
    path = tmp_path / "secret"
    path.chmod(bits)
    with pytest.raises(ValueError, match=f"chmod 600 {path}$"):
        load_secret(AUTH, tmp_path)
    path.chmod(0o600)
    load_secret(AUTH, tmp_path)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_secret_file(ending: bytes, tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.write_bytes(b" " + SECRET + b" " + ending)
    path.chmod(0o644)
    assert load_secret(config.Auth(secret_file=str(path)), tmp_path / "none") == b" " + SECRET + b" "
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("algorithms", "content", "sentence"),
    [
        (("HS256",), b"", "has 0 bytes and can be guessed: .*openssl rand -base64 48"),
        (("HS512",), b"x" * 15 + b"\n", "has 15 bytes and can be guessed"),
        (("HS256",), PUBLIC_KEY, "is a public key, certificate or JWK"),
        (
            ("HS256",),
            json.dumps({"kty": "oct", "k": "x" * 43}).encode(),
            "is a public key, certificate or JWK",
        ),
    ],
    ids=["empty", "short", "PEM", "JWK"],
)
def test_a_weak_secret_is_refused(algorithms: Any, content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"the secret file {path} {sentence}") as caught:
        load_secret(config.Auth(algorithms=algorithms, secret_file=str(path)), tmp_path)
    assert b"x" * 15 not in str(caught.value).encode()


@pytest.mark.parametrize(
    ("algorithms", "size", "sentence"),
    [
        (("HS256",), 31, "has 31 bytes, HS256 asks for 32: .*openssl rand -base64 48"),
        (("HS256", "HS384"), 47, "has 47 bytes, HS384 asks for 48"),
        (("HS512", "HS256"), 63, "has 63 bytes, HS512 asks for 64"),
    ],
)
def test_a_host_secret_shorter_than_the_hash_is_accepted_with_a_warning(
    algorithms: Any, size: int, sentence: str, tmp_path: Path, expected_logs: list[str]
) -> None:
    path = tmp_path / "shared"
    path.write_bytes(b"x" * size)
    expected_logs.append(sentence)
    assert load_secret(config.Auth(algorithms=algorithms, secret_file=str(path)), tmp_path) == b"x" * size


def test_secret_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gone cannot be used: No such file or directory"):
        load_secret(config.Auth(secret_file=str(tmp_path / "gone")), tmp_path)
    with pytest.raises(ValueError, match="cannot be used: Is a directory"):
        load_secret(config.Auth(secret_file=str(tmp_path)), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="secret cannot be used: "):
        load_secret(AUTH, tmp_path / "file")
