"""What docs/deployment.md promises of docker-compose.yml and the images, read from the files: nothing is started."""

from __future__ import annotations

import ast
import importlib
import ipaddress
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.errors import ConfigError
from backend.settings import PREFIX, Settings, _known

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("plugin", "intake", "worker", "worker-gpu", "admin", "sweep", "keys", "inbox-key", "key-rotation")
WORKERS = ("worker", "worker-gpu")
MAKERS = ("keys", "inbox-key")
ONCE = (*MAKERS, "key-rotation")
MODULES = {
    "plugin": "backend.plugin.__main__",
    "intake": "backend.intake.__main__",
    **dict.fromkeys(("admin", "sweep", "keys", "key-rotation"), "backend.admin.__main__"),
    **dict.fromkeys((*WORKERS, "inbox-key"), "worker.__main__"),
}
ENGINES_OWN = "G2FACE_MODEL__WEIGHTS_DIR"
MASTER = "G2FACE_CUSTODY__MASTER_PRIVATE_KEY_FILE"
_ADDRESSES = {"G2FACE_STORAGE_URL", "G2FACE_LABELSTUDIO__URL", "G2FACE_PLUGIN__PUBLIC_URL"}
every_service = pytest.mark.parametrize("name", SERVICES)
our_service = pytest.mark.parametrize("name", OURS)


def interpolated(text: str) -> str:
    """As docker compose does with an empty environment; a variable without a default is not understood."""
    filled = re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", text.replace("$$", "\0"))
    assert "$" not in filled, f"a variable without a default: {text}"
    return filled.replace("\0", "$")


def environment(name: str) -> dict[str, str]:
    return {key: interpolated(str(value)) for key, value in SERVICES[name].get("environment", {}).items()}


def mounts(name: str) -> dict[str, tuple[str, bool]]:
    """By volume or host path: (where, whether it can be written to)."""
    parts = [volume.split(":") for volume in SERVICES[name].get("volumes", [])]
    return {source: (target, mode != ["ro"]) for source, target, *mode in parts}


def holders(volume: str) -> set[str]:
    return {name for name in SERVICES if volume in mounts(name)}


def writers(volume: str) -> set[str]:
    return {name for name in holders(volume) if mounts(name)[volume][1]}


def knowers(secret: str) -> set[str]:
    return {name for name, service in SERVICES.items() if secret in service.get("secrets", [])}


def networks(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", []))


@pytest.fixture(scope="module")
def secrets_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployment") / "secrets"
    subprocess.run([ROOT / "docker" / "make-secrets.sh", folder], check=True)
    return folder


# Every service


@every_service
def test_a_service_can_do_no_more_than_its_work_needs(name: str) -> None:
    service = SERVICES[name]
    user = service["user"].split(":")[0]
    assert user.isdigit()
    assert int(user) != 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["ulimits"] == {"core": 0}
    forbidden = {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode", "env_file", "extra_hosts"}
    assert not forbidden & set(service)
    assert service.get("network_mode") in {None, "none"}


@every_service
def test_a_service_has_limits_and_swaps_nothing(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", interpolated(service["mem_limit"]))
    assert service["memswap_limit"] == service["mem_limit"]
    assert float(interpolated(str(service["cpus"]))) > 0
    assert service["pids_limit"] > 0
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    for mount in service.get("tmpfs", []):
        assert "size=" in mount


@every_service
def test_a_service_says_how_it_is(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    if name in ONCE:
        assert check == {"disable": True}
        assert SERVICES[name]["profiles"] == ["keys"]
        assert SERVICES[name]["restart"] == "no"
    else:
        assert check["test"][0] in {"CMD", "CMD-SHELL"}
        assert check.keys() == {"test", "interval", "timeout", "retries", "start_period"}
        assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["label-studio", "plugin", "intake", "admin", *WORKERS])
def test_a_check_written_in_python_is_python_and_asks_the_port_that_is_served(name: str) -> None:
    *_, option, code = SERVICES[name]["healthcheck"]["test"]
    assert option == "-c"
    ast.parse(code)
    (port,) = re.findall(r"127\.0\.0\.1:(\d+)/", code)
    told = {
        "label-studio": "8080",
        "plugin": environment("plugin").get("G2FACE_PLUGIN__PORT"),
        "intake": environment("intake").get("G2FACE_INTAKE__PORT"),
        "admin": environment("admin").get("G2FACE_ADMIN__PORT"),
        **{worker: environment(worker).get("G2FACE_WORKER__METRICS_PORT") for worker in WORKERS},
    }
    assert port == told[name]


@every_service
def test_services_wait_only_for_services_that_are_always_there(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert "profiles" not in SERVICES[other]


def test_workers_run_by_profile() -> None:
    assert [SERVICES[name]["profiles"] for name in WORKERS] == [["cpu"], ["gpu"]]
    assert environment("worker")["G2FACE_WORKER__DEVICE"] == "cpu"
    assert environment("worker-gpu")["G2FACE_WORKER__DEVICE"] == "cuda"
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    different = {"profiles", "image", "build", "environment", "deploy"}
    one, other = ({key: SERVICES[name].get(key) for key in SERVICES["worker"].keys() - different} for name in WORKERS)
    assert one == other


# Who reaches whom


def test_only_four_ports_are_published_and_on_this_machine_alone_unless_asked_otherwise() -> None:
    published = {name: [interpolated(port) for port in service.get("ports", [])] for name, service in SERVICES.items()}
    assert {name: ports for name, ports in published.items() if ports} == {
        "label-studio": ["127.0.0.1:8080:8080"],
        "plugin": ["127.0.0.1:9090:9090"],
        "intake": ["127.0.0.1:9092:9092"],
        "admin": ["127.0.0.1:9191:9191"],
    }


def test_the_admins_port_is_not_opened_together_with_the_others() -> None:
    variables = {name: re.findall(r"\$\{(\w*BIND_ADDRESS)", SERVICES[name]["ports"][0]) for name in ("intake", "admin")}
    assert variables == {"intake": ["BIND_ADDRESS"], "admin": ["ADMIN_BIND_ADDRESS"]}


def test_networks_keep_apart_what_has_nothing_to_say_to_each_other() -> None:
    assert {network: {name for name in SERVICES if network in networks(name)} for network in COMPOSE["networks"]} == {
        "front": {"label-studio", "plugin", "intake"},
        "publishing": {"label-studio", *WORKERS},
        "labels": {"label-studio", "label-studio-database"},
        "data": {"postgres", "redis", "plugin", "intake", *WORKERS},
        "custody": {"postgres-keys", *WORKERS},
        "administration": {"postgres", "postgres-keys", "admin", "sweep", "key-rotation"},
        "disputes": {"label-studio", "admin"},
        "pilots": {"admin", *WORKERS},
        "admin-door": {"admin"},
    }
    assert [name for name in SERVICES if SERVICES[name].get("network_mode") == "none"] == [*MAKERS]


def test_only_the_front_reaches_the_world() -> None:
    outer = {name: network for name, network in COMPOSE["networks"].items() if not network.get("internal")}
    assert outer.keys() == {"front", "admin-door"}
    # a port cannot be published from an internal network; without masquerading no answer finds back to the admin
    assert outer["admin-door"]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}


def test_the_admin_meets_nothing_but_the_databases_label_studio_and_workers_that_ask() -> None:
    met = {other for other in SERVICES if other != "admin" and networks(other) & networks("admin")}
    assert met == {"postgres", "postgres-keys", "label-studio", "sweep", "key-rotation", *WORKERS}
    for worker in WORKERS:
        assert networks("admin") & networks(worker) == {"pilots"}, "a network of these alone"
        assert environment(worker)["G2FACE_WORKER__ADMIN_URL"] == "http://admin:9191"
    assert networks("admin") & networks("label-studio") == {"disputes"}, "a network of these two alone"


def test_label_studio_may_call_the_front_and_no_other_address_of_ours() -> None:
    given = environment("label-studio")
    assert given["ML_BLOCK_LOCAL_IP"] == given["SSRF_PROTECTION_ENABLED"] == "true"
    assert given["USE_DEFAULT_BANNED_SUBNETS"] == "false"
    banned = [ipaddress.ip_network(subnet) for subnet in given["USER_ADDITIONAL_BANNED_SUBNETS"].split(",")]
    front = ipaddress.ip_network(COMPOSE["networks"]["front"]["ipam"]["config"][0]["subnet"])
    assert not any(front.version == subnet.version and front.overlaps(subnet) for subnet in banned)
    _ban_what_label_studio_does(banned, front)


def _ban_what_label_studio_does(banned: list[Any], front: Any) -> None:
    source = ROOT / ".venv-label-studio/lib/python3.11/site-packages/label_studio/core/utils/io.py"
    if not source.is_file():
        pytest.skip("needs Label Studio: make label-studio")
    (defaults,) = [
        ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "default_banned_subnets"
    ]
    assert len(defaults) > 20
    for default in map(ipaddress.ip_network, defaults):
        pieces = default.address_exclude(front) if default.version == 4 and default.supernet_of(front) else [default]
        for piece in pieces:
            assert piece in banned


# Who may open what


def test_private_keys_are_mounted_where_they_are_used() -> None:
    assert holders("master-key") == {"admin", "keys", "key-rotation"}
    assert writers("master-key") == {"keys", "key-rotation"}, "the admin reads it"
    assert holders("admin-keys") == writers("admin-keys") == {"admin", "sweep", "key-rotation"}
    assert holders("inbox-key") == {*WORKERS, "inbox-key"}
    assert writers("inbox-key") == {"inbox-key"}
    assert holders("public-keys") == {"intake", "admin", "sweep", *WORKERS, *ONCE}
    assert writers("public-keys") == {*ONCE}, "whoever can change a public key can read what is sealed to it"


@every_service
def test_what_opens_originals_reaches_the_admin_alone(name: str) -> None:
    """By what is mounted and told, whichever way the master key is kept."""
    opens = {"admin", "keys", "key-rotation"}
    assert ("master-key" in mounts(name)) == (name in opens)
    assert (MASTER in environment(name)) == (name in opens)
    told = {key for key in environment(name) if re.search(r"KEY_PROVIDER|TRANSIT|KMS|AWS|VAULT_", key)}
    assert not told or name in opens
    assert not any("transit" in secret for secret in SERVICES[name].get("secrets", [])) or name in opens
    folders = [target for target, _ in mounts(name).values()]
    assert "/keys" not in folders, "a folder above would hold every key"


@our_service
def test_a_private_key_lies_in_the_volume_that_is_meant_for_it(name: str) -> None:
    given = environment(name)
    where = {source: target for source, (target, _) in mounts(name).items()}
    for setting, volume in (
        (MASTER, "master-key"),
        ("G2FACE_CUSTODY__INBOX_PRIVATE_KEY_FILE", "inbox-key"),
        ("G2FACE_CUSTODY__MASTER_PUBLIC_KEY_FILE", "public-keys"),
        ("G2FACE_CUSTODY__INBOX_PUBLIC_KEY_FILE", "public-keys"),
    ):
        if setting in given:
            assert str(Path(given[setting]).parent) == where[volume]
        if "PRIVATE" in setting:
            assert (setting in given) == (name in holders(volume))


def test_the_plugin_only_reads_blobs() -> None:
    assert holders("blobs") == {"plugin", "intake", "admin", "sweep", *WORKERS}
    assert writers("blobs") == holders("blobs") - {"plugin"}


def test_secrets_are_told_to_those_who_need_them() -> None:
    assert {secret: knowers(secret) for secret in COMPOSE["secrets"]} == {
        "g2face_database_url": {"postgres", "plugin", "intake", "admin", "sweep", *WORKERS},
        "g2face_custody__vault_url": {"postgres", "admin", "sweep", "key-rotation", *WORKERS},
        "g2face_custody__keys_url": {"postgres-keys", "admin", "sweep", "key-rotation", *WORKERS},
        "g2face_custody__transit_token": {"admin", "key-rotation"},
        "g2face_redis_url": {"redis", "plugin", "intake", *WORKERS},
        "g2face_plugin__link_key": {"plugin", *WORKERS},
        "g2face_plugin__path_secret": {"plugin"},
        "g2face_intake__session_key": {"intake"},
        "g2face_admin__session_key": {"admin"},
        "g2face_admin__oidc_client_secret": {"admin"},
        "g2face_labelstudio__api_key": {"intake", "admin", *WORKERS},
        "g2face_worker__admin_token": {*WORKERS},
        "postgres_password": {"postgres"},
        "postgres_keys_password": {"postgres-keys"},
        "label_studio_database_password": {"label-studio-database"},
        "label_studio_env": {"label-studio"},
    }


@every_service
def test_no_secret_stands_in_an_environment(name: str) -> None:
    for key in environment(name):
        assert not re.search(
            r"PASSWORD$|SECRET|TOKEN|API_KEY|LINK_KEY|SESSION_KEY|DATABASE_URL|REDIS_URL|VAULT_URL", key
        )


def test_the_script_makes_every_secret_and_keeps_what_is_there(secrets_dir: Path) -> None:
    made = {path.name: path.read_bytes() for path in secrets_dir.iterdir()}
    assert made.keys() == COMPOSE["secrets"].keys()
    for secret, told in COMPOSE["secrets"].items():
        assert interpolated(told["file"]) == f"./secrets/{secret}"
        assert stat.S_IMODE((secrets_dir / secret).stat().st_mode) == 0o444, "a container runs as another user"
    assert stat.S_IMODE(secrets_dir.stat().st_mode) == 0o700
    random = [value for content in made.values() for value in re.findall(rb"[0-9a-f]{64}", content)]
    from_elsewhere = {name for name, content in made.items() if not content.strip()}
    assert from_elsewhere == {
        "g2face_labelstudio__api_key",
        "g2face_custody__transit_token",
        "g2face_admin__oidc_client_secret",
        "g2face_worker__admin_token",
    }
    assert len(random) == len(made) - len(from_elsewhere) + 1, "Label Studio's file holds two"
    assert len(set(random)) == len(random) - 1, "only Label Studio and its database share one"
    subprocess.run([ROOT / "docker" / "make-secrets.sh", secrets_dir], check=True)
    assert {path.name: path.read_bytes() for path in secrets_dir.iterdir()} == made


# Settings


@our_service
def test_a_service_starts_with_its_settings(name: str, secrets_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(name, secrets_dir, monkeypatch)
    needed = {
        "plugin": ("database", "redis", "storage", "link_key", "allowed_origins"),
        "intake": ("database", "redis", "storage", "session_key", "inbox_public_key"),
        "admin": ("database", "vault", "keys", "storage", "master_private_key", "admin_session_key"),
        "sweep": ("database", "vault", "keys", "storage", "master_public_key"),
        "key-rotation": ("vault", "keys", "master_private_key", "master_public_key"),
        "keys": ("master_private_key", "master_public_key"),
        "inbox-key": ("inbox_private_key", "inbox_public_key"),
    }.get(
        name,
        ("database", "redis", "storage", "link_key", "vault", "keys", "master_public_key", "inbox_private_key"),
    )
    for setting in needed:
        assert getattr(settings, setting)(), setting  # none lies in the data folder, which cannot be made
    assert settings.labelstudio.api_key is None, "until Label Studio has given one"


def _settings(name: str, secrets_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for variable in list(os.environ):
        if variable.startswith(PREFIX):
            monkeypatch.delenv(variable)
    for variable, value in environment(name).items():
        monkeypatch.setenv(variable, value)
    told = secrets_dir.parent / name
    told.mkdir(exist_ok=True)
    for secret in SERVICES[name].get("secrets", []):
        shutil.copy(secrets_dir / secret, told)
    return Settings.load(secrets_dir=told)


def test_nothing_is_kept_in_a_container(secrets_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="G2FACE_DATA_DIR"):
        _settings("plugin", secrets_dir, monkeypatch).session_key()


@every_service
def test_settings_that_are_given_exist(name: str) -> None:
    given = {key for key in environment(name) if key.startswith(PREFIX)}
    assert given <= set(_known())
    assert not given or name in OURS


def test_every_variable_is_in_the_example_file_with_the_same_default() -> None:
    example = (ROOT / ".env.example").read_text()
    text = (ROOT / "docker-compose.yml").read_text()
    used = re.findall(r"(?<!\$)\$\{([^}:]+)(?::-([^}]*))?\}", text)
    assert used
    # other defaults in containers
    own = {"G2FACE_LABELSTUDIO__URL", "G2FACE_PLUGIN__BACKEND_URL", "G2FACE_INTAKE__MAX_UPLOAD_BYTES"}
    for name, default in used:
        assert f"#{name}=" in example, name
        if name not in own:
            assert f"#{name}={default}\n" in example, name
    for name in {name for name, _ in used if name.startswith(PREFIX)}:
        assert name in _known()


# Images and commands


def _images() -> Iterator[tuple[str, list[str]]]:
    """By stage of the Dockerfile: its instructions, joined lines in one."""
    joined = re.sub(r"\\\n\s*", " ", (ROOT / "docker" / "Dockerfile").read_text())
    for stage in re.split(r"^FROM ", joined, flags=re.MULTILINE)[1:]:
        head, *lines = stage.splitlines()
        yield head.split(" AS ")[1], [line for line in lines if line and not line.startswith("#")]


STAGES = dict(_images())


@our_service
def test_what_is_built_is_there(name: str) -> None:
    build = SERVICES[name]["build"]
    assert (ROOT / build["dockerfile"]).is_file()
    assert build["target"] in STAGES
    declared = " ".join(line for lines in STAGES.values() for line in lines if line.startswith("ARG"))
    for argument in build.get("args", {}):
        assert f"ARG {argument}=" in declared
    user = SERVICES[name]["user"]
    assert STAGES[build["target"]][-1] == f"USER {user}"


def test_what_is_copied_exists_and_gets_past_dockerignore() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = [line.split()[1:-1] for lines in STAGES.values() for line in lines if line.startswith("COPY ")]
    sources = {source for words in copied for source in words if not words[0].startswith("--from")}
    assert all((ROOT / source).exists() for source in sources)
    assert sources == allowed
    assert {words[0].removeprefix("--from=") for words in copied if words[0].startswith("--from")} <= STAGES.keys()


def test_folders_for_volumes_belong_to_the_user_of_the_images() -> None:
    (made,) = [line for line in STAGES["base"] if "install -d" in line]
    for name in OURS:
        for target, _ in mounts(name).values():
            assert f" {target}" in made
    assert "-o 10001 -g 10001" in made


@our_service
def test_commands_exist(name: str) -> None:
    command = SERVICES[name]["command"]
    if command[0] == "sh":  # the same, again and again
        (again,) = re.findall(r"python -m [^&;]*[^&; ]", command[2])
        command = again.split()
    assert command[:2] == ["python", "-m"]
    module = importlib.import_module(MODULES[name])
    assert module.__name__ == f"{command[2]}.__main__"
    parser = getattr(module, "parser", None) or getattr(module, "_parser", None)
    if parser is not None:
        parser().parse_args(command[3:])
    else:
        assert command[3:] == []


def test_the_servers_need_no_more_than_their_image_has() -> None:
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = {*pinned["dependencies"]}
    lines = (ROOT / "docker" / "backend.txt").read_text().splitlines()
    told = {line for line in lines if line and not line.startswith("#")}
    assert told <= own | {*pinned["optional-dependencies"]["ml"]}
    absent = sorted({re.split(r"[<>=]", name)[0] for name in own - told})
    assert "torch" in absent
    imports = "; ".join(f"import {module}" for module in sorted({*MODULES.values(), "backend.plugin.model"}))
    blocked = [{"opencv-python-headless": "cv2"}.get(name, name.replace("-", "_")) for name in absent]
    program = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); {imports}"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_extra_packages_have_a_pinned_version() -> None:
    (comment,) = re.findall(
        r"# (Further packages in the images.*)\n#EXTRA_PACKAGES=", (ROOT / ".env.example").read_text()
    )
    named = re.findall(r"(\w+) for ", comment)
    constraints = (ROOT / "constraints.txt").read_text()
    assert named
    assert all(re.search(rf"^{name}==", constraints, re.MULTILINE) for name in named)


def test_label_studio_is_the_version_that_the_tests_run() -> None:
    constraints = (ROOT / "constraints-label-studio.txt").read_text()
    version = SERVICES["label-studio"]["image"].partition(":")[2]
    assert f"label-studio=={version}\n" in constraints


def test_docker_compose_understands_the_file(secrets_dir: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("needs docker compose")
    profiles = ["--profile", "cpu", "--profile", "gpu", "--profile", "keys"]
    subprocess.run(
        [docker, "compose", *profiles, "config", "--quiet"],
        check=True,
        cwd=ROOT,
        env={**os.environ, "SECRETS_DIR": str(secrets_dir)},
    )
