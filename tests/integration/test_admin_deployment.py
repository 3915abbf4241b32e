"""The admin's services with the settings, mounts and rights of docker-compose.yml, on a file system that is read-only
but for their volumes: what Docker would do with them, without Docker."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import postgres_server
import pytest
import requests
import yaml
from sqlalchemy.engine import make_url

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
TARGETS = ("blobs", "data/admin", "keys/master", "keys/public")
VOLUMES = ("blobs", "admin-keys", "master-key", "public-keys")
OWN_MOUNTS = ["unshare", "--mount", "sh", "-ec"]
NO_RIGHTS = "setpriv --bounding-set -all --inh-caps -all --no-new-privs"


class Machine:
    """Runs services below `root` instead of the file system's own root."""

    def __init__(self, root: Path, secrets: Mapping[str, str]) -> None:
        self._root, self._secrets = root, secrets
        for name in (*TARGETS, *(f"volumes/{volume}" for volume in VOLUMES)):
            (root / name).mkdir(parents=True)

    def volume(self, name: str) -> Path:
        return self._root / "volumes" / name

    def run(self, name: str, *command: str) -> str:
        """What a service says, doing what it is there for or `command`; it has to end well."""
        with self.started(name, *command) as process:
            said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        return said

    @contextmanager
    def started(self, name: str, *command: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
        program = [sys.executable, "-m", "backend.admin", *(command or SERVICES[name]["command"][3:])]
        script = "; ".join([*self._mounts(name), f'exec {NO_RIGHTS} "$@"'])
        environment = {**self._environment(name), **settings}
        with subprocess.Popen(
            [*OWN_MOUNTS, script, "sh", *program],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            yield process
            process.terminate()

    def _mounts(self, name: str) -> Sequence[str]:
        mounts = ["mount --make-rprivate /"]
        for volume in SERVICES[name]["volumes"]:
            source, target, *mode = volume.split(":")
            mounts.append(f"mount --bind {self.volume(source)} {self._root}{target}")
            if mode == ["ro"]:
                mounts.append(f"mount -o remount,bind,ro {self._root}{target}")
        return [*mounts, "mount -o remount,bind,ro /"]

    def _environment(self, name: str) -> dict[str, str]:
        defaults = {key: re.sub(r"\$\{\w+:-(.*)\}", r"\1", text) for key, text in SERVICES[name]["environment"].items()}
        given = {
            key: re.sub(r"^(file://)?(?=/(blobs|data|keys))", rf"\1{self._root}", text)
            for key, text in defaults.items()
        }
        told = {secret.upper(): self._secrets.get(secret, "") for secret in SERVICES[name].get("secrets", ())}
        return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **given, **told}


@pytest.fixture
def machine() -> Iterator[Machine]:
    try:
        subprocess.run([*OWN_MOUNTS, f"mount --make-rprivate /; {NO_RIGHTS} true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount, and util-linux")
    root = Path(tempfile.mkdtemp(prefix="g2face-machine-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root)
        try:
            server = stack.enter_context(postgres_server.running())
        except postgres_server.PostgresMissingError as missing:
            pytest.skip(str(missing))
        addresses = [stack.enter_context(server.database()) for _ in range(3)]
        Path(str(make_url(addresses[0]).query["host"])).chmod(0o755)  # without its rights, root is one of many
        names = ("g2face_database_url", "g2face_custody__vault_url", "g2face_custody__keys_url")
        yield Machine(root, dict(zip(names, addresses, strict=True)) | {"g2face_admin__session_key": "k" * 64})


def test_the_admin_serves_while_its_key_is_changed(machine: Machine) -> None:
    assert "made master key" in machine.run("keys")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with machine.started("admin", G2FACE_ADMIN__HOST="127.0.0.1", G2FACE_ADMIN__PORT=str(port)) as admin:
        _wait_for(f"http://127.0.0.1:{port}/sign-in", admin)
        assert "officer@localhost" in machine.run("admin", "accounts", "list")
        assert "0 keys sealed anew" in machine.run("key-rotation")
    assert admin.returncode == 0
    names = {path.name for path in machine.volume("admin-keys").iterdir()}
    keys = {"pseudonym.key", "second-factor.key", "signing.key", "signing.pub", "voucher.key"}
    assert names == keys | {"vouchers.txt"}  # what the admin remembers of the account that it made at its first start
    assert [path.name for path in machine.volume("master-key").glob("*.key")] == ["master.key"]


def test_a_sweep_and_the_log_need_no_master_key(machine: Machine) -> None:
    machine.run("keys")
    (machine.volume("master-key") / "master.key").unlink()
    assert "exported the audit log's head: event 0" in machine.run("sweep", "sweep")
    machine.run("admin", "export-audit", f"{machine.volume('admin-keys').parents[1]}/data/admin/export")
    exported = {path.name for path in (machine.volume("admin-keys") / "export").iterdir()}
    assert exported == {"audit.jsonl", "heads.jsonl", "signing.pub"}
    assert "The log is whole: 1 events." in machine.run("admin", "verify-audit", "--database")


def _wait_for(url: str, process: subprocess.Popen[str]) -> None:
    for _ in range(240):
        assert process.poll() is None, process.communicate()[0]
        try:
            assert requests.get(url, timeout=5).status_code == 200
            return
        except requests.ConnectionError:
            time.sleep(0.25)
    raise AssertionError("nothing answers")
